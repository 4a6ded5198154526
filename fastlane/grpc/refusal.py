"""The answer to a request that is not gRPC: plain HTTP, for the person who sent it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlane.h2 import blocks

if TYPE_CHECKING:
    from fastlane.grpc.plan import Plan
    from fastlane.h2 import Connection
    from fastlane.h2.stream import Stream


class Refusal:
    """What hangs on the stream of such a request until it has ended."""

    __slots__ = ("_hides_body", "_status", "_text")

    def __init__(self, plan: Plan, status: int, text: bytes) -> None:
        self._status = status
        self._text = text
        self._hides_body = plan.hides_body

    def answer(self, core: Connection, stream: Stream) -> None:
        """Answer, once the request has ended: earlier, the peer may still be writing."""
        if stream.is_closed:
            return
        fields = [
            (b":status", str(self._status).encode()),
            (b"content-type", b"text/plain; charset=utf-8"),
        ]
        if self._status == 405:
            fields.append((b"allow", b"POST"))
        block = blocks.encode(fields)
        if self._hides_body:
            core.end(stream, block)
            return
        core.send_headers(stream, block)
        core.send_data(stream, self._text)
        core.end(stream)
