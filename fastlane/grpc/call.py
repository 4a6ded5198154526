"""One call: the request as it arrives, the response as it leaves, and how either can end early.

A call is over once its status is decided: by the handler, by its deadline, by the peer's reset or
by the end of the connection, whichever comes first. Whatever comes later is ignored.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from fastlane.grpc import messages, status
from fastlane.grpc.intake import Intake
from fastlane.grpc.messages import PREFIX_BYTES, SHORT_PREFIXES, prefix_of
from fastlane.grpc.metadata import MetadataError
from fastlane.grpc.pace import TURN_BYTES, TURN_MESSAGES, Pace
from fastlane.grpc.status import OK_HEAD, OK_TAIL, Abort, StatusCode
from fastlane.h2 import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from fastlane.grpc.context import Context
    from fastlane.grpc.engine import Engine
    from fastlane.grpc.link import Link
    from fastlane.grpc.metadata import Metadata
    from fastlane.grpc.plan import Plan
    from fastlane.h2.stream import Stream

    MetadataLike = Iterable[tuple[str, str | bytes]] | None

_TOO_LATE: Final = "Deadline Exceeded"
TOO_MANY: Final = "Concurrent RPC limit exceeded!"
# Answers that go unasked: 256 streams of them are 4 MiB.
LARGE_BYTES: Final = 16_384


class Call:
    """One call. Batch handlers read `message`, `deadline` and `metadata`; the rest is inner."""

    __slots__ = (
        "_intake",
        "_pace",
        "callbacks",
        "cancelled",
        "context",
        "deadline",
        "encoding",
        "engine",
        "headers_sent",
        "is_stream",
        "link",
        "message",
        "over",
        "plan",
        "stream",
        "task",
        "ties",
        "waits",
    )

    def __init__(self, link: Link, engine: Engine, stream: Stream, plan: Plan) -> None:
        self.link = link
        self.engine = engine
        self.stream = stream
        self.plan = plan
        self.message = b""
        """The request, of a method that takes one."""
        self.deadline: float | None = None
        """When the caller stops waiting, in seconds of the loop's clock."""
        self.ties = False
        """Whether its end matters elsewhere: one look instead of four, 0.04 us of a plain call."""
        if plan.timeout is not None:
            self.deadline = stream.opened_at + plan.timeout
            self.ties = True
        self.is_stream = False
        """Whether it counts among the streams (`Engine.streams`)."""
        self.over = False
        self.cancelled = False
        self.headers_sent = False
        self.encoding: bytes | None = None
        """How response messages are compressed."""
        self.task: asyncio.Task[None] | None = None
        self.waits: asyncio.Future[Any] | None = None
        """What a raw handler returned and has not resolved."""
        self.context: Context | None = None
        self.callbacks: list[Callable[[], None]] | None = None
        self._intake: Intake | None = None
        self._pace: Pace | None = None

    @property
    def metadata(self) -> Metadata:
        """The caller's metadata."""
        return self.plan.metadata

    # -- the request arrives -----------------------------------------------------------------

    def begin(self) -> None:
        """Take the head, where more is to be done than wait for one message."""
        engine = self.engine
        if engine.compression in self.plan.accepts:
            self.encoding = engine.compression
        if self.plan.is_stream:
            self.note_stream()
        if engine.is_over_limit(of_streams=self.is_stream):
            self.fail(Abort(StatusCode.RESOURCE_EXHAUSTED, TOO_MANY))
        elif self.plan.is_simple:
            return
        elif self.plan.refusal is not None:
            self.fail(self.plan.refusal)
        else:
            self._open_intake()
            self.on_wait()
            engine.crew.add(self)

    def note_stream(self) -> None:
        """Count it among the streams, as soon as it is known to be one."""
        self.is_stream = self.ties = True
        self.engine.streams += 1

    def on_data(self, data: bytes, *, ended: bool) -> None:
        """Take body bytes."""
        if self.over:
            self.link.core.consume(self.stream, len(data))
            return
        size = len(data) - PREFIX_BYTES
        if (
            ended
            and self._intake is None
            and size >= 0
            and data[:5] == (SHORT_PREFIXES[size] if size < 256 else prefix_of(size))
            and size <= self.engine.max_receive
        ):
            # One whole message and the end, as every unary call is sent: 0.5 us instead of 4.
            self.message = data[5:]
            if self.link.crowded:
                self.link.park(self)
                return
            direct = self.plan.direct
            if direct is None:
                self.engine.crew.add(self)
            else:
                direct(self)
            return
        self._feed(data, ended=ended)

    def on_end(self) -> None:
        """Take the end of a request that came without data: trailers, or a bare head."""
        if not self.over:
            self._feed(b"", ended=True)

    def _feed(self, data: bytes, *, ended: bool) -> None:
        intake = self._intake or self._open_intake()
        try:
            intake.feed(data, ended=ended)
            message = intake.take_only() if self.plan.is_simple else None
            self.link.held.charge(intake.recharge())
        except Abort as fault:
            self.fail(fault)
            self._cancel_handler()
            return
        if message is not None:
            self.message = message
            if self.link.crowded:
                self.link.park(self)
            else:
                self.dispatch()

    def _open_intake(self) -> Intake:
        limit = self.engine.options.max_receive
        plan = self.plan
        core = self.link.core
        self._intake = Intake(core, self.stream, plan.encoding, limit, single=plan.is_simple)
        self.ties = True
        return self._intake

    def dispatch(self) -> None:
        """Have the handler run: the one message is there."""
        if self.plan.direct is None:
            self.engine.crew.add(self)
        else:
            self.plan.direct(self)

    async def read(self) -> bytes | None:
        """Return the next request message, or None after the last."""
        if self._intake is None:
            return None
        try:
            message = await self._intake.read(self.engine.loop, self.link)
            if not self.over:
                self.link.held.charge(self._intake.recharge())
        except Abort as fault:
            # The handler ends as if cancelled: what is wrong is between its caller and us.
            self.fail(fault)
            raise asyncio.CancelledError from fault
        self.link.touch()
        return message

    @property
    def arrived(self) -> int | None:
        """Bytes that have come of a message that is not complete; None if none is awaited."""
        intake = self._intake
        if intake is None:
            return 0 if self.plan.is_simple else None
        return intake.received if self.plan.is_simple or intake.is_amid_message else None

    @property
    def has_message(self) -> bool:
        """Whether `read` would return a message at once."""
        return self._intake is not None and bool(self._intake.inbox)

    # -- the handler runs --------------------------------------------------------------------

    def start(self) -> Coroutine[Any, Any, Any] | None:
        """Start the handler; returns what is left to run, if anything."""
        if self.deadline is not None and self.is_late():
            return None
        return self.plan.start(self)

    def is_late(self) -> bool:
        """Return whether the deadline passed before the handler ran, and end the call if so."""
        if self.deadline is None or self.engine.loop.time() < self.deadline:
            return False
        # Not `on_deadline`: that cancels the task, which is the worker that asks.
        self.finish(StatusCode.DEADLINE_EXCEEDED, _TOO_LATE)
        return True

    def on_error(self, error: BaseException) -> None:
        """Turn what the handler raised into a status."""
        self.engine.on_error(self, error)

    def on_wait(self) -> None:
        """Watch the deadline of a call that waits: for its message, or in its handler."""
        if self.deadline is not None and not self.over:
            self.engine.deadlines.add(self, self.deadline)

    # -- the response leaves -----------------------------------------------------------------

    def respond(self, message: bytes) -> None:
        """Send the one response of a call without metadata, and OK."""
        if self.over:
            return
        engine = self.engine
        size = len(message)
        if size > engine.max_send:
            self.fail(messages.too_large(size, engine.max_send))
            return
        if self.encoding is not None or self.headers_sent:
            self.send(message)
            self.finish(StatusCode.OK)
            return
        link = self.link
        if size < 256:
            prefix = SHORT_PREFIXES[size]
        else:
            prefix = prefix_of(size)
            if size > LARGE_BYTES and not link.has_room(size):
                self.fail(messages.unread())
                return
        stream = self.stream
        link.respond(stream, OK_HEAD, prefix, message, OK_TAIL)
        # _decided() written out: 0.06 us of every unary call.
        self.over = True
        stream.owner = self.context = None
        engine.calls -= 1
        if self.ties:
            self._untie(stream)
        if not link.touched:
            link.touch()

    on_result = respond  # what a raw handler returned

    def send_headers(self, metadata: MetadataLike) -> None:
        """Send the first fields of the response; MetadataError if they cannot be sent."""
        if not self.over and not self.headers_sent:
            block = status.head(metadata, self.encoding)
            self.headers_sent = True
            self.link.core.send_headers(self.stream, block)
            self.link.touch()

    def send(self, message: bytes, *, plain: bool = False) -> bool:
        """Send a message; False asks to wait before the next."""
        if self.over:
            return True
        limit = self.engine.max_send
        if len(message) > limit:
            raise messages.too_large(len(message), limit)
        if len(message) > LARGE_BYTES and not self.link.has_room(len(message)):
            raise messages.unread()
        if not self.headers_sent:
            self.send_headers(None)
        if self.encoding is None or plain:
            body = messages.prefixed(message)
        else:
            body = messages.compressed(message, self.encoding)
        pace = self._pace
        if pace is not None:
            pace.messages += 1
            pace.bytes += len(body)
        self.link.touch()
        return self.link.core.send_data(self.stream, body)

    async def write(self, message: bytes, *, plain: bool = False) -> None:
        """Send a message of a stream, at the pace of the peer and of the other calls."""
        pace = self._pace
        if pace is None:
            pace = self._pace = Pace()
        goes_on = self.send(message, plain=plain)
        if not goes_on or pace.messages >= TURN_MESSAGES or pace.bytes >= TURN_BYTES:
            await pace.wait(self.engine.loop, goes_on=goes_on)

    def on_drained(self) -> None:
        """Go on writing."""
        if self._pace is not None:
            self._pace.go_on()

    def finish(self, code: StatusCode, details: str = "", metadata: MetadataLike = None) -> None:
        """Decide the status and send it; nothing happens if it is decided already."""
        if self.over:
            return
        alone = not self.headers_sent
        try:
            block = status.tail(code, details, metadata, alone=alone)
        except MetadataError as error:
            block = status.tail(StatusCode.INTERNAL, str(error), alone=alone)
        self.over = True
        self.link.core.end(self.stream, block, hang_up=True)
        self._decided()
        self.link.touch()

    def fail(self, abort: Abort) -> None:
        """Decide the status that `abort` carries."""
        self.finish(abort.code, abort.details, abort.trailing_metadata)

    # -- it ends early -----------------------------------------------------------------------

    def on_deadline(self) -> None:
        """End the call: its caller has stopped waiting."""
        self.abandon(StatusCode.DEADLINE_EXCEEDED, _TOO_LATE)

    def on_reset(self) -> None:
        """End the call: its stream is gone."""
        if not self.over:
            self.cancelled = True
            self._decided()
        self._cancel_handler()

    def abandon(self, code: StatusCode, details: str) -> None:
        """End the call and its handler with a status."""
        self.finish(code, details)
        self._cancel_handler()

    def cancel(self) -> None:
        """End the call without a status."""
        self.link.core.reset(self.stream, ErrorCode.CANCEL)
        self.link.touch()
        self.on_reset()

    def _cancel_handler(self) -> None:
        if self.task is not None:
            self.task.cancel()
        if self.waits is not None:
            self.waits.cancel()

    def _decided(self) -> None:
        self.over = True
        # Stream and context point back here: left alone, every call would be garbage that only
        # the cycle collector finds, for a tenth of all CPU time.
        stream = self.stream
        stream.owner = None
        self.context = None
        self.engine.calls -= 1
        if self.ties:
            self._untie(stream)

    def _untie(self, stream: Stream) -> None:
        engine = self.engine
        if self.is_stream:
            engine.streams -= 1
        if self.deadline is not None:
            engine.deadlines.discard(self, self.deadline)
            if stream.queued_bytes:
                stream.owner = Remainder(self.deadline)
        if self._intake is not None:
            self.link.held.charge(-self._intake.charge)
            self._intake.close()
        if self.callbacks is not None:
            for callback in self.callbacks:
                engine.loop.call_soon(callback)


class Remainder:
    """What hangs on a stream whose call is over while its peer has not taken all of the answer."""

    __slots__ = ("deadline",)

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
