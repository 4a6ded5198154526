"""Coverage-guided fuzzing of the core: `python -m tests.fuzz.connection [corpus] [-runs=N]`.

Needs the package atheris, which is no dependency: it is run by hand and by whoever has an evening
of CPU to spare. The first byte decides how the rest is cut; the rest follows a greeting.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["fastlane", "hpack"]):
    from fastlane.h2 import Connection, frames
    from fastlane.h2.events import ConnectionFailed, RequestReceived, WholeRequest

_GREETING = frames.PREFACE + frames.settings({})


def one_input(data: bytes) -> None:
    """Feed one input; anything the core raises is a finding, as is a disagreement."""
    if not data:
        return
    step = 1 + data[0]
    server = Connection(now=0.0)
    server.receive(_GREETING, 0.0)
    failed = False
    for number, at in enumerate(range(1, len(data), step)):
        for event in server.receive(data[at : at + step], number * 0.001):
            if failed:
                raise AssertionError("an event after a failure")
            failed = isinstance(event, ConnectionFailed)
            if isinstance(event, RequestReceived | WholeRequest):
                server.send_headers(event.stream, b"\x88")
                server.end(event.stream, hang_up=True)
    if failed != server.failed:
        raise AssertionError("a failure that was not told")
    server.output()


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
