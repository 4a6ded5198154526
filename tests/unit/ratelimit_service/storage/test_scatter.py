"""A request in parts: all of them, or in the end none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chassis.errors import Unavailable
from ratelimit_service.core import take as twin
from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.charge import Charge, Mode
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.core.window import Window
from ratelimit_service.storage.counts import StoreCounts
from ratelimit_service.storage.scatter import Scatter, parts_of, refund

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratelimit_service.core.take import Cells
    from ratelimit_service.service import Done

HOUR_US = 3_600_000_000
BUCKET = Bucket.of(Limit(requests_per_unit=10, unit=Unit.DAY))
WINDOW = Window.fixed(Limit(requests_per_unit=10, unit=Unit.DAY))
NOON_US = 12 * HOUR_US


class Place:
    """A store that is charged in one step by the twin of the Lua, when it is told to answer."""

    def __init__(self) -> None:
        self.cells: Cells = {}
        self.now_us = NOON_US
        self.error: Exception | None = None
        self.charged_anyway = False
        self.asked: list[tuple[Sequence[Charge], Done]] = []

    def take(self, charges: Sequence[Charge], timeout_seconds: float | None, done: Done) -> None:
        del timeout_seconds
        self.asked.append((charges, done))

    def answer(self) -> None:
        """Answer what was asked so far."""
        asked, self.asked = self.asked, []
        for charges, done in asked:
            if self.error is not None:
                done((), self.error)
            else:
                done(twin.take(self.cells, [charges], self.now_us), None)

    def used(self, meter: Bucket | Window = BUCKET, key: bytes = b"k") -> int:
        """Return how many hits of ten are used."""
        (debt, *_) = twin.take(self.cells, [[Charge(key, meter, 0)]], self.now_us)
        return meter.full // meter.parts - meter.tokens(debt)


class Asked:
    """A request, and what was said of it."""

    def __init__(self, places: Sequence[Place], *charges: tuple[int, Charge]) -> None:
        self.counts = StoreCounts()
        self.said: list[tuple[list[int], BaseException | None]] = []
        parts = parts_of(
            [charge for _, charge in charges],
            [number for number, _ in charges],
            lambda number: places[number].take,
        )
        Scatter(self.counts, lambda: 0.0).take(parts, None, self.done)

    def done(self, met: Sequence[int], error: BaseException | None) -> None:
        self.said.append((list(met), error))


def charge(hits: int, mode: Mode = Mode.ENFORCED, key: bytes = b"k") -> Charge:
    return Charge(key, BUCKET, BUCKET.cost(hits), mode)


@pytest.fixture
def places() -> tuple[Place, Place, Place]:
    return Place(), Place(), Place()


Places = tuple[Place, Place, Place]


def full(place: Place) -> None:
    twin.take(place.cells, [[charge(10)]], place.now_us)


def test_what_fits_everywhere_is_charged_everywhere_and_answered_in_order(places: Places) -> None:
    one, two, three = places
    twin.take(two.cells, [[charge(4)]], NOON_US)
    asked = Asked(places, (1, charge(1)), (0, charge(2)), (1, charge(3)), (2, charge(1)))
    one.answer()
    three.answer()
    assert asked.said == [], "the request waits for all of its parts"
    two.answer()
    cost = BUCKET.cost
    assert asked.said == [([cost(4), 0, cost(5), 0], None)]
    assert (one.used(), two.used(), three.used()) == (2, 8, 1)
    assert (asked.counts.scattered, asked.counts.taken_back) == (1, 0)
    assert not one.asked


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_where_one_part_is_refused_the_others_are_given_back(
    places: Places, order: tuple[int, ...]
) -> None:
    full(places[1])
    asked = Asked(places, (0, charge(2)), (1, charge(1)), (2, charge(3)))
    for number in order:
        places[number].answer()
    assert asked.said == [([0, BUCKET.cost(10), 0], None)]
    assert (places[0].used(), places[2].used()) == (2, 3), "refunds are on the way"
    for place in places:
        place.answer()
    assert [place.used() for place in places] == [0, 10, 0]
    assert (asked.counts.taken_back, asked.counts.refunds_lost) == (2, 0)


def test_a_refund_gives_back_no_more_than_was_charged(places: Places) -> None:
    one, two, _ = places
    full(two)
    twin.take(one.cells, [[charge(4)]], NOON_US)
    Asked(places, (0, charge(2)), (1, charge(1)))
    one.answer()
    two.answer()
    twin.take(one.cells, [[charge(1)]], NOON_US)  # another client, meanwhile
    one.answer()
    assert one.used() == 5


def test_where_a_part_fails_the_others_are_given_back_and_the_error_is_told(
    places: Places,
) -> None:
    one, two, three = places
    two.error = Unavailable("away", reason="REDIS_UNAVAILABLE")
    asked = Asked(places, (0, charge(2)), (1, charge(1)), (2, charge(1)))
    two.answer()
    assert asked.said == []
    one.answer()
    three.answer()
    assert asked.said == [([], two.error)]
    one.answer()
    three.answer()
    assert (one.used(), three.used()) == (0, 0)


def test_a_refund_that_is_lost_is_counted_and_not_sent_again(places: Places) -> None:
    one, two, _ = places
    full(two)
    asked = Asked(places, (0, charge(2)), (1, charge(1)))
    two.answer()
    one.answer()
    one.error = Unavailable("away", reason="REDIS_TIMEOUT")
    one.answer()
    assert not one.asked
    assert one.used() == 2
    assert (asked.counts.taken_back, asked.counts.refunds_lost) == (1, 1)
    assert len(asked.said) == 1


# Mode of the charge in the part that fits, the charges of the other part (meter full): given back?
MODES = [
    (Mode.ENFORCED, [charge(1)], True),
    (Mode.QUOTA, [charge(1)], True),
    (Mode.POSTPAID, [charge(1)], True),
    (Mode.SHADOW, [charge(1)], False),
    (Mode.COUNTED, [charge(1)], False),
    (Mode.ENFORCED, [charge(1, Mode.SHADOW)], False),
    (Mode.ENFORCED, [charge(1, Mode.COUNTED)], False),
    (Mode.ENFORCED, [charge(1, Mode.POSTPAID)], True),
    (Mode.POSTPAID, [charge(1, Mode.POSTPAID)], False),
    (Mode.QUOTA, [charge(1, Mode.QUOTA)], False),
    (Mode.ENFORCED, [charge(0)], False),
]


@pytest.mark.parametrize(("mode", "others", "back"), MODES)
def test_what_is_given_back_is_what_one_step_would_not_have_charged(
    places: Places, mode: Mode, others: list[Charge], back: bool
) -> None:
    one, two, _ = places
    full(two)
    Asked(places, (0, charge(2, mode)), *((1, other) for other in others))
    for _ in range(2):
        one.answer()
        two.answer()
    assert one.used() == (0 if back else 2)
    together: Cells = dict(two.cells)
    mine = charge(2, mode, key=b"mine")
    twin.take(together, [[mine, *others]], NOON_US)
    assert (b"mine" not in together) == back, "one step does the same"


def test_a_part_that_charged_nothing_itself_is_not_refunded(places: Places) -> None:
    one, two, _ = places
    full(one)
    full(two)
    asked = Asked(places, (0, charge(1)), (0, charge(1, key=b"j")), (1, charge(1)))
    one.answer()
    two.answer()
    one.answer()
    assert (one.used(), one.used(key=b"j")) == (10, 0)
    assert asked.counts.taken_back == 0


def test_what_a_refused_request_gave_back_is_taken_again_as_far_as_it_is_there(
    places: Places,
) -> None:
    one, two, _ = places
    full(two)
    twin.take(one.cells, [[charge(3)]], NOON_US)
    Asked(places, (0, charge(-5)), (1, charge(1)))
    one.answer()
    two.answer()
    assert one.used() == 0
    one.answer()
    assert one.used() == 3, "three were given back, not five"


# Two hits of 10 a day charged to a bucket with so many used; the refund comes after so many hours,
# in which 10 / 24 of a hit flow in each. What must be given back, in hits.
STOOD = [
    (0, 0.0, 2.0),
    (0, 2.4, 1.0),
    (0, 4.8, 0.0),
    (0, 24.0, 0.0),
    (1, 2.4, 2.0),
    (1, 4.8, 1.0),
    (8, 4.8, 2.0),
]


@pytest.mark.parametrize(("used", "hours", "hits"), STOOD)
def test_what_would_have_spilt_over_is_not_given_back(used: int, hours: float, hits: float) -> None:
    undone = refund(charge(2), [BUCKET.cost(used)], int(hours * HOUR_US))
    assert (-undone.cost if undone else 0) == pytest.approx(hits * BUCKET.parts)


def test_a_reservation_never_leaves_more_than_there_would_have_been_without_it() -> None:
    for used in range(8):  # beyond, the reservation has others refused
        for minutes in (0, 1, 60, 200, 600):
            for meanwhile in (0, 1):
                plain, place = Place(), Place()
                for one in (plain, place):
                    twin.take(one.cells, [[charge(used)]], NOON_US)
                met = twin.take(place.cells, [[charge(2)]], NOON_US)
                for one in (plain, place):
                    one.now_us += minutes * 60_000_000
                    twin.take(one.cells, [[charge(meanwhile)]], one.now_us)
                undone = refund(charge(2), met, minutes * 60_000_000)
                if undone:
                    twin.take(place.cells, [[undone]], place.now_us)
                assert place.used() >= plain.used()


def window_charge(hits: int) -> Charge:
    return Charge(b"k", WINDOW, WINDOW.cost(hits))


def test_hits_of_a_window_are_given_back(places: Places) -> None:
    one, two, _ = places
    full(two)
    asked = Asked(places, (1, charge(1)), (0, window_charge(2)))
    one.answer()
    two.answer()
    (met, _), *_ = asked.said
    assert len(met) == BUCKET.width + WINDOW.width
    assert met[:2] == [BUCKET.cost(10), 0], "in the order of the request"
    one.answer()
    assert one.used(WINDOW) == 0


def test_hits_of_a_window_that_will_be_over_are_not_taken_from_the_next() -> None:
    place = Place()
    met = twin.take(place.cells, [[window_charge(2)]], NOON_US)
    assert refund(window_charge(2), met, 11 * HOUR_US) is not None
    assert refund(window_charge(2), met, 13 * HOUR_US) is None
