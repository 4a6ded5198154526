"""The use case: what a request meets when the store answers, fails or is too busy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chassis.errors import Exhausted, SluiceError, Unavailable
from ratelimit_service.core.bucket import Cell, Charge, take
from ratelimit_service.core.descriptor import Descriptor
from ratelimit_service.service import Done, Limiter
from tests.unit.ratelimit_service.core.test_decide import RULES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratelimit_service.core.rules import RuleSet


class Store:
    """A BucketStore with a frozen clock and a failure switch."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.cells: dict[bytes, Cell] = {}
        self.asked = 0

    def take(self, charges: Sequence[Charge], timeout_seconds: float | None, done: Done) -> None:
        self.asked += 1
        if self.error:
            done((), self.error)
        else:
            done(take(self.cells, [charges], 1), None)


class Rules:
    """A RuleSource."""

    def __init__(self, current: RuleSet | None) -> None:
        self.current = current


async def over(limiter: Limiter, *keys: str) -> bool:
    descriptors = [Descriptor(entries=((key, "v"),)) for key in keys]
    plan = limiter.plan(limiter.rules, "d", descriptors)
    return (await limiter.check(plan, None)).over


async def test_passes_and_refusals_are_counted() -> None:
    limiter = Limiter(Rules(RULES), Store())
    assert [await over(limiter, "two") for _ in range(3)] == [False, False, True]
    assert (limiter.counts.ok, limiter.counts.over_limit) == (2, 1)


async def test_what_needs_no_store_does_not_ask_it() -> None:
    store = Store()
    limiter = Limiter(Rules(RULES), store)
    assert not await over(limiter, "free", "nobody")
    assert await over(limiter, "none")
    assert not store.asked


@pytest.mark.parametrize("trouble", [Unavailable("away"), Exhausted("too many")])
async def test_rules_decide_when_the_store_does_not(trouble: SluiceError) -> None:
    store = Store()
    store.error = trouble
    limiter = Limiter(Rules(RULES), store)
    assert not await over(limiter, "open")
    assert await over(limiter, "shut")
    with pytest.raises(type(trouble)):
        await over(limiter, "ten")
    counts = limiter.counts
    assert (counts.store_failures, counts.allowed_without_store) == (3, 1)
    assert counts.denied_without_store == 1


async def test_a_bug_in_the_store_is_not_taken_for_its_absence() -> None:
    store = Store()
    store.error = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError):
        await over(Limiter(Rules(RULES), store), "open")


async def test_without_rules_the_service_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="no rate limit configuration loaded"):
        await over(Limiter(Rules(None), Store()), "two")
