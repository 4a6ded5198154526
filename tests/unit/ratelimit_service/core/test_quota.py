"""Splitting a bucket: by demand, fairly, and never more than there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_service.core.quota import level, split
from ratelimit_service.core.share import MAX_AGE_SECONDS, Block, Share, Terms

NOW = 1_000.0
TERMS = Terms(capacity=100, fills_in=60.0)


@pytest.mark.parametrize(
    ("story", "total", "claims", "parts"),
    [
        ("there is enough", 100, [10, 20], [10, 20]),
        ("alike", 10, [20, 20], [5, 5]),
        ("who asks for little gets it", 10, [1, 20, 3], [1, 6, 3]),
        ("who asks for nothing gets nothing", 10, [0, 20], [0, 10]),
        ("nothing is there", 0, [5, 5], [0, 0]),
        ("nobody is there", 5, [], []),
    ],
)
def test_the_level(story: str, total: int, claims: list[int], parts: list[int]) -> None:
    assert level(total, claims, [0.0] * len(claims)) == parts, story


def test_what_does_not_divide_goes_to_those_who_waited_longest() -> None:
    assert level(2, [9, 9, 9], [30.0, 10.0, 20.0]) == [0, 1, 1]


claims_and_waits = st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 100)), max_size=12)


@given(st.integers(0, 3000), claims_and_waits)
def test_nobody_gets_more_while_another_has_less_and_wants_more(
    total: int, asked: list[tuple[int, float]]
) -> None:
    claims, waits = [claim for claim, _ in asked], [wait for _, wait in asked]
    parts = level(total, claims, waits)
    assert sum(parts) == min(total, sum(claims))
    assert all(0 <= part <= claim for part, claim in zip(parts, claims, strict=True))
    unmet = [part for part, claim in zip(parts, claims, strict=True) if part < claim]
    assert not unmet or max(parts) <= min(unmet) + 1


def known(rate: float, *, due: bool = True, block: int = 0) -> Share:
    share = Share(rate=rate, reported_at=NOW, due=due)
    if block:
        share.give(Block(block, 1), NOW, TERMS)
        share.due = due
    return share


def newcomer() -> Share:
    return Share(reported_at=NOW, due=True)


def test_each_gets_what_it_wants_if_there_is_enough() -> None:
    quiet, busy = known(1), known(5)
    grants = split([quiet, busy], NOW, 100, TERMS)
    assert grants == [(quiet, quiet.want(TERMS)), (busy, busy.want(TERMS))]


def test_a_newcomer_gets_half_of_its_part() -> None:
    first, second = newcomer(), newcomer()
    assert split([first], NOW, 100, TERMS) == [(first, 50)]
    assert split([first, second], NOW, 100, TERMS) == [(first, 25), (second, 25)]
    assert split([first], NOW, 1, TERMS) == [(first, 1)]


def test_the_part_of_those_who_report_later_is_kept_for_them() -> None:
    busy, other = known(50), known(5, due=False)
    ((who, tokens),) = split([busy, other], NOW, 100, TERMS)
    assert who is busy
    assert tokens == 100 - other.want(TERMS)


def test_tokens_in_hand_are_not_replaced_by_fewer() -> None:
    holder, busy = known(20, block=60), known(90)
    grants = dict(split([holder, busy], NOW, 20, TERMS))
    assert holder not in grants


def test_who_holds_too_much_is_given_less() -> None:
    idle = known(0, block=60)
    assert split([idle], NOW, 20, TERMS) == [(idle, TERMS.least)]


def test_a_block_that_was_held_too_long_is_replaced_by_fewer() -> None:
    holder = known(1, block=12)
    holder.given_at -= MAX_AGE_SECONDS + 1
    ((who, tokens),) = split([holder], NOW, 8, TERMS)
    assert who is holder
    assert tokens <= 8


def test_who_left_gets_nothing() -> None:
    gone = known(5)
    gone.joined = False
    assert not split([gone], NOW, 100, TERMS)


@given(
    st.integers(0, 500),
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(0, 200)),
            st.booleans(),
            st.booleans(),
            st.integers(0, 60),
        ),
        max_size=8,
    ),
)
def test_never_more_than_there_is(
    available: int, made: list[tuple[float | None, bool, bool, int]]
) -> None:
    shares = []
    for rate, due, hungry, block in made:
        share = Share(rate=rate, reported_at=NOW)
        if block:
            share.give(Block(block, 1), NOW - 3, TERMS)
        share.due, share.hungry = due, hungry
        shares.append(share)
    grants = split(shares, NOW, available, TERMS)
    assert sum(tokens for _, tokens in grants) <= available
    assert all(tokens > 0 for _, tokens in grants)
