"""What a stream has and wants: only what it cannot have spent goes back."""

from __future__ import annotations

import pytest

from ratelimit_service.core.share import (
    IDLE_REPORTS,
    MAX_AGE_SECONDS,
    PROLONG_SECONDS,
    SETTLE_SECONDS,
    TTL_SECONDS,
    Block,
    Share,
    Terms,
)

TERMS = Terms(capacity=100, fills_in=60.0)
START = 1_000.0


def report(share: Share, at: float, passed: int, refused: int = 0) -> tuple[int, int]:
    """Take a report `at` seconds after the start; return what goes back and what was overspent."""
    share.hear(START + at, passed + refused, 0.0)
    return share.settle(START + at, passed)


def give(share: Share, at: float, tokens: int) -> None:
    share.give(Block(tokens, int(at * 1000)), START + at, TERMS)


def a_share(tokens: int = 50) -> Share:
    """Return one that was given a block with its first report."""
    share = Share()
    report(share, 0, 0, refused=1)
    give(share, 0, tokens)
    return share


def test_what_a_replaced_block_has_left_goes_back_with_the_second_report_after_it() -> None:
    share = a_share(50)
    assert report(share, 5, 10) == (0, 0)
    give(share, 5, 20)
    assert report(share, 10, 0) == (0, 0), "it may have been written before the new block came"
    assert report(share, 15, 0) == (40, 0)
    assert report(share, 20, 0) == (0, 0), "once"


def test_what_was_spent_may_have_been_of_any_block() -> None:
    share = a_share(50)
    report(share, 5, 10)
    give(share, 5, 20)
    report(share, 10, 20)
    assert report(share, 15, 0) == (20, 0), "50 were given first, and 30 were spent of 70"


def test_reports_in_quick_succession_close_nothing() -> None:
    share = a_share(50)
    report(share, 5, 10)
    give(share, 5, 20)
    report(share, 10, 0)
    for tick in range(1, 30):
        assert report(share, 10 + tick * SETTLE_SECONDS / 30, 0) == (0, 0)
    assert report(share, 10 + SETTLE_SECONDS, 0) == (40, 0)


def test_while_something_is_not_on_its_way_nothing_is_closed() -> None:
    share = a_share(50)
    report(share, 5, 10)
    give(share, 5, 20)
    share.queued = True
    for at in (10, 15, 20, 25):
        assert report(share, at, 0) == (0, 0)
    share.queued = False
    report(share, 30, 0)
    assert report(share, 35, 0) == (40, 0)


def test_what_passed_without_leave_is_to_be_charged_once() -> None:
    share = Share()
    assert report(share, 0, 7) == (0, 7)
    assert report(share, 5, 0) == (0, 0)
    give(share, 5, 10)
    assert report(share, 10, 13) == (0, 3)


def test_a_block_may_be_prolonged_while_it_is_surely_in_force() -> None:
    share = a_share()
    assert share.may_be_prolonged(START + PROLONG_SECONDS)
    assert not share.may_be_prolonged(START + PROLONG_SECONDS + 0.01), "it would come full again"
    at = START
    while at + 5 <= START + MAX_AGE_SECONDS:
        at += 5
        share.prolong(at, hungry=False)
    assert not share.may_be_prolonged(at + 5), "or tokens pile up behind those that are held"


def test_a_rise_in_demand_counts_at_once_and_a_fall_by_half() -> None:
    share = a_share()
    report(share, 5, 50)
    assert share.rate == 10
    report(share, 10, 500)
    assert share.rate == 100
    report(share, 15, 5)
    assert share.rate == 50


def test_refused_requests_are_demand() -> None:
    share = a_share()
    report(share, 5, 10, refused=90)
    assert share.rate == 20


def test_the_first_two_reports_together_say_nothing_of_a_rate() -> None:
    share = a_share()
    report(share, 0.01, 3)
    assert share.rate is None
    report(share, 5, 7)
    assert share.rate == pytest.approx(10 / 5)


def test_who_comes_from_another_replica_is_known_by_its_first_report() -> None:
    share = Share()
    share.hear(START, 100, 5.0)
    assert share.rate == 20


def test_who_does_not_ask_gives_back_and_is_abandoned() -> None:
    share = a_share(50)
    report(share, 5, 50)
    give(share, 5, share.want(TERMS))
    seen = []
    for at in range(10, 60, 5):
        back, _ = report(share, at, 0)
        seen.append(back)
        if share.is_idle(TERMS):
            break
        if share.needs_new(START + at, TERMS):
            give(share, at, share.want(TERMS))
    assert share.is_idle(TERMS)
    assert len(seen) >= IDLE_REPORTS
    lost = share.granted - share.returned - share.spent
    assert lost <= TERMS.least, "no more than its last block"


def test_a_newcomer_that_does_not_ask_is_no_waste() -> None:
    share = a_share(50)
    report(share, 5, 0)
    assert share.has_too_much(START + 5, TERMS)


def test_who_has_enough_keeps_it() -> None:
    share = a_share(50)
    report(share, 5, 15)
    assert not share.needs_new(START + 5, TERMS)
    share.prolong(START + 5, hungry=False)
    report(share, 10, 15)
    assert not share.needs_new(START + 10, TERMS)
    share.prolong(START + 10, hungry=False)
    report(share, 15, 15)
    assert share.needs_new(START + 15, TERMS), "5 will not do for 5 seconds"


def test_who_goes_short_uses_up_what_it_has_first() -> None:
    share = a_share(50)
    report(share, 5, 50, refused=50)
    give(share, 5, 40)
    assert share.hungry
    assert not share.is_eligible(START + 5.5)
    assert share.is_eligible(START + 5 + 40 / 20)


def test_who_fell_silent_gets_nothing() -> None:
    share = a_share(50)
    report(share, 5, 50, refused=50)
    give(share, 5, 40)
    assert share.is_eligible(START + 5 + TTL_SECONDS)
    assert not share.is_eligible(START + 6 + TTL_SECONDS)
    assert share.claim(START + 6 + TTL_SECONDS, 100, TERMS) == 0
