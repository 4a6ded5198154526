"""An HTTP/2 server connection without I/O: bytes in, events and bytes out (RFC 9113).

    connection = Connection(limits=Limits(), now=clock())
    transport.write(connection.output())
    for event in connection.receive(data, now=clock()):
        ...
    transport.write(connection.output())

The laws stand each in its file: frames.py (bytes), states.py (streams), heads.py (well-formed
requests), windows.py and outbound.py (flow control), memo.py (HPACK), limits.py and conduct.py
(bounds), control.py (frames that concern the connection as a whole). Here are the frame loop and
what a shell asks for.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from fastlane.h2 import frames
from fastlane.h2.conduct import Conduct
from fastlane.h2.control import Control
from fastlane.h2.errors import ConnectionFault, ErrorCode, StreamFault
from fastlane.h2.events import ConnectionFailed, Event, SendQueueDrained
from fastlane.h2.frames import FrameType, Setting
from fastlane.h2.limits import Limits
from fastlane.h2.outbound import Outbound
from fastlane.h2.requests import Requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastlane.h2.stream import Stream

_CONTINUATION: Final = int(FrameType.CONTINUATION)
_UNKNOWN: Final = _CONTINUATION + 1


@lru_cache(maxsize=16)
def greeting(limits: Limits) -> bytes:
    """Return what a server says first: its SETTINGS, and how far the connection's window opens."""
    first = frames.settings(
        {
            Setting.MAX_CONCURRENT_STREAMS: limits.concurrent_streams,
            Setting.INITIAL_WINDOW_SIZE: limits.stream_window,
            Setting.MAX_HEADER_LIST_SIZE: limits.header_list_bytes,
        }
    )
    extra = limits.connection_window - 65_535
    return first + frames.window_update(0, extra) if extra > 0 else first


class Connection:
    """One connection. Every method that takes `now` wants seconds of one monotonic clock."""

    def __init__(
        self, *, limits: Limits | None = None, now: float = 0.0, is_greeted: bool = False
    ) -> None:
        """Begin; `is_greeted` says that the peer has been sent the `greeting` already."""
        self.limits = limits or Limits()
        self.streams: dict[int, Stream] = {}
        """Live streams by id. Read it, do not write it."""
        self.failed = False
        """Whether the peer broke the connection: nothing is read any more."""
        self._pending = bytearray()
        self._wanted = len(frames.PREFACE)
        self._greeted = False
        self._outbound = Outbound(self.streams)
        self.respond = self._outbound.respond
        self.answer = self._outbound.answer
        """Send a whole response at once: of constant blocks; of any block, without trailers."""
        self._conduct = Conduct(self.limits, self._outbound, now)
        self._requests = Requests(self.limits, self._outbound, self._conduct, now)
        self._control = control = Control(self._outbound, self._requests, self._conduct)
        self._handlers: tuple[Callable[[int, int, bytes], None], ...] = (
            self._requests.on_data,
            self._requests.on_headers,
            control.on_priority,
            self._requests.on_rst_stream,
            control.on_settings,
            control.on_push_promise,
            control.on_ping,
            control.on_goaway,
            control.on_window_update,
            self._requests.on_continuation,
            control.on_unknown,
        )
        if not is_greeted:
            self._outbound.out.append(greeting(self.limits))

    # -- bytes in ----------------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the peer; returns what they mean."""
        if self.failed:
            return []
        requests = self._requests
        requests.now = self._conduct.now = now
        if self._pending:
            self._pending += data
            if len(self._pending) < self._wanted:
                return []
            data = bytes(self._pending)
            self._pending.clear()
        try:
            at = self._read(data)
            if self._conduct.is_spent:
                self._conduct.check()
        except ConnectionFault as fault:
            self._fail(fault)
        else:
            if at < len(data):
                self._pending += data[at:]
        events = requests.events
        if events:
            requests.events = []
        return events

    def _read(self, data: bytes) -> int:
        """Read the frames in `data`; returns where the first incomplete one begins."""
        at = 0
        if not self._greeted:
            at = self._read_preface(data)
            if not at:
                return 0
        end = len(data)
        requests = self._requests
        control = self._control
        handlers = self._handlers
        unpack = frames.HEADER.unpack_from
        longest = self.limits.frame_bytes
        while end - at >= 9:
            high, low, kind, flags, stream_id = unpack(data, at)
            size = high << 8 | low
            if size > longest:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {size} bytes")
            start = at + 9
            stop = start + size
            if stop > end:
                self._wanted = stop - at
                return at
            at = stop
            if kind == 1 and flags == 4:
                behind = requests.take_request(data, start, stop, stream_id)
                if behind:
                    at = behind
                    continue
            stream_id &= 0x7FFF_FFFF
            if kind > _CONTINUATION or requests.block.stream_id is not None or not control.settled:
                kind = self._check_turn(kind)
            try:
                handlers[kind](flags, stream_id, data[start:stop])
            except StreamFault as fault:
                requests.reject(stream_id, fault)
        self._wanted = 9
        return at

    def _check_turn(self, kind: int) -> int:
        """Refuse a frame that may not come now; returns which handler takes it."""
        if self._requests.block.stream_id is not None and kind != _CONTINUATION:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a field block was interrupted")
        if not self._control.settled and kind != FrameType.SETTINGS:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS must come first")
        return min(kind, _UNKNOWN)

    def _read_preface(self, data: bytes) -> int:
        """Return the length of the preface, or 0 while it is incomplete (RFC 9113 section 3.4)."""
        preface = frames.PREFACE
        if data[: len(preface)] != preface[: len(data)]:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "this port speaks HTTP/2 only")
        if len(data) < len(preface):
            return 0
        self._greeted = True
        return len(preface)

    def _fail(self, fault: ConnectionFault) -> None:
        self.failed = True
        debug = fault.reason.encode("ascii", "replace")[:256]
        goaway = frames.goaway(self._requests.last_id, fault.code, debug)
        self._outbound.out.append(goaway)
        self._requests.events.append(ConnectionFailed(fault.code, fault.reason))

    # -- bytes out ---------------------------------------------------------------------------

    def output(self) -> bytes:
        """Everything that waits to be written; the caller now owns it."""
        out = self._outbound.out
        if not out:
            return b""
        self._outbound.out = []
        return b"".join(out)

    @property
    def has_output(self) -> bool:
        """Whether `output` would return anything."""
        return bool(self._outbound.out)

    @property
    def unsent(self) -> int:
        """Body bytes that wait for the peer's windows."""
        return self._outbound.unsent

    @property
    def bytes_paced(self) -> int:
        """Body bytes that had to wait for the peer's windows and have left."""
        return self._outbound.bytes_paced

    def send_headers(self, stream: Stream, block: bytes) -> None:
        """Send a field block that is followed by more; nothing happens if the stream is lost."""
        self._outbound.headers(stream, block)

    def send_data(self, stream: Stream, data: bytes) -> bool:
        """Send body bytes; False asks to wait for `SendQueueDrained` before the next."""
        self._outbound.data(stream, data)
        if stream.queued_bytes <= self.limits.send_queue_bytes:
            return True
        stream.throttled = True
        return False

    def end(self, stream: Stream, tail: bytes = b"", *, hang_up: bool = False) -> None:
        """End a response, with a block of trailers or without.

        `hang_up` stops a request that goes on by RST_STREAM with NO_ERROR, once all is sent.
        """
        self._outbound.end(stream, tail, hang_up=hang_up)

    def reset(self, stream: Stream, code: ErrorCode) -> None:
        """Abandon a stream; nothing happens if it is over already."""
        self._requests.reset(stream, code)

    def consume(self, stream: Stream, amount: int) -> None:
        """Give back the window of `amount` body bytes that were used."""
        self._requests.consume(stream, amount)

    def hold(self, *, held: bool) -> list[Event]:
        """Say whether the transport is full: bodies wait meanwhile, control frames do not."""
        self._outbound.held = held
        if held:
            return []
        return list(map(SendQueueDrained, self._outbound.pump()))

    def ping(self, payload: bytes) -> None:
        """Send a PING of eight bytes; `PingAnswered` follows if the peer lives."""
        self._outbound.out.append(frames.ping(payload, ack=False))

    def rest(self) -> None:
        """Give back memory of a busy time: a dict that has held 256 streams keeps 9 KiB."""
        if not self.streams:
            self.streams.clear()

    @property
    def progress(self) -> int:
        """A count that rises with every response completed and every DATA frame moved."""
        return self._outbound.work

    @property
    def is_settled(self) -> bool:
        """Whether the peer has sent its preface and settings."""
        return self._control.settled

    # -- the end -----------------------------------------------------------------------------

    @property
    def draining(self) -> bool:
        """Whether the connection has begun to close."""
        return self._control.draining

    def drain(self) -> None:
        """Begin to close: no stream is lost that the peer opens before it hears of it.

        If the peer does not answer in a time of its choice the shell calls `finish_drain`.
        """
        self._control.drain()

    def finish_drain(self) -> None:
        """Serve no stream above the last one seen."""
        self._control.finish_drain()

    @property
    def drained(self) -> bool:
        """Whether a drain has begun, is final, and no stream is left: time to close."""
        return self._requests.final_id is not None and not self.streams

    def abandon(self, code: ErrorCode, reason: str) -> None:
        """End the connection for a rule of the shell's own, as if the peer had broken the RFC."""
        if not self.failed:
            self._fail(ConnectionFault(code, reason))
            self._requests.events.clear()
