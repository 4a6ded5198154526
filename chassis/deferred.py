"""Deferred methods: served from bytes to bytes by a callback, for the few that must be cheap.

fastlane hands such a call over without a task, a context or interceptors. What interceptors do for
the other methods, counting calls and telling errors (status.py), is done here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

import grpc

from chassis.errors import SluiceError
from chassis.log import get_logger
from chassis.status import BUG_MESSAGE, DETAILS_KEY, code_of, status_of
from fastlane import Abort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from chassis.status import StatusInterceptor

log = get_logger(__name__)

Handler: TypeAlias = "Callable[[DeferredCall, Failures], None]"


class DeferredCall(Protocol):
    """A fastlane call: read it, and later `respond` or `fail`, once."""

    message: bytes
    deadline: float | None
    """When the caller stops waiting, in seconds of the loop's clock."""

    def respond(self, message: bytes) -> None:
        """Answer it."""

    def fail(self, abort: Abort) -> None:
        """End it with another status; `Failures.told` makes one of an error."""


class Failures:
    """Turns errors of one method into statuses, and counts them.

    A SluiceError is told; anything else is a bug: it is logged, and the caller sees INTERNAL.
    """

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
    method: str, handler: Handler, statuses: StatusInterceptor
) -> Callable[[DeferredCall], None]:
    """Return `handler` as fastlane takes it, counted, and with its errors told."""
    failures, calls = Failures(method, statuses), statuses.calls

    def take(call: DeferredCall) -> None:
        calls[method] += 1
        try:
            handler(call, failures)
        except Exception as error:  # noqa: BLE001  the edge: everything gets its status here
            call.fail(failures.told(error))

    return take
