"""Charging requests: which of their charges are made, for every meter and mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.charge import Charge, Mode, answers, is_short
from ratelimit_service.core.grant import grant
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.core.take import Cells, take
from ratelimit_service.core.window import Window
from tests.taking import hit, used

if TYPE_CHECKING:
    from ratelimit_service.core.charge import Meter

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
START = 1_795_561_835_147_696
TEN = Limit(requests_per_unit=10, unit=Unit.HOUR)
METERS: dict[str, Meter] = {
    "bucket": Bucket.of(TEN),
    "fixed": Window.fixed(TEN),
    "sliding": Window.sliding(TEN),
}
ANY_METER = pytest.mark.parametrize("meter", METERS.values(), ids=METERS)


def left(cells: Cells, meter: Meter, key: bytes = b"k", now_us: int = START) -> int:
    return (meter.full - used(cells, meter, now_us, key)) // meter.parts


def ask(cells: Cells, meter: Meter, *asked: tuple[str, int, Mode]) -> None:
    charges = [Charge(key.encode(), meter, meter.cost(hits), mode) for key, hits, mode in asked]
    take(cells, [charges], START)


E, S, Q, P, C = Mode.ENFORCED, Mode.SHADOW, Mode.QUOTA, Mode.POSTPAID, Mode.COUNTED


@ANY_METER
@pytest.mark.parametrize(
    ("story", "asked", "remaining"),
    [
        ("all fit, all are charged", [("a", 1, m) for m in (E, S, Q, P)], 6),
        ("an enforced one refuses: shadow alone", [("a", 9, E), ("a", 2, E), ("a", 3, S)], 7),
        ("a post-paid one refuses: not the enforced", [("a", 12, P), ("b", 1, E)], -2),
        ("a post-paid one refuses: not the quotas", [("b", 1, Q), ("a", 12, P)], -2),
        ("an enforced one refuses: not the post-paid", [("a", 4, P), ("b", 11, E)], 10),
        ("a quota refuses nobody", [("a", 12, Q), ("b", 1, E)], -2),
        ("shadow refuses nobody", [("a", 12, S), ("b", 1, E)], 0),
        ("shadow takes what there is", [("a", 4, E), ("a", 9, S)], 0),
        ("a post-paid debt ends at one capacity", [("a", 10_000, P)], -10),
        ("a quota's debt ends at one capacity", [("a", 9, Q), ("a", 2**64, Q)], -10),
        ("an enforced refund", [("a", 4, E), ("a", -3, E)], 9),
        ("a refund is no more than was used", [("a", 4, E), ("a", -30, E)], 10),
        ("a refund of a debt", [("a", 20, P), ("a", -5, S)], -5),
        ("the same meter twice", [("a", 5, E), ("a", 5, E)], 0),
        ("the same meter twice too much", [("a", 5, E), ("a", 6, E)], 10),
    ],
)
def test_what_is_charged(
    meter: Meter, story: str, asked: list[tuple[str, int, Mode]], remaining: int
) -> None:
    cells: Cells = {}
    ask(cells, meter, *asked)
    assert left(cells, meter, b"a") == remaining, story


@ANY_METER
@pytest.mark.parametrize(("story", "charged"), [("an enforced", E), ("a quota", Q)])
def test_a_post_paid_limit_in_debt_refuses_what_comes_after(
    meter: Meter, story: str, charged: Mode
) -> None:
    cells: Cells = {}
    ask(cells, meter, ("a", 12, P))
    ask(cells, meter, ("a", 0, P), ("b", 1, charged))
    assert b"b" not in cells, f"{story} charge beside a look at a balance below zero"
    ask(cells, meter, ("a", -2, P))
    ask(cells, meter, ("a", 0, P), ("b", 1, charged))
    assert left(cells, meter, b"b") == 9, "a balance of zero passes a look"


def test_a_counted_window_counts_everything() -> None:
    window = Window.fixed(TEN)
    cells: Cells = {}
    ask(cells, window, ("a", 7, C), ("b", 7, C))
    ask(cells, window, ("a", 7, C), ("b", 1, C))
    ask(cells, window, ("a", 2**40, C))
    assert (used(cells, window, START, b"a"), left(cells, window, b"b")) == (14 + 2**40, 2)


def a_charge(number: int, kind: str, hits: int, mode: Mode) -> Charge:
    meter = METERS[kind]
    return Charge(f"{number}.{kind}".encode(), meter, meter.cost(hits), mode)


charges = st.builds(
    a_charge,
    st.integers(0, 3),
    st.sampled_from(list(METERS)),
    st.integers(-12, 25),
    st.sampled_from(Mode),
)
bounded = charges.filter(lambda charge: charge.mode is not C)
requests = st.lists(charges, min_size=1, max_size=4)


@given(st.lists(requests, max_size=6), st.lists(charges, min_size=1, max_size=4))
def test_a_refused_request_of_enforced_and_quota_limits_writes_nothing(
    before: list[list[Charge]], asked: list[Charge]
) -> None:
    cells: Cells = {}
    take(cells, before, START)
    there = dict(cells)
    asked = [
        Charge(charge.key, charge.meter, charge.cost, charge.mode if charge.mode is Q else E)
        for charge in asked
    ]
    met = answers(asked, take(cells, [asked], START))
    pairs = list(zip(asked, met, strict=True))
    if any(charge.mode is E and is_short(charge, answer[0]) for charge, answer in pairs):
        assert cells == there


@given(st.lists(requests, max_size=6), requests)
def test_enforced_charges_are_all_made_or_none(
    before: list[list[Charge]], asked: list[Charge]
) -> None:
    cells: Cells = {}
    take(cells, before, START)
    asked = list({charge.key: charge for charge in asked}.values())
    debts = {charge.key: used(cells, charge.meter, START, charge.key) for charge in asked}
    met = answers(asked, take(cells, [asked], START))
    assert [answer[0] for answer in met] == list(debts.values())
    refused = any(charge.mode in (E, P) and is_short(charge, debts[charge.key]) for charge in asked)
    for charge in asked:
        if charge.mode is E and charge.cost > 0:
            added = used(cells, charge.meter, START, charge.key) - debts[charge.key]
            assert added == (0 if refused else charge.cost)


@given(st.lists(st.lists(bounded, min_size=1, max_size=4), max_size=8), st.integers(0, 3 * HOUR))
def test_no_balance_is_below_minus_one_capacity_or_above_the_capacity(
    asked: list[list[Charge]], gap: int
) -> None:
    cells: Cells = {}
    take(cells, asked, START)
    take(cells, asked, START + gap)
    for request in asked:
        for charge in request:
            debt = used(cells, charge.meter, START + gap, charge.key)
            assert 0 <= debt <= 2 * charge.meter.full


@given(st.lists(st.lists(bounded, min_size=1, max_size=4), max_size=8))
def test_everything_is_forgiven_after_two_periods(asked: list[list[Charge]]) -> None:
    cells: Cells = {}
    take(cells, asked, START)
    for request in asked:
        for charge in request:
            assert used(cells, charge.meter, START + 2 * HOUR, charge.key) == 0


GRANT_HOURS = 5


def give(cells: Cells, meter: Meter, hits: int, hours: int = GRANT_HOURS, now: int = START) -> None:
    grant(cells, [Charge(b"k", meter, meter.cost(-hits))], hours * HOUR, now)


@ANY_METER
@pytest.mark.parametrize(
    ("story", "taken", "given", "remaining"),
    [
        ("nothing was used: all of it is credit", 0, 5, 15),
        ("it pays what was used first", 4, 3, 9),
        ("and the rest is credit", 4, 9, 15),
        ("it pays a debt", 15, 3, -2),
    ],
)
def test_a_grant(meter: Meter, story: str, taken: int, given: int, remaining: int) -> None:
    cells: Cells = {}
    hit(cells, meter, START, taken, mode=P)
    give(cells, meter, given)
    assert left(cells, meter) == remaining, story


@ANY_METER
def test_grants_add_up_and_last_as_long_as_the_longest(meter: Meter) -> None:
    cells: Cells = {}
    give(cells, meter, 3, hours=4)
    give(cells, meter, 4, hours=2)
    assert left(cells, meter) == 17
    assert left(cells, meter, now_us=START + 4 * HOUR - 1) == 17
    assert left(cells, meter, now_us=START + 4 * HOUR) == 10


@ANY_METER
def test_a_credit_is_charged_first_and_then_the_rest_refills_as_ever(meter: Meter) -> None:
    cells: Cells = {}
    give(cells, meter, 5)
    assert hit(cells, meter, START, 3)
    assert left(cells, meter) == 12
    assert hit(cells, meter, START + MINUTE, 6)
    assert left(cells, meter, now_us=START + MINUTE) == 6
    assert left(cells, meter, now_us=START + 2 * HOUR) == 10


@ANY_METER
def test_in_credit_more_than_the_capacity_still_never_fits(meter: Meter) -> None:
    cells: Cells = {}
    give(cells, meter, 100)
    assert not hit(cells, meter, START, 11)
    assert all(hit(cells, meter, START, 10) for _ in range(11))
    assert not hit(cells, meter, START)


@ANY_METER
def test_a_refund_leaves_a_credit_as_it_is(meter: Meter) -> None:
    cells: Cells = {}
    give(cells, meter, 5)
    assert hit(cells, meter, START, -3)
    assert left(cells, meter) == 15


@ANY_METER
def test_post_paid_hits_reach_through_a_credit_into_debt(meter: Meter) -> None:
    cells: Cells = {}
    give(cells, meter, 5)
    hit(cells, meter, START, 18, mode=P)
    assert left(cells, meter) == -3
    give(cells, meter, 8)
    hit(cells, meter, START, 10_000, mode=P)
    assert left(cells, meter) == -10


@ANY_METER
@pytest.mark.parametrize("times", [1, 3])
def test_credit_has_an_end_even_if_grants_have_none(meter: Meter, times: int) -> None:
    cells: Cells = {}
    for _ in range(times):
        give(cells, meter, 2**64)
    assert used(cells, meter, START) == -meter.most_credit
    assert hit(cells, meter, START, 10)


def test_a_changed_bucket_ends_a_credit() -> None:
    cells: Cells = {}
    give(cells, METERS["bucket"], 5)
    wider = Bucket.of(Limit(requests_per_unit=11, unit=Unit.HOUR))
    assert left(cells, wider) == 11
