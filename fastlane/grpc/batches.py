"""Batch handlers: all calls of a method that arrive in one loop turn, answered together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from fastlane.crew import deliver
from fastlane.grpc.status import Abort, StatusCode

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from fastlane.grpc.call import Call
    from fastlane.grpc.routes import Route

# Bounds what one await of a handler holds: four times the streams of a connection.
_CALLS_A_BATCH: Final = 1_024


class Batches:
    """The batches that are gathering, by route."""

    def __init__(self) -> None:
        self._open: dict[Route, _Batch] = {}

    def add(self, call: Call, route: Route) -> None:
        """Put a call, whose message is complete, into the batch of this turn."""
        batch = self._open.get(route)
        if batch is None:
            batch = self._open[route] = _Batch(route, self._open)
            call.engine.crew.add(batch)
        batch.calls.append(call)
        if len(batch.calls) >= _CALLS_A_BATCH:
            del self._open[route]


class _Batch:
    """A job of the crew: one await of the handler for many calls."""

    __slots__ = ("_open", "_route", "calls", "over", "task")

    def __init__(self, route: Route, batches: dict[Route, _Batch]) -> None:
        self._route = route
        self._open = batches
        self.calls: list[Call] = []
        self.over = False
        self.task: asyncio.Task[None] | None = None

    def start(self) -> Coroutine[Any, Any, Sequence[bytes | Abort]] | None:
        if self._open.get(self._route) is self:
            del self._open[self._route]
        self.calls = [call for call in self.calls if not (call.over or call.is_late())]
        return self._handle() if self.calls else None

    async def _handle(self) -> Sequence[bytes | Abort]:
        answers: Sequence[bytes | Abort] = await self._route.handler(self.calls)
        if len(answers) != len(self.calls):
            raise ValueError(f"{len(answers)} answers to {len(self.calls)} calls")
        return answers

    def on_wait(self) -> None:
        for call in self.calls:
            call.on_wait()

    def on_result(self, result: Sequence[bytes | Abort]) -> None:
        for call, answer in zip(self.calls, result, strict=True):
            if isinstance(answer, Abort):
                call.fail(answer)
            else:
                deliver(call, answer)

    def on_error(self, error: BaseException) -> None:
        if isinstance(error, asyncio.CancelledError):
            error = Abort(StatusCode.UNAVAILABLE, "the server is stopping")
        for call in self.calls:
            call.on_error(error)
