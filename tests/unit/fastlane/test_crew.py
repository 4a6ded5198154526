"""Workers: few tasks for many calls, and none of them notices."""

from __future__ import annotations

import asyncio
import contextvars
from functools import partial
from typing import TYPE_CHECKING, Any

from fastlane.crew import Crew
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)


class Job:
    """A call of the crew."""

    def __init__(self, function: Callable[[], Coroutine[Any, Any, Any] | None]) -> None:
        self.function = function
        self.over = False
        self.task: asyncio.Task[None] | None = None
        self.results: list[Any] = []
        self.errors: list[BaseException] = []
        self.waited = False

    def start(self) -> Coroutine[Any, Any, Any] | None:
        """Begin."""
        return self.function()

    def on_result(self, result: Any) -> None:
        """Note it."""
        self.results.append(result)

    def on_error(self, error: BaseException) -> None:
        """Note it."""
        self.errors.append(error)

    def on_wait(self) -> None:
        """Note it."""
        self.waited = True


class Sink:
    """Counts its flushes."""

    def __init__(self) -> None:
        self.flushes = 0

    def flush(self) -> None:
        """Count."""
        self.flushes += 1


def started(function: Callable[[], Coroutine[Any, Any, Any] | None], count: int = 1) -> list[Job]:
    """Queue jobs at a new crew."""
    crew = Crew(asyncio.get_running_loop())
    jobs = [Job(function) for _ in range(count)]
    for job in jobs:
        crew.add(job)
    return jobs


async def test_calls_that_do_not_wait_share_a_task() -> None:
    tasks: set[Any] = set()

    async def quick() -> int:
        tasks.add(asyncio.current_task())
        return 7

    jobs = started(quick, 50)
    await wait_until(lambda: all(job.results for job in jobs), description="all are done")
    assert len(tasks) == 1
    assert not any(job.waited for job in jobs)


async def test_a_call_that_waits_has_its_task_to_itself() -> None:
    seen: list[tuple[Any, Any]] = []

    async def slow() -> int:
        before = asyncio.current_task()
        await asyncio.sleep(0.001)
        seen.append((before, asyncio.current_task()))
        return 1

    jobs = started(slow, 20)
    await wait_until(lambda: all(job.results for job in jobs), description="all are done")
    assert all(before is after for before, after in seen)
    assert len({before for before, _ in seen}) == 20
    assert all(job.waited for job in jobs)


async def test_contexts_are_separate_from_the_first_step_to_the_last() -> None:
    async def count() -> int:
        variable.set(variable.get() + 1)
        await asyncio.sleep(0)
        variable.set(variable.get() + 1)
        return variable.get()

    jobs = started(count, 5)
    await wait_until(lambda: all(job.results for job in jobs), description="all are done")
    assert [job.results for job in jobs] == [[2]] * 5


async def test_cancelling_one_hits_nobody_else() -> None:
    async def wait() -> int:
        await asyncio.sleep(0.02)
        return 1

    first, second = started(wait, 2)
    await wait_until(lambda: second.waited, description="both wait")
    assert first.task is not None
    first.task.cancel()
    await wait_until(lambda: bool(second.results), description="the second is done")
    assert isinstance(first.errors[0], asyncio.CancelledError)
    assert second.errors == []


async def test_a_call_that_cancels_itself_without_waiting_hits_nobody_else() -> None:
    async def cancel_self() -> int:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return 1

    jobs = started(cancel_self, 3)
    await wait_until(lambda: all(job.results for job in jobs), description="all are done")
    assert not any(job.errors for job in jobs)


async def test_errors_come_back_from_any_step() -> None:
    async def early() -> None:
        raise ValueError("early")

    async def late() -> None:
        await asyncio.sleep(0)
        raise ValueError("late")

    def never() -> None:
        raise ValueError("never")

    for function in (early, late, never):
        (job,) = started(function)
        await wait_until(partial(bool, job.errors), description="it failed")
        assert str(job.errors[0]) == function.__name__


async def test_a_call_that_is_over_is_not_started() -> None:
    async def run() -> int:
        return 1

    crew = Crew(asyncio.get_running_loop())
    dead, alive = Job(run), Job(run)
    crew.add(dead)
    crew.add(alive)
    dead.over = True
    await wait_until(lambda: bool(alive.results), description="the other is done")
    assert dead.results == []


async def test_what_a_turn_touches_is_flushed_once() -> None:
    crew = Crew(asyncio.get_running_loop())
    sink = Sink()

    async def write() -> int:
        if not sink.flushes:
            touched.append(True)
        return 1

    touched: list[bool] = []
    crew.touch(sink)
    jobs = [Job(write) for _ in range(10)]
    for job in jobs:
        crew.add(job)
    await wait_until(lambda: all(job.results for job in jobs), description="all are done")
    assert sink.flushes == 1


async def test_waiting_for_the_crew_ends_when_it_is_idle() -> None:
    crew = Crew(asyncio.get_running_loop())
    job = Job(lambda: asyncio.sleep(0.01, 1))
    crew.add(job)
    await asyncio.wait_for(crew.wait_idle(), 5)
    assert job.results == [1]
