"""What requests hold in memory, counted against a limit: of one connection, and of the server.

Counted are messages that are incomplete, complete ones that no handler has read (compressed, as
they came), and those in a handler's hands that came compressed: their sender paid a thousandth.
"""

from __future__ import annotations

from fastlane.grpc.status import Abort, StatusCode


class Held:
    """Bytes held; what a connection holds is held by its server too."""

    __slots__ = ("_limit", "_whole", "_whose", "size")

    def __init__(self, limit: int, whose: str, whole: Held | None = None) -> None:
        self.size = 0
        self._limit = limit
        self._whose = whose
        self._whole = whole

    def charge(self, change: int) -> None:
        """Count a change; Abort for the request that makes it too much."""
        self.size += change
        if self._whole is not None:
            self._whole.charge(change)
        if change > 0 and self.size > self._limit:
            details = f"Requests of this {self._whose} hold more than {self._limit} bytes"
            raise Abort(StatusCode.RESOURCE_EXHAUSTED, details)
