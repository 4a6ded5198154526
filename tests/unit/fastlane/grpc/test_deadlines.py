"""Many deadlines behind one timer."""

from __future__ import annotations

import asyncio

from fastlane.grpc.deadlines import Deadlines
from tests.waiting import wait_until


class Expiring:
    """Notes when it expires."""

    def __init__(self, story: list[str], name: str) -> None:
        self.story = story
        self.name = name
        self.deadline: float | None = None

    def on_deadline(self) -> None:
        """Note it."""
        self.story.append(self.name)


async def test_calls_expire_in_order_and_not_early() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop)
    story: list[str] = []
    begun = loop.time()
    for name, delay in (("late", 0.06), ("soon", 0.02), ("middle", 0.04)):
        deadlines.add(Expiring(story, name), begun + delay)
    await wait_until(lambda: len(story) == 3, description="all have expired")
    assert story == ["soon", "middle", "late"]
    assert loop.time() - begun >= 0.059


async def test_a_call_that_ends_in_time_does_not_expire() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop)
    story: list[str] = []
    at = loop.time() + 0.01
    early, late = Expiring(story, "early"), Expiring(story, "late")
    deadlines.add(early, at)
    deadlines.add(late, at)
    deadlines.discard(early, at)
    deadlines.discard(early, at + 10)
    await wait_until(lambda: bool(story), description="one has expired")
    assert story == ["late"]


async def test_a_deadline_that_has_passed_expires_at_once() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop)
    story: list[str] = []
    deadlines.add(Expiring(story, "past"), loop.time() - 1)
    await wait_until(lambda: story == ["past"], description="it has expired")


async def test_calls_that_end_in_time_leave_nothing_behind() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop)
    story: list[str] = []
    soon = loop.time() + 0.05
    first, second = Expiring(story, "first"), Expiring(story, "second")
    deadlines.add(first, soon)
    deadlines.discard(first, soon)
    deadlines.add(second, soon)
    for number in range(2_000):
        passing = Expiring(story, "never")
        deadlines.add(passing, soon + 100 + number)
        deadlines.discard(passing, soon + 100 + number)
    assert len(deadlines._slots) < 100
    assert len(deadlines._order) == len(deadlines._slots)
    await wait_until(lambda: bool(story), description="one has expired")
    assert story == ["second"]
    deadlines.close()


async def test_closing_stops_the_timer() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop)
    story: list[str] = []
    deadlines.add(Expiring(story, "never"), loop.time() + 0.01)
    deadlines.close()
    await asyncio.sleep(0.03)
    assert story == []
