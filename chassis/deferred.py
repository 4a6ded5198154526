"""Deferred methods: served from bytes to bytes by a callback, for the few that must be cheap.

fastlane hands such a call over without a task, a context or interceptors. What interceptors do for
the other methods, counting calls and telling errors (status.py), is done here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import grpc

from chassis.errors import SluiceError
from chassis.log import get_logger
from chassis.status import BUG_MESSAGE, DETAILS_KEY, code_of, status_of
from fastlane import Abort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from chassis.status import StatusInterceptor

log = get_logger(__name__)


class RawCall(Protocol):
    """A fastlane call, as far as it is needed here."""

    message: bytes
    deadline: float | None

    def respond(self, message: bytes) -> None:
        """Answer it."""

    def fail(self, abort: Abort) -> None:
        """End it with another status."""


class DeferredCall:
    """One call: read it, and later `respond` or `fail`, once."""

    __slots__ = ("_call", "_failures", "deadline", "message", "respond")

    def __init__(self, call: RawCall, failures: Failures) -> None:
        self._call = call
        self._failures = failures
        self.message = call.message
        self.deadline = call.deadline
        """When the caller stops waiting, in seconds of the loop's clock."""
        self.respond = call.respond

    def fail(self, error: BaseException) -> None:
        """End the call with an error's status; anything but a SluiceError is a bug, and logged."""
        self._call.fail(self._failures.told(error))


class Failures:
    """Turns errors of one method into statuses, and counts them."""

    def __init__(self, method: str, statuses: StatusInterceptor) -> None:
        self._method = method
        self._statuses = statuses

    def told(self, error: BaseException) -> Abort:
        """Return the status that the caller sees."""
        if isinstance(error, SluiceError):
            code, status = code_of(error).grpc, status_of(error)
            details: Iterable[tuple[str, str | bytes]] = (
                (DETAILS_KEY, status.SerializeToString()),
            )
            abort = Abort(code, status.message, details)
        else:
            log.error("a handler failed: this is a bug", method=self._method, exc_info=error)
            abort = Abort(grpc.StatusCode.INTERNAL, BUG_MESSAGE)
        self._statuses.failures[self._method, abort.code.name] += 1
        return abort


def guarded(
    method: str, handler: Callable[[DeferredCall], None], statuses: StatusInterceptor
) -> Callable[[RawCall], None]:
    """Return `handler` as fastlane takes it, counted, and with its errors told."""
    failures, calls = Failures(method, statuses), statuses.calls

    def take(raw: RawCall) -> None:
        calls[method] += 1
        call = DeferredCall(raw, failures)
        try:
            handler(call)
        except Exception as error:  # noqa: BLE001  the edge: everything gets its status here
            call.fail(error)

    return take
