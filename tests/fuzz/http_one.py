"""HTTP/1 requests, however cut: `python -m tests.fuzz.http_one`.

The first byte decides how the rest is cut. However it is, the same requests are read from it, and
the same is refused: two readers that disagree are what request smuggling is made of.
"""

from __future__ import annotations

import atheris

with atheris.instrument_imports(include=["fastlane"]):
    from fastlane.http import Head, Limits, Refusal
    from fastlane.http.one import HeadMemo, Reader, State

from tests.fuzz.run import fuzz, pieces

# Small ones, so that mutations reach them.
_LIMITS = Limits(head_bytes=512, target_bytes=128, trailer_bytes=128, chunk_overhead_bytes=256)


def one_input(data: bytes) -> None:
    """Read one input whole and in pieces; anything but a refusal is a finding."""
    if data and events(pieces(data[1:], 1 + data[0] % 64)) != events([data[1:]]):
        raise AssertionError("a cut changes what is read")


def events(found: list[bytes]) -> list[object]:
    """Return what is read of these pieces, up to a refusal, bodies as one."""
    reader = Reader(HeadMemo(_LIMITS, b"http"), _LIMITS)
    story: list[object] = []
    for piece in found:
        reader.feed(piece)
        try:
            _read(reader, story)
        except Refusal as refusal:
            if story and isinstance(story[-1], bytes):
                story.pop()  # how much of a broken body came first depends on the cut
            story.append(refusal.status)
            break
    return story


def _read(reader: Reader, story: list[object]) -> None:
    while True:
        event = reader.next()
        if event is None:
            if reader.state is not State.DONE:
                return
            reader.restart()
        elif isinstance(event, bytes) and story and isinstance(story[-1], bytes):
            story[-1] += event
        elif isinstance(event, Head):
            story.append((event.method, event.target, event.headers, event.length))
        else:
            story.append(event)


def seeds() -> list[bytes]:
    """Return a request of each sort, and two in a row."""
    get = b"GET /a HTTP/1.1\r\nHost: a\r\nX-Y: z, q\r\n\r\n"
    counted = b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world"
    head = b"PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked = head + b"5;a=b\r\nhello\r\n0\r\nT: v\r\n\r\n"
    return [b"\x05" + one for one in (get, counted, chunked, chunked + get)]


if __name__ == "__main__":
    fuzz(one_input, seeds())
