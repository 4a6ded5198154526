"""Requests that are known but for their last value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import InvalidRequest
from ratelimit_service.transport import codec
from ratelimit_service.transport.series import SeriesMemo
from tests.limiting import make_limiter
from tests.unit.ratelimit_service.core.test_rules import build
from tests.unit.ratelimit_service.service.test_limiter import Store
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from ratelimit_service.service import Limiter
    from ratelimit_service.service.asked import Asked, Edition

RULES = build("""
domain: d
descriptors:
  - key: user
    rate_limit: {unit: minute, requests_per_unit: 10}
  - key: plan
    rate_limit: {unit: minute, requests_per_unit: 10}
  - key: plan
    value: gold
    rate_limit: {unit: minute, requests_per_unit: 100}
  - key: told
    value_to_metric: true
    rate_limit: {unit: minute, requests_per_unit: 10}
  - key: block
    rate_limit: {unit: minute, requests_per_unit: 0}
  - key: several
    limits:
      - {unit: minute, requests_per_unit: 10}
      - {unit: hour, requests_per_unit: 100}
  - key: sharded
    shard_by: sharded
    rate_limit: {unit: minute, requests_per_unit: 10}
  - key: free
    rate_limit: {unlimited: true}
  - key: gauged
    postpaid: true
    algorithm: sliding_window
    rate_limit: {unit: minute, requests_per_unit: 10}
  - key: path
    descriptors:
      - key: user
        rate_limit: {unit: minute, requests_per_unit: 10}
""")


def wire(*entries: tuple[str, str], domain: str = "d", hits: int = 0) -> bytes:
    request = RateLimitRequest(domain=domain, hits_addend=hits)
    descriptor = request.descriptors.add()
    for key, value in entries:
        descriptor.entries.add(key=key, value=value)
    return request.SerializeToString()


class Desk:
    """A memo of series, and how often it had a request planned in full."""

    def __init__(self, limiter: Limiter | None = None) -> None:
        self.limiter = limiter or make_limiter(RULES, Store())
        self.planned = 0
        self.memo = SeriesMemo(self._plan, self.limiter.series)

    def _plan(self, edition: Edition, request: bytes) -> Asked:
        self.planned += 1
        return self.limiter.ask(edition, *codec.decode(request))

    def asked(self, request: bytes) -> Asked:
        return self.memo.asked(self.limiter.edition, request)

    def in_full(self, request: bytes) -> Asked:
        return self.limiter.ask(self.limiter.edition, *codec.decode(request))


@pytest.mark.parametrize("before", [(), (("path", "/a"),)], ids=["alone", "below"])
def test_clients_that_differ_in_the_last_value_are_planned_once(
    before: tuple[tuple[str, str], ...],
) -> None:
    desk = Desk()
    for number in range(100):
        desk.asked(wire(*before, ("user", f"client-{number:03}")))
    assert desk.planned == 2


@pytest.mark.parametrize(
    "key",
    ["user", "plan", "told", "block", "several", "sharded", "free", "gauged", "path", "nobody"],
)
@pytest.mark.parametrize("domain", ["d", "e"])
def test_what_is_asked_is_what_a_full_plan_says(key: str, domain: str) -> None:
    desk = Desk()
    for value in ("1234", "goldy", "gold", "4321", "gold", "", "äöüß", "abcd", "gold"):
        for _ in range(2):
            request = wire((key, value), domain=domain)
            found, whole = desk.asked(request), desk.in_full(request)
            assert found.plan.charges == whole.plan.charges == found.charges
            assert found.plan.items == whole.plan.items
            assert [charge.words for charge in found.charges] == [
                charge.words for charge in whole.charges
            ]
            assert found.descriptors == whole.descriptors
            assert found.counted[0].tally is whole.counted[0].tally
            assert (found.local, found.is_large) == (whole.local, whole.is_large)
            assert found.outline.quotas == whole.outline.quotas


@pytest.mark.parametrize("key", ["plan", "told", "several", "sharded", "nobody", "free"])
def test_a_value_that_decides_more_than_whose_counter_it_is_is_always_looked_at(key: str) -> None:
    desk = Desk()
    for number in range(10):
        desk.asked(wire((key, f"{number:04}")))
    assert desk.planned == 10


def test_another_length_or_a_hidden_field_is_another_series() -> None:
    desk = Desk()
    for number in range(10):
        desk.asked(wire(("user", f"{number:04}")))
    assert desk.planned == 2
    desk.asked(wire(("user", "12345")))
    two_hits = desk.asked(wire(("user", "1234"), hits=2))
    assert two_hits.charges[0].cost == 2 * desk.asked(wire(("user", "1234"))).charges[0].cost
    assert desk.planned == 4


def test_a_value_that_is_no_text_is_refused_still() -> None:
    desk = Desk()
    for _ in range(3):
        desk.asked(wire(("user", "aaaa")))
    with pytest.raises(InvalidRequest):
        desk.asked(wire(("user", "aaaa")).replace(b"aaaa", b"\xff\xfe\xfd\xfc"))


def test_every_edition_begins_anew() -> None:
    desk = Desk()
    for _ in range(3):
        desk.asked(wire(("user", "a")))
    desk.limiter = make_limiter(RULES, Store())
    desk.asked(wire(("user", "b")))
    assert desk.planned == 3


def test_beginnings_are_bounded() -> None:
    desk = Desk()
    for number in range(3 * SeriesMemo.MAX_KEPT):
        for _ in range(3):
            desk.asked(wire(("path", str(number)), ("user", "a")))
    assert len(desk.memo._kept) <= SeriesMemo.MAX_KEPT
    assert len(desk.memo._seen) <= SeriesMemo.MAX_KEPT


def charges_or_refusal(ask: Callable[[bytes], Asked], request: bytes) -> object:
    try:
        return ask(request).plan.charges
    except InvalidRequest as refused:
        return refused.message


PLAIN = [
    wire(("user", "aaaa")),
    wire(("user", "aaaaaaaa")),
    wire(("path", "/x"), ("user", "aaaa")),
    wire(("user", "aaaa"), hits=3),
]


@given(
    request=st.sampled_from(PLAIN),
    changes=st.lists(st.tuples(st.integers(0, 60), st.binary(max_size=3)), max_size=3),
)
def test_no_bytes_are_taken_for_a_series_that_say_something_else(
    request: bytes, changes: list[tuple[int, bytes]]
) -> None:
    desk = Desk()
    for known in PLAIN * 2:
        desk.asked(known)
    mutated = bytearray(request)
    for at, piece in changes:
        mutated[at : at + len(piece)] = piece
    found = charges_or_refusal(desk.asked, bytes(mutated))
    assert found == charges_or_refusal(desk.in_full, bytes(mutated))
