"""What the core remembers of one stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastlane.h2 import states

if TYPE_CHECKING:
    from collections import deque

    from fastlane.h2.heads import RequestHead
    from fastlane.h2.windows import ReceiveWindow


class Stream:
    """One request and its response. Read it, do not write it; `owner` is yours."""

    __slots__ = (
        "body_left",
        "hangs_up",
        "head",
        "id",
        "inbound",
        "lost",
        "opened_at",
        "owner",
        "queue",
        "queued_bytes",
        "send_window",
        "state",
        "tail",
        "throttled",
    )

    def __init__(self, stream_id: int, state: int, send_window: int, now: float) -> None:
        self.id = stream_id
        self.state = state
        self.send_window = send_window
        self.opened_at = now
        self.owner: Any = None
        """Whatever the shell hangs here, so that an event needs no look-up."""
        self.inbound: ReceiveWindow | None = None
        """Made at the first DATA that does not end the stream: a unary call never needs it."""
        self.body_left = -1
        """What content-length still promises; -1 when it promised nothing."""
        self.head: RequestHead | None = None
        """A head that has not been told yet, see `RequestHead.is_wanted_whole`."""
        self.lost = False
        """Whether it was reset, by whichever side: what is sent on it goes nowhere."""
        self.queue: deque[memoryview] | None = None
        """Body bytes that wait for the peer's window."""
        self.queued_bytes = 0
        self.tail: bytes | None = None
        """The trailers that follow the queue; empty for a bare END_STREAM, None for neither."""
        self.hangs_up = False
        """Whether a response that ends before its request tells the peer to stop sending."""
        self.throttled = False
        """Whether `SendQueueDrained` is owed."""

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self.state in {states.LOCAL, states.CLOSED, states.RESET}

    def __repr__(self) -> str:
        return f"<Stream {self.id} {states.State(self.state).name}>"
