"""gRPC's messages in a request body, however cut: `python -m tests.fuzz.messages`.

The first byte decides how the rest is cut. However it is, the same messages come of it and the same
fault; and no message, compressed or not, is larger than it may be.
"""

from __future__ import annotations

import zlib

import atheris

with atheris.instrument_imports(include=["fastlane"]):
    from fastlane.grpc.messages import Assembler, Packed, compressed, prefixed, unpacked
    from fastlane.grpc.status import Abort

from tests.fuzz.run import fuzz, pieces

_LIMIT = 200


def one_input(data: bytes) -> None:
    """Assemble one input whole and in pieces; anything but a status is a finding."""
    if not data:
        return
    for encoding in (None, b"gzip", b"deflate"):
        if messages(pieces(data[1:], 1 + data[0]), encoding) != messages([data[1:]], encoding):
            raise AssertionError("a cut changes what is read")


def messages(found: list[bytes], encoding: bytes | None) -> list[object]:
    """Return the messages in these pieces, up to a fault, and that."""
    assembler = Assembler(encoding, _LIMIT)
    story: list[object] = []
    try:
        for piece in found:
            for message in assembler.feed(piece):
                plain = message
                if isinstance(message, Packed):
                    plain = unpacked(message, encoding, _LIMIT)
                if len(plain) > _LIMIT:
                    raise AssertionError("a message over the limit")
                story.append(plain)
    except Abort as fault:
        story.append((fault.code, fault.details))
        return story
    if assembler.size > _LIMIT + 5:
        raise AssertionError("more is held than a message may be")
    story.append(assembler.is_between_messages)
    return story


def seeds() -> list[bytes]:
    """Return messages of each sort, a bomb among them."""
    plain = prefixed(b"hello") + prefixed(b"")
    packed = compressed(bytes(150), b"gzip") + compressed(bytes(190), b"deflate")
    bomb = zlib.compress(bytes(10_000))
    bombs = b"\x01" + len(bomb).to_bytes(4, "big") + bomb
    return [b"\x02" + plain, b"\x07" + packed, b"\xff" + bombs]


if __name__ == "__main__":
    fuzz(one_input, seeds())
