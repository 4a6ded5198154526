"""Plans and verdicts: what is charged, and what is said of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_service.core.bucket import Cell, take
from ratelimit_service.core.decide import Plan, Status, Verdict, judge, plan, without_store
from ratelimit_service.core.descriptor import Descriptor
from ratelimit_service.core.limit import UNLIMITED_REMAINING
from tests.unit.ratelimit_service.core.test_rules import build

START = 1_795_561_835_147_696
SECOND = 1_000_000

RULES = build("""
domain: d
descriptors:
  - key: ten
    rate_limit: {unit: minute, requests_per_unit: 10, name: tenner}
  - key: two
    rate_limit: {unit: hour, requests_per_unit: 2}
  - key: none
    rate_limit: {unit: day, requests_per_unit: 0}
  - key: free
    rate_limit: {unlimited: true}
  - key: open
    rate_limit: {unit: hour, requests_per_unit: 2}
    on_store_failure: allow
  - key: shut
    rate_limit: {unit: hour, requests_per_unit: 2}
    on_store_failure: deny
""")


def ask(*keys: str, hits: int = 1) -> Plan:
    descriptors = [Descriptor(entries=((key, "v"),), hits=hits) for key in keys]
    return plan(RULES, "", "d", descriptors)


def run(asked: Plan, cells: dict[bytes, Cell], now_us: int = START) -> Verdict:
    return judge(asked, take(cells, [asked.charges], now_us))


def test_a_pass_says_what_is_left_and_when_the_bucket_is_full_again() -> None:
    (status,) = run(ask("ten", hits=3), {}).statuses
    assert not status.over
    assert status.limit is not None
    assert status.limit.name == "tenner"
    assert (status.remaining, status.reset_us) == (7, 18 * SECOND)


def test_a_refusal_says_when_the_asked_hits_fit_in_whole_seconds() -> None:
    cells: dict[bytes, Cell] = {}
    run(ask("ten", hits=8), cells)
    verdict = run(ask("ten", hits=5), cells, START + 100_000)
    assert verdict.over
    (status,) = verdict.statuses
    # Three tokens are short, six seconds each, 0.1 s of which have gone: 17.9 s, rounded up.
    assert (status.over, status.remaining, status.reset_us) == (True, 2, 18 * SECOND)


def test_more_hits_than_the_bucket_holds_never_fit_and_cost_nothing() -> None:
    cells: dict[bytes, Cell] = {}
    run(ask("ten", hits=4), cells)
    verdict = run(ask("ten", hits=2**64 - 1), cells)
    assert verdict.over
    assert (verdict.statuses[0].remaining, verdict.statuses[0].reset_us) == (6, 24 * SECOND)
    assert not run(ask("ten", hits=6), cells).over


def test_a_request_refused_by_one_descriptor_charges_none() -> None:
    cells: dict[bytes, Cell] = {}
    run(ask("two", hits=2), cells)
    verdict = run(ask("ten", "two"), cells)
    assert verdict.over
    assert [status.over for status in verdict.statuses] == [False, True]
    assert verdict.statuses[0].remaining == 10
    assert run(ask("ten"), cells).statuses[0].remaining == 9


def test_a_limit_of_zero_refuses_without_asking_the_store_to_charge_the_rest() -> None:
    cells: dict[bytes, Cell] = {}
    verdict = run(ask("ten", "none"), cells)
    assert verdict.over
    assert verdict.statuses[1].remaining == 0
    assert verdict.statuses[1].reset_us == 86_400 * SECOND
    assert not cells
    assert verdict.statuses[0].remaining == 10


@given(
    st.sampled_from(["ten", "two"]),
    st.one_of(st.integers(-12, 12), st.integers(-(2**64), 2**64)),
    st.integers(0, 10),
)
def test_one_descriptor_alone_is_judged_as_among_others(key: str, hits: int, used: int) -> None:
    cells: dict[bytes, Cell] = {}
    run(ask(key, hits=used), cells)
    alone, among = ask(key, hits=hits), ask(key, "nobody", hits=hits)
    met = take(dict(cells), [alone.charges], START)
    one, two = judge(alone, met), judge(among, met)
    assert one.over == two.over
    assert one.statuses[0] == two.statuses[0]


def test_looking_at_a_limit_of_zero_is_not_refused() -> None:
    assert not run(ask("none", hits=0), {}).over


def test_unlimited_and_unmatched_need_no_store() -> None:
    asked = ask("free", "nobody")
    assert not asked.charges
    verdict = judge(asked, ())
    assert not verdict.over
    free, nobody = verdict.statuses
    assert (free.remaining, free.limit) == (UNLIMITED_REMAINING, None)
    assert nobody == Status()


def test_a_refund_is_never_refused() -> None:
    cells: dict[bytes, Cell] = {}
    run(ask("two", hits=2), cells)
    verdict = run(ask("two", hits=-1), cells)
    assert not verdict.over
    assert verdict.statuses[0].remaining == 1


@pytest.mark.parametrize(
    ("story", "keys", "over"),
    [
        ("allow lets through", ("open",), False),
        ("deny refuses", ("shut",), True),
        ("deny beats allow", ("open", "shut"), True),
        ("an unmatched descriptor does not matter", ("open", "nobody"), False),
        ("one rule that leaves it open leaves it to the proxy", ("open", "ten"), None),
    ],
)
def test_rules_decide_while_the_store_is_away(
    story: str, keys: tuple[str, ...], over: bool | None
) -> None:
    verdict = without_store(ask(*keys))
    assert (verdict and verdict.over) is over, story
