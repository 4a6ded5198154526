"""Tasks that run calls: one task for all calls of a loop turn that do not have to wait.

A task a call costs 1.7 us, most of it wasted on handlers that never wait. A worker takes call after
call. A handler that finishes in its first step is done, for 0.5 us. At the first handler that waits
the worker becomes the task of that call alone, and another worker takes the queue. So for a handler
`asyncio.current_task()` is its own for as long as it could notice, cancelling it hits nobody else,
and every call runs in a context of its own (contextvars).

The crew also flushes: connections that calls have written to are told once a turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import copy_context
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator
    from contextvars import Context

# A step this long lets timers and other connections wait for some 2 ms, and no longer than this
# where handlers take their time: a message of 4 MiB may take 100 ms to parse.
_CALLS_A_STEP: Final = 256
_STEP_SECONDS: Final = 0.004


class Job(Protocol):
    """What a worker runs."""

    over: bool
    task: asyncio.Task[None] | None

    def start(self) -> Coroutine[Any, Any, Any] | None:
        """Start; returns what is left to run, if anything."""

    def on_result(self, result: Any) -> None:
        """Take what it returned, unless that was None."""

    def on_error(self, error: BaseException) -> None:
        """Take what it raised; raises it again if it is to end the process."""

    def on_wait(self) -> None:
        """Note that it did not finish in its first step."""


class Sink(Protocol):
    """What is flushed at the end of a turn."""

    def flush(self) -> None:
        """Write what has gathered."""


class Crew:
    """The workers of one server."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: deque[Job] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._dirty: list[Sink] = []
        self._flushes = False
        self._works = False
        self.is_behind = False
        """Whether calls were left over by the last step: reading more helps nobody then."""
        self.turn = 0
        """Turns of the loop in which there was something to do, so far."""

    def add(self, job: Job) -> None:
        """Queue a call for this turn."""
        self._queue.append(job)
        if not self._works:
            self._start_worker()

    def touch(self, sink: Sink) -> None:
        """Have `sink` flushed at the end of this turn; once a turn is for the caller to see to."""
        self._dirty.append(sink)
        if not self._flushes:
            self._flushes = True
            self._loop.call_soon(self._flush)

    async def wait_idle(self) -> None:
        """Wait until no call runs."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def cancel(self) -> None:
        """Cancel whatever runs."""
        for task in self._tasks:
            task.cancel()

    def _flush(self) -> None:
        self._flushes = False
        self.turn += 1
        dirty = self._dirty
        self._dirty = []
        for sink in dirty:
            sink.flush()

    def _start_worker(self) -> None:
        self._works = True
        task = self._loop.create_task(self._work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a worker runs as a task")
        self._flushes = True  # what this step writes is flushed at its end
        waiting: _Rest | None = None
        queue = self._queue
        until = perf_counter() + _STEP_SECONDS
        try:
            for count in range(_CALLS_A_STEP):
                if not queue:
                    break
                job = queue.popleft()
                if job.over:
                    continue
                waiting = _first_step(job, task)
                if waiting is not None or task.cancelling():
                    break
                if not count & 7 and perf_counter() >= until:  # each time would cost 0.06 us
                    break
        finally:
            self._works = False
            self.is_behind = bool(queue)
            if queue:
                self._start_worker()
            self._flush()
        if waiting is not None:
            await waiting.run()


def _first_step(job: Job, task: asyncio.Task[None]) -> _Rest | None:
    """Run a call until it ends or waits; returns the rest if it waits."""
    job.task = task
    try:
        coroutine = job.start()
        if coroutine is not None:
            context = copy_context()
            awaited = context.run(coroutine.send, None)
            return _Rest(job, coroutine, context, awaited)
    except StopIteration as stop:
        job.task = None
        if stop.value is not None:
            # deliver() written out: 0.05 us of every call.
            try:
                job.on_result(stop.value)
            except Exception as error:  # noqa: BLE001 - whatever a wrong type makes of itself
                job.on_error(error)
        return None
    except BaseException as error:  # noqa: BLE001 - the job decides
        job.on_error(error)
    job.task = None
    return None


def deliver(job: Job, result: Any) -> None:
    """Hand a result to its job; one that it cannot use is the handler's error."""
    try:
        job.on_result(result)
    except Exception as error:  # noqa: BLE001 - whatever a wrong type makes of itself
        job.on_error(error)


class _Rest:
    """The rest of a coroutine whose first step has been taken: await it to take the others."""

    __slots__ = ("_awaited", "_context", "_coroutine", "_job")

    def __init__(
        self, job: Job, coroutine: Coroutine[Any, Any, Any], context: Context, awaited: object
    ) -> None:
        self._job = job
        self._coroutine = coroutine
        self._context = context
        self._awaited = awaited

    async def run(self) -> None:
        """Take the other steps and hand the outcome to the job."""
        job = self._job
        job.on_wait()
        try:
            result = await self
        except BaseException as error:  # noqa: BLE001 - the job decides
            job.on_error(error)
        else:
            if result is not None:
                deliver(job, result)
        job.task = None

    def __await__(self) -> Generator[Any, Any, Any]:
        run = self._context.run
        coroutine = self._coroutine
        awaited = self._awaited
        self._awaited = None
        while True:
            failure: BaseException | None = None
            try:
                result = yield awaited
            except BaseException as error:  # noqa: BLE001 - it is the coroutine's to handle
                failure = error
            try:
                if failure is None:
                    awaited = run(coroutine.send, result)
                else:
                    awaited = run(coroutine.throw, failure)
            except StopIteration as stop:
                return stop.value
