"""Frames that concern the connection, or a stream at any time: SETTINGS, PING, GOAWAY and such.

Each is checked for its form and its place before it is obeyed (RFC 9113 section 6), and counted
against the peer's conduct, as none brings work done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlane.h2 import frames
from fastlane.h2.errors import ConnectionFault, ErrorCode, StreamFault
from fastlane.h2.events import GoAwayReceived, PingAnswered, PingReceived, SendQueueDrained
from fastlane.h2.states import IDLE, Act, after

if TYPE_CHECKING:
    from fastlane.h2.conduct import Conduct
    from fastlane.h2.outbound import Outbound
    from fastlane.h2.requests import Requests
    from fastlane.h2.stream import Stream

_DRAIN_PING: Final = b"draining"


class Control:
    """The control frames of one connection."""

    __slots__ = ("_conduct", "_opened_at", "_outbound", "_requests", "draining", "settled")

    def __init__(self, outbound: Outbound, requests: Requests, conduct: Conduct) -> None:
        self.draining = False
        """Whether the connection has begun to close."""
        self.settled = False
        """Whether the peer's first SETTINGS have come."""
        self._outbound = outbound
        self._requests = requests
        self._conduct = conduct
        self._opened_at = conduct.now

    def on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Take SETTINGS, or their acknowledgement."""
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & frames.ACK:
            self._on_settings_ack(payload)
            return
        if len(payload) % 6:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of broken length")
        self.settled = True
        self._conduct.nuisance()
        change = self._outbound.peer.apply(payload)
        # The acknowledgement goes before the bodies that the new windows let go.
        self._outbound.out.append(frames.SETTINGS_ACK)
        if change:
            self._note_drained(self._outbound.move_windows(change))

    def _on_settings_ack(self, payload: bytes) -> None:
        if payload:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "an acknowledgement with settings")
        if not self.settled:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS must come first")
        requests = self._requests
        if requests.settings_known:
            self._conduct.nuisance()
            return
        requests.settings_known = True
        requests.round_trip = max(requests.now - self._opened_at, 1e-4)

    def on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Answer PING, or take the answer to ours."""
        if len(payload) != 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PING is eight bytes")
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        self._conduct.nuisance()
        if not flags & frames.ACK:
            self._outbound.out.append(frames.ping(payload, ack=True))
            self._requests.events.append(PingReceived())
        elif payload == _DRAIN_PING and self.draining:
            self.finish_drain()
        else:
            self._requests.events.append(PingAnswered(payload))

    def drain(self) -> None:
        """Begin to close: GOAWAY with the highest id, then a PING.

        Its answer proves that the peer has read both, and the GOAWAY with the true last id follows
        (RFC 9113 section 6.8).
        """
        if not self.draining:
            self.draining = True
            out = self._outbound.out
            out.append(frames.goaway(frames.MAX_STREAM_ID, ErrorCode.NO_ERROR))
            out.append(frames.ping(_DRAIN_PING, ack=False))

    def finish_drain(self) -> None:
        """Serve no stream above the last one seen."""
        self.draining = True
        requests = self._requests
        if requests.final_id is None:
            requests.final_id = requests.last_id
            self._outbound.out.append(frames.goaway(requests.last_id, ErrorCode.NO_ERROR))

    def on_goaway(self, _flags: int, stream_id: int, payload: bytes) -> None:
        """Take GOAWAY."""
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY is at least eight bytes")
        self._conduct.nuisance()
        code = int.from_bytes(payload[4:8], "big")
        self._requests.events.append(GoAwayReceived(code, payload[8:]))

    def on_window_update(self, _flags: int, stream_id: int, payload: bytes) -> None:
        """Take WINDOW_UPDATE, of a stream or of the connection."""
        if len(payload) != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE is four bytes")
        self._conduct.nuisance()
        increment = int.from_bytes(payload, "big") & frames.MAX_WINDOW
        stream = self._outbound.streams.get(stream_id)
        if stream is None and stream_id:
            after(self._requests.absent_state(stream_id), Act.WINDOW)
            return
        if not increment:
            fault = StreamFault if stream_id else ConnectionFault
            raise fault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
        self._note_drained(self._outbound.open_window(stream, increment))

    def on_priority(self, _flags: int, stream_id: int, payload: bytes) -> None:
        """PRIORITY means nothing any more; its form is still checked (RFC 9113 section 6.3)."""
        if not stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
        self._conduct.nuisance()
        code: ErrorCode | None = None
        if len(payload) != 5:
            code = ErrorCode.FRAME_SIZE_ERROR
        elif int.from_bytes(payload[:4], "big") & frames.MAX_STREAM_ID == stream_id:
            code = ErrorCode.PROTOCOL_ERROR
        if code is None:
            return
        live = stream_id in self._outbound.streams
        if not live and self._requests.absent_state(stream_id) == IDLE:
            # RST_STREAM must not name an idle stream (section 6.4).
            raise ConnectionFault(code, "a broken PRIORITY")
        raise StreamFault(code, "a broken PRIORITY")

    def on_push_promise(self, _flags: int, _stream_id: int, _payload: bytes) -> None:
        """Object to PUSH_PROMISE."""
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client cannot push")

    def on_unknown(self, _flags: int, _stream_id: int, _payload: bytes) -> None:
        """Ignore a frame of unknown type (RFC 9113 section 4.1)."""
        self._conduct.nuisance()

    def _note_drained(self, drained: list[Stream]) -> None:
        self._requests.events.extend(map(SendQueueDrained, drained))
