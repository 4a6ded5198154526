"""The HTTP/2 core under any frames, however cut: `python -m tests.fuzz.connection`.

The first byte decides how the rest is cut; the rest follows a greeting.
"""

from __future__ import annotations

import atheris

with atheris.instrument_imports(include=["fastlane", "hpack"]):
    from fastlane.h2 import Connection, frames
    from fastlane.h2.events import ConnectionFailed, RequestReceived, WholeRequest

from tests.fastlane.client import Client
from tests.fuzz.run import fuzz, pieces

_GREETING = frames.PREFACE + frames.settings({})


def one_input(data: bytes) -> None:
    """Feed one input; anything the core raises is a finding, as is a disagreement."""
    if not data:
        return
    server = Connection(now=0.0)
    server.receive(_GREETING, 0.0)
    failed = False
    for number, piece in enumerate(pieces(data[1:], 1 + data[0])):
        for event in server.receive(piece, number * 0.001):
            if failed:
                raise AssertionError("an event after a failure")
            failed = isinstance(event, ConnectionFailed)
            if isinstance(event, RequestReceived | WholeRequest):
                server.send_headers(event.stream, b"\x88")
                server.send_data(event.stream, bytes(70))
                server.end(event.stream, hang_up=True)
    if failed != server.failed:
        raise AssertionError("a failure that was not told")
    if server.unsent != sum(one.queued_bytes for one in server.streams.values()):
        raise AssertionError("bytes that wait are miscounted")
    server.output()


def seeds() -> list[bytes]:
    """Return a call in one piece, one in many, and every other frame."""
    client = Client()
    call = client.headers(1) + client.data(1, bytes(5), end=True)
    again = client.headers(3) + client.data(3, bytes(7)) + client.data(3, end=True)
    control = frames.ping(bytes(8), ack=False) + frames.settings(
        {frames.Setting.MAX_FRAME_SIZE: 20_000}
    )
    control += frames.window_update(0, 5) + frames.rst_stream(1, 8) + frames.goaway(0, 0)
    return [b"\xff" + call, b"\x03" + call + again, b"\xff" + call + control]


if __name__ == "__main__":
    fuzz(one_input, seeds())
