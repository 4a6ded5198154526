"""One timer for many deadlines."""

from __future__ import annotations

import asyncio
import itertools
import math
import time

import pytest

from chassis.alarm import Alarm
from tests.waiting import wait_until


class Owner:
    """Keeps deadlines, and the order in which it was told of them."""

    def __init__(self) -> None:
        self.deadlines: list[float] = []
        self.rung: list[list[float]] = []
        self.alarm = Alarm(time.monotonic, self.ring)

    def add(self, seconds: float) -> float:
        deadline = time.monotonic() + seconds
        self.deadlines.append(deadline)
        if deadline < self.alarm.at:
            self.alarm.set(deadline)
        return deadline

    def ring(self, now: float) -> float:
        self.rung.append(sorted(deadline for deadline in self.deadlines if deadline <= now))
        self.deadlines = [deadline for deadline in self.deadlines if deadline > now]
        return min(self.deadlines, default=math.inf)


@pytest.fixture
async def owner() -> Owner:
    return Owner()


async def test_everything_is_due_once_and_in_time(owner: Owner) -> None:
    deadlines = [owner.add(seconds) for seconds in (0.05, 0.02, 0.08, 0.021)]
    await wait_until(lambda: not owner.deadlines)
    assert time.monotonic() - max(deadlines) < 0.5
    assert sorted(itertools.chain(*owner.rung)) == sorted(deadlines)
    assert len(owner.rung) <= 5, "it does not ring again and again before something is due"


async def test_what_comes_sooner_rings_sooner(owner: Owner) -> None:
    owner.add(30)
    soon = owner.add(0.01)
    await wait_until(lambda: owner.rung)
    assert owner.rung == [[soon]]
    assert owner.alarm.at == owner.deadlines[0]
    owner.alarm.stop()


async def test_what_is_added_while_it_rings_is_not_forgotten(owner: Owner) -> None:
    added: list[float] = []

    def ring(_: float) -> float:
        if not added:
            added.append(time.monotonic() + 0.01)
            owner.alarm.set(added[0])
            return time.monotonic() + 30
        added.append(0.0)
        return math.inf

    owner.alarm = Alarm(time.monotonic, ring)
    owner.alarm.set(time.monotonic())
    await wait_until(lambda: len(added) == 2, timeout=2)


async def test_it_does_not_ring_once_it_is_stopped(owner: Owner) -> None:
    owner.add(0.01)
    owner.alarm.stop()
    assert owner.alarm.at == math.inf
    done = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.05, done.set_result, None)
    await done
    assert owner.rung == []
