"""The scripts and their twins side by side, whatever is done in whatever order.

Hypothesis looks for the shortest story after which they differ, or after which something holds
that must never hold.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.charge import Charge, Mode, answers, blocked
from ratelimit_service.core.grant import grant
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.core.take import take
from ratelimit_service.core.window import Window
from tests.differential.lua_meters import SECOND, START, LuaMeters, text

if TYPE_CHECKING:
    from ratelimit_service.core.charge import Meter
    from ratelimit_service.core.take import Cells
    from tests.servers import Server

DAYS = [START // SECOND // 86_400 * 86_400 + 86_400 * day for day in (-1, 0, 1, 2)]
KINDS = ["bucket", "sliding", "fixed", "calendar"]
UNITS = {"bucket": Unit.MINUTE, "sliding": Unit.MINUTE, "fixed": Unit.HOUR, "calendar": Unit.DAY}

kinds = st.sampled_from(KINDS)
hits = st.one_of(st.integers(-8, 12), st.sampled_from([-(2**64), 1000, 2**64]))
asked = st.lists(st.tuples(kinds, hits, st.sampled_from(Mode)), min_size=1, max_size=4)
gaps = st.one_of(
    st.integers(0, 100),
    st.integers(-2 * SECOND, 0),
    st.integers(0, 2 * SECOND),
    st.integers(0, 200 * SECOND),
    st.integers(-200 * SECOND, 3 * 86_400 * SECOND),
)


def meter_of(kind: str, limit: Limit) -> Meter:
    if kind == "bucket":
        return Bucket.of(limit)
    if kind == "calendar":
        return Window.calendar(limit, DAYS)
    return Window.sliding(limit) if kind == "sliding" else Window.fixed(limit)


class Meters(RuleBasedStateMachine):
    """One meter of each kind, in both stores."""

    lua: ClassVar[LuaMeters]

    def __init__(self) -> None:
        super().__init__()
        self.lua.client.flushall()
        self.cells: Cells = {}
        self.now = START
        self.told: list[int] = []
        self.limits = {kind: Limit(requests_per_unit=5, unit=unit) for kind, unit in UNITS.items()}

    def charge(self, kind: str, hits: int, mode: Mode = Mode.ENFORCED) -> Charge:
        meter = meter_of(kind, self.limits[kind])
        return Charge(kind.encode(), meter, meter.cost(hits), mode)

    @rule(gap=gaps)
    def wait(self, gap: int) -> None:
        self.now += gap

    @precondition(lambda self: self.told)
    @rule(which=st.integers(0, 100), off=st.integers(-1, 1))
    def wait_as_told(self, which: int, off: int) -> None:
        """Go to the very moment that an answer named; a bucket's debt is one, too."""
        self.now += max(0, min(self.told[which % len(self.told)], 10**13)) + off

    @rule(requests=st.lists(asked, min_size=1, max_size=3))
    def take(self, requests: list[list[tuple[str, int, Mode]]]) -> None:
        charges = [[self.charge(*charge) for charge in request] for request in requests]
        before = dict(self.cells)
        met = take(self.cells, charges, self.now)
        assert self.lua.take(charges, self.now) == met
        self.told = met
        if len(charges) == 1:
            self.check_nothing_is_written_that_was_blocked(charges[0], met, before)

    def check_nothing_is_written_that_was_blocked(
        self, charges: list[Charge], met: list[int], before: dict[bytes, Any]
    ) -> None:
        debts = [answer[0] for answer in answers(charges, met)]
        stopped = blocked(charges, debts)
        if stopped and all(charge.mode in stopped for charge in charges):
            assert self.cells == before

    @rule(given=st.lists(st.tuples(kinds, st.integers(1, 20)), min_size=1, max_size=3), span=gaps)
    def grant(self, given: list[tuple[str, int]], span: int) -> None:
        grants = [self.charge(kind, -hits) for kind, hits in given]
        span = max(1, span)
        assert self.lua.grant(grants, span, self.now) == grant(self.cells, grants, span, self.now)

    @rule(kind=kinds, requests=st.sampled_from([1, 2, 5, 9, 1000]))
    def change_the_limit(self, kind: str, requests: int) -> None:
        self.limits[kind] = replace(self.limits[kind], requests_per_unit=requests)

    @rule(kind=kinds)
    def forget(self, kind: str) -> None:
        self.lua.client.delete(kind)
        self.cells.pop(kind.encode(), None)

    @invariant()
    def what_is_stored_is_the_same_and_expires(self) -> None:
        for kind in KINDS:
            cell = self.cells.get(kind.encode())
            assert self.lua.client.get(kind) == text(cell, self.charge(kind, 0).meter)
            assert cell is None or self.lua.client.pttl(kind) > 0


def test_the_scripts_are_their_twins_whatever_is_done(valkey: Server) -> None:
    with redis.Redis(port=valkey.port) as client:

        class Here(Meters):
            lua = LuaMeters(client)

        run_state_machine_as_test(
            Here, settings=settings(max_examples=40, stateful_step_count=25, deadline=None)
        )
