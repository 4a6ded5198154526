"""Windows, fixed and sliding: never more than the limit, and how long until there is room."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimit_service.core.calendars import edges
from ratelimit_service.core.charge import EXACT, LARGEST, Charge, Mode
from ratelimit_service.core.limit import Algorithm, Limit, Unit
from ratelimit_service.core.take import Cells, take
from ratelimit_service.core.window import SLOTS, Slots, Window
from tests.taking import hit, used

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND = 1_000_000
MINUTE = 60 * SECOND
START = 1_795_561_835_147_696
TEN_A_MINUTE = Limit(requests_per_unit=10, unit=Unit.MINUTE)
SLIDING, FIXED = Window.sliding(TEN_A_MINUTE), Window.fixed(TEN_A_MINUTE)
BEGIN = START - START % MINUTE  # of a fixed window
BOTH = pytest.mark.parametrize("window", [SLIDING, FIXED], ids=["sliding", "fixed"])

limits = st.builds(
    Limit,
    requests_per_unit=st.one_of(st.integers(1, 20), st.integers(1, 2**32 - 1)),
    unit=st.sampled_from(Unit),
    unit_multiplier=st.integers(1, 10),
)


def history(
    limit: Limit, window: Window, data: st.DataObject
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Charge at random; return when how many hits passed, and when how many were refused."""
    period_us = limit.period_seconds * SECOND
    gaps = st.one_of(
        st.integers(0, period_us // SLOTS), st.integers(0, period_us), st.just(period_us)
    )
    cells: Cells = {}
    now = START
    passed: list[tuple[int, int]] = []
    refused: list[tuple[int, int]] = []
    for _ in range(25):
        now += data.draw(gaps)
        hits = data.draw(
            st.one_of(st.integers(1, limit.capacity), st.integers(1, -(-limit.capacity // 4)))
        )
        (passed if hit(cells, window, now, hits) else refused).append((now, hits))
    return passed, refused


def within(passed: list[tuple[int, int]], begin: int, end: int) -> int:
    """Hits after `begin` up to and with `end`."""
    return sum(hits for at, hits in passed if begin < at <= end)


@settings(deadline=None)  # long histories, busy machines
@given(limits, st.data())
def test_a_sliding_window_lets_no_more_than_the_limit_into_any_period(
    limit: Limit, data: st.DataObject
) -> None:
    period_us = limit.period_seconds * SECOND
    passed, _ = history(limit, Window.sliding(limit), data)
    for at, _ in passed:
        # Any period with more than the limit could be moved back until a hit is its last.
        assert within(passed, at - period_us, at) <= limit.requests_per_unit


@settings(deadline=None)  # long histories, busy machines
@given(limits, st.data())
def test_a_sliding_window_refuses_nothing_that_fits_a_64th_of_the_period_later(
    limit: Limit, data: st.DataObject
) -> None:
    window = Window.sliding(limit)
    period_us = limit.period_seconds * SECOND
    passed, refused = history(limit, window, data)
    assert window.slot_us == -(-period_us // 64)
    for at, hits in refused:
        # Those that passed in the same microsecond came before or after; they are counted.
        counted = within(passed, at - period_us - window.slot_us, at)
        assert counted + hits > limit.requests_per_unit


@settings(deadline=None)  # long histories, busy machines
@given(limits, st.data())
def test_a_fixed_window_lets_exactly_the_limit_into_each_period(
    limit: Limit, data: st.DataObject
) -> None:
    period_us = limit.period_seconds * SECOND
    passed, refused = history(limit, Window.fixed(limit), data)
    for at, hits in passed + refused:
        begin = at - at % period_us
        total = within(passed, begin - 1, begin + period_us - 1)
        assert total <= limit.requests_per_unit
        if (at, hits) in refused:
            assert total + hits > limit.requests_per_unit


@pytest.mark.parametrize("unit", Unit)
def test_its_state_is_bounded(unit: Unit) -> None:
    dice = random.Random(unit)  # noqa: S311  reproducible
    window = Window.sliding(Limit(requests_per_unit=10**9, unit=unit))
    cells: Cells = {}
    now = START
    for _ in range(5_000):
        now += dice.randrange(window.slot_us)
        assert hit(cells, window, now)
        cell = cells[b"k"]
        assert isinstance(cell, Slots)
        assert len(cell.pairs) <= SLOTS + 2


def test_an_idle_clients_state_is_one_pair() -> None:
    cells: Cells = {}
    for _ in range(5):
        assert hit(cells, SLIDING, START)
    assert cells == {b"k": Slots(((SLIDING.end_us(START), 5),))}


@BOTH
def test_what_was_used_under_another_limit_counts_at_once(window: Window) -> None:
    cells: Cells = {}
    assert hit(cells, window, BEGIN, 6)
    kind: Callable[[Limit], Window] = Window.sliding if window is SLIDING else Window.fixed
    lower = kind(Limit(requests_per_unit=5, unit=Unit.MINUTE))
    higher = kind(Limit(requests_per_unit=20, unit=Unit.MINUTE))
    assert not hit(cells, lower, BEGIN + 1)
    assert not hit(cells, higher, BEGIN + 1, 15)
    assert hit(cells, higher, BEGIN + 1, 14)


@BOTH
def test_a_clock_that_went_back_neither_forgets_nor_freezes(window: Window) -> None:
    cells: Cells = {}
    assert hit(cells, window, START, 4)
    assert hit(cells, window, START + SECOND, 6)
    back = START - 10 * 60 * MINUTE
    assert not hit(cells, window, back)
    assert used(cells, window, back + 1) == 10
    take(cells, [[Charge(b"k", window, -1)]], back + 1)
    assert not hit(cells, window, back + 1, 2)
    assert hit(cells, window, back + 1)
    assert hit(cells, window, back + MINUTE + window.slot_us + 1, 10)


def test_a_refund_is_of_what_was_used_first() -> None:
    """Then nothing that is left can be forgotten before its time, whichever hits were meant."""
    cells: Cells = {}
    hit(cells, SLIDING, START, 5)
    hit(cells, SLIDING, START + MINUTE // 2, 5)
    take(cells, [[Charge(b"k", SLIDING, -7)]], START + MINUTE // 2)
    assert used(cells, SLIDING, START + MINUTE // 2) == 3
    later = START + MINUTE + 2 * SLIDING.slot_us
    assert used(cells, SLIDING, later) == 3, "of the second five"
    take(cells, [[Charge(b"k", SLIDING, -7)]], later)
    assert b"k" not in cells


@BOTH
@pytest.mark.parametrize(
    ("story", "hits", "mode", "expected"),
    [
        ("fits", 4, Mode.ENFORCED, (6, 0, 1, 1)),
        ("does not fit until the six are gone", 5, Mode.ENFORCED, (6, 1, 1, 1)),
        ("never fits: until all is gone", 11, Mode.ENFORCED, (6, 1, 1, 1)),
        ("a look", 0, Mode.ENFORCED, (6, 0, 1, 1)),
        ("gives all back", -6, Mode.ENFORCED, (6, 0, 1, 0)),
        ("goes into debt", 5, Mode.POSTPAID, (6, 1, 1, 1)),
    ],
)
def test_the_answer_in_one_slot(
    window: Window, story: str, hits: int, mode: Mode, expected: tuple[int, ...]
) -> None:
    """A 1 stands for the time until the slot of now is gone."""
    cells: Cells = {}
    hit(cells, window, START, 6)
    gone = window.end_us(START) + window.keep_us - START
    met = take(cells, [[Charge(b"k", window, hits, mode)]], START)
    assert met == [expected[0], *(span * gone for span in expected[1:])], story


def test_the_answer_of_a_sliding_window_counts_slot_by_slot() -> None:
    cells: Cells = {}
    slot = SLIDING.slot_us
    begin = START - START % slot
    for number, hits in ((0, 3), (10, 4), (20, 3)):
        assert hit(cells, SLIDING, begin + number * slot, hits)
    now = begin + 30 * slot

    def wait(hits: int, mode: Mode = Mode.ENFORCED) -> list[float]:
        met = take(dict(cells), [[Charge(b"k", SLIDING, hits, mode)]], now)
        return [round(span / slot, 3) for span in met[1:]]

    period = MINUTE / slot
    first, second, third = (round(at + 1 + period - 30, 3) for at in (0, 10, 20))
    assert wait(3) == [first, third, third]
    assert wait(-9) == [0, third, third]
    assert wait(-10) == [0, third, 0]
    assert wait(0) == [0, third, third]
    assert wait(4)[0] == wait(7)[0] == second
    assert wait(8)[0] == wait(10)[0] == third
    assert wait(3, Mode.POSTPAID)[0] == second, "it owes three more then"


def test_a_counted_window_says_when_its_period_ends_even_if_nothing_counts() -> None:
    left = BEGIN + MINUTE - START
    for hits, used_hits in ((0, 0), (3, 0), (8, 3), (0, 11)):
        cells: Cells = {b"k": Slots(((BEGIN + MINUTE, used_hits),))} if used_hits else {}
        met = take(cells, [[Charge(b"k", FIXED, hits, Mode.COUNTED)]], START)
        assert met[0] == used_hits
        assert met[2:] == [left, left]
        assert met[1] == (left if used_hits + hits > 10 else 0)


@pytest.mark.parametrize("unit", [Unit.DAY, Unit.WEEK, Unit.MONTH, Unit.YEAR])
def test_a_calendars_window_begins_where_its_period_does(unit: Unit) -> None:
    limit = Limit(
        requests_per_unit=10, unit=unit, algorithm=Algorithm.FIXED_WINDOW, time_zone="Europe/Paris"
    )
    now_s = datetime(2026, 3, 29, 12, tzinfo=UTC).timestamp()  # 23 hours long
    begins = edges(unit, "Europe/Paris", now_s)
    window = Window.calendar(limit, begins)
    cells: Cells = {}
    last, this, following, after = (edge * SECOND for edge in begins)
    for begin, end in ((last, this), (this, following), (following, after)):
        assert hit(cells, window, begin, 4)
        assert hit(cells, window, end - 1, 6)
        assert not hit(cells, window, end - 1)
    assert hit(cells, window, after, 10)
    assert not hit(cells, window, after + 1)


def test_a_calendar_far_from_the_stores_clock_still_counts() -> None:
    window = Window.calendar(
        Limit(requests_per_unit=10, unit=Unit.DAY), [86_400 * day for day in (100, 101, 102, 103)]
    )
    for day in (3, 500):
        cells: Cells = {}
        now = 86_400 * SECOND * day
        assert hit(cells, window, now, 10)
        assert not hit(cells, window, now + 3600 * SECOND)
    later = now + 86_400 * SECOND
    assert hit(cells, window, later, 10)


@given(limits, st.integers(-(2**64), 2**64))
def test_arithmetic_stays_exact_in_doubles(limit: Limit, hits: int) -> None:
    window = Window.sliding(limit)
    assert abs(window.cost(hits)) + 2 * window.full <= EXACT
    assert window.most_credit + LARGEST <= EXACT
    assert -window.most_credit + LARGEST > 2 * window.full, "a cost reaches over any balance"
    assert window.end_us(START) + window.keep_us < EXACT
