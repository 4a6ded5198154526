"""An HTTP/2 server connection without I/O: bytes in, events and bytes out (RFC 9113).

    connection = Connection(limits=Limits(), now=clock())
    transport.write(connection.output())
    for event in connection.receive(data, now=clock()):
        ...
    transport.write(connection.output())

The laws stand each in its file: frames.py (bytes), states.py (streams), heads.py (well-formed
requests), windows.py and outbound.py (flow control), memo.py (HPACK), limits.py (bounds). Here are
the frame loop and the frames that concern the connection as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlane.h2 import frames
from fastlane.h2.budget import Budget
from fastlane.h2.errors import ConnectionFault, ErrorCode, StreamFault
from fastlane.h2.events import (
    ConnectionFailed,
    Event,
    GoAwayReceived,
    PingAnswered,
    PingReceived,
    SendQueueDrained,
)
from fastlane.h2.frames import FrameType, Setting
from fastlane.h2.limits import Limits
from fastlane.h2.outbound import Outbound
from fastlane.h2.requests import Requests
from fastlane.h2.states import IDLE, Act, after

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastlane.h2.stream import Stream

_DRAIN_PING: Final = b"draining"
_CONTINUATION: Final = int(FrameType.CONTINUATION)
_UNKNOWN: Final = _CONTINUATION + 1


class Connection:
    """One connection. Every method that takes `now` wants seconds of one monotonic clock."""

    def __init__(self, *, limits: Limits | None = None, now: float = 0.0) -> None:
        self.limits = limits or Limits()
        self.streams: dict[int, Stream] = {}
        """Live streams by id. Read it, do not write it."""
        self.failed = False
        """Whether the peer broke the connection: nothing is read any more."""
        self.draining = False
        self._opened_at = now
        self._pending = bytearray()
        self._wanted = len(frames.PREFACE)
        self._greeted = False
        self._settled = False
        self._outbound = Outbound(self.streams)
        self.respond = self._outbound.respond
        self.answer = self._outbound.answer
        """Send a whole response at once: of constant blocks; of any block, without trailers."""
        self._requests = self._make_requests(now)
        self._handlers: tuple[Callable[[int, int, bytes], None], ...] = (
            self._requests.on_data,
            self._requests.on_headers,
            self._on_priority,
            self._requests.on_rst_stream,
            self._on_settings,
            self._on_push_promise,
            self._on_ping,
            self._on_goaway,
            self._on_window_update,
            self._requests.on_continuation,
            self._on_unknown,
        )
        self._greet()

    def _make_requests(self, now: float) -> Requests:
        limits = self.limits
        return Requests(
            limits=limits,
            outbound=self._outbound,
            nuisance=Budget(
                burst=limits.nuisance_burst,
                per_second=limits.nuisance_per_second,
                per_work=10,
                now=now,
            ),
            early_resets=Budget(
                burst=limits.early_reset_burst,
                per_second=limits.early_reset_per_second,
                per_work=1,
                now=now,
            ),
            provoked_resets=Budget(
                burst=limits.provoked_reset_burst,
                per_second=limits.provoked_reset_per_second,
                per_work=0,
                now=now,
            ),
            now=now,
        )

    def _greet(self) -> None:
        limits = self.limits
        self._outbound.out.append(
            frames.settings(
                {
                    Setting.MAX_CONCURRENT_STREAMS: limits.concurrent_streams,
                    Setting.INITIAL_WINDOW_SIZE: limits.stream_window,
                    Setting.MAX_HEADER_LIST_SIZE: limits.header_list_bytes,
                }
            )
        )
        extra = limits.connection_window - 65_535
        if extra > 0:
            self._outbound.out.append(frames.window_update(0, extra))

    # -- bytes in ----------------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the peer; returns what they mean."""
        if self.failed:
            return []
        requests = self._requests
        requests.now = now
        if self._pending:
            self._pending += data
            if len(self._pending) < self._wanted:
                return []
            data = bytes(self._pending)
            self._pending.clear()
        try:
            at = self._read(data)
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
            if kind > _CONTINUATION or requests.continued is not None or not self._settled:
                kind = self._check_turn(kind)
            try:
                handlers[kind](flags, stream_id, data[start:stop])
            except StreamFault as fault:
                requests.reject(stream_id, fault)
        self._wanted = 9
        return at

    def _check_turn(self, kind: int) -> int:
        """Refuse a frame that may not come now; returns which handler takes it."""
        if self._requests.continued is not None and kind != _CONTINUATION:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a field block was interrupted")
        if not self._settled and kind != FrameType.SETTINGS:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS must come first")
        return min(kind, _UNKNOWN)

    def _on_unknown(self, _flags: int, _stream_id: int, _payload: bytes) -> None:
        """Ignore a frame of unknown type (RFC 9113 section 4.1)."""
        self._requests.nuisance()

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

    # -- frames of the connection --------------------------------------------------------------

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & frames.ACK:
            self._on_settings_ack(payload)
            return
        if len(payload) % 6:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of broken length")
        self._settled = True
        self._requests.nuisance()
        change = self._outbound.peer.apply(payload)
        # The acknowledgement goes before the bodies that the new windows let go.
        self._outbound.out.append(frames.SETTINGS_ACK)
        if change:
            self._note_drained(self._outbound.move_windows(change))

    def _on_settings_ack(self, payload: bytes) -> None:
        if payload:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "an acknowledgement with settings")
        if not self._settled:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS must come first")
        requests = self._requests
        if requests.settings_known:
            requests.nuisance()
            return
        requests.settings_known = True
        requests.round_trip = max(requests.now - self._opened_at, 1e-4)

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PING is eight bytes")
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        self._requests.nuisance()
        if not flags & frames.ACK:
            self._outbound.out.append(frames.ping(payload, ack=True))
            self._requests.events.append(PingReceived())
        elif payload == _DRAIN_PING and self.draining:
            self.finish_drain()
        else:
            self._requests.events.append(PingAnswered(payload))

    def _on_goaway(self, _flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY is at least eight bytes")
        self._requests.nuisance()
        code = int.from_bytes(payload[4:8], "big")
        self._requests.events.append(GoAwayReceived(code, payload[8:]))

    def _on_window_update(self, _flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE is four bytes")
        self._requests.nuisance()
        increment = int.from_bytes(payload, "big") & frames.MAX_WINDOW
        stream = self.streams.get(stream_id)
        if stream is None and stream_id:
            after(self._requests.absent_state(stream_id), Act.WINDOW)
            return
        if not increment:
            fault = StreamFault if stream_id else ConnectionFault
            raise fault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
        self._note_drained(self._outbound.open_window(stream, increment))

    def _on_priority(self, _flags: int, stream_id: int, payload: bytes) -> None:
        """PRIORITY means nothing any more; its form is still checked (RFC 9113 section 6.3)."""
        if not stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
        self._requests.nuisance()
        code: ErrorCode | None = None
        if len(payload) != 5:
            code = ErrorCode.FRAME_SIZE_ERROR
        elif int.from_bytes(payload[:4], "big") & frames.MAX_STREAM_ID == stream_id:
            code = ErrorCode.PROTOCOL_ERROR
        if code is None:
            return
        live = stream_id in self.streams
        if not live and self._requests.absent_state(stream_id) == IDLE:
            # RST_STREAM must not name an idle stream (section 6.4).
            raise ConnectionFault(code, "a broken PRIORITY")
        raise StreamFault(code, "a broken PRIORITY")

    def _on_push_promise(self, _flags: int, _stream_id: int, _payload: bytes) -> None:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client cannot push")

    def _note_drained(self, drained: list[Stream]) -> None:
        self._requests.events.extend(map(SendQueueDrained, drained))

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

    @property
    def progress(self) -> int:
        """A count that rises with every response completed and every DATA frame moved."""
        return self._outbound.work

    @property
    def is_settled(self) -> bool:
        """Whether the peer has sent its preface and settings."""
        return self._settled

    # -- the end -----------------------------------------------------------------------------

    def drain(self) -> None:
        """Begin to close: no stream is lost that the peer opens before it hears of it.

        GOAWAY with the highest id, then a PING; its answer proves that the peer has read both, and
        the GOAWAY with the true last id follows (RFC 9113 section 6.8). If no answer comes in a
        time of its choice the shell calls `finish_drain`.
        """
        if not self.draining:
            self.draining = True
            out = self._outbound.out
            out.append(frames.goaway(frames.MAX_STREAM_ID, ErrorCode.NO_ERROR))
            out.append(frames.ping(_DRAIN_PING, ack=False))

    def finish_drain(self) -> None:
        """Serve no stream above the last one seen."""
        self.draining = True
        if self._requests.final_id is None:
            self._requests.final_id = self._requests.last_id
            goaway = frames.goaway(self._requests.last_id, ErrorCode.NO_ERROR)
            self._outbound.out.append(goaway)

    @property
    def drained(self) -> bool:
        """Whether a drain has begun, is final, and no stream is left: time to close."""
        return self._requests.final_id is not None and not self.streams

    def abandon(self, code: ErrorCode, reason: str) -> None:
        """End the connection for a rule of the shell's own, as if the peer had broken the RFC."""
        if not self.failed:
            self._fail(ConnectionFault(code, reason))
            self._requests.events.clear()
