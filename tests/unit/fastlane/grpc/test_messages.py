"""Messages on the wire: however they are cut, and however they lie."""

from __future__ import annotations

import gzip
import itertools
import zlib

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlane.grpc import messages
from fastlane.grpc.messages import Assembler
from fastlane.grpc.status import Abort


def read(encoding: bytes | None, limit: int | None, wire: bytes) -> list[bytes]:
    """Return the messages in `wire`, unpacked."""
    return [
        messages.unpacked(one, encoding, limit) if type(one) is messages.Packed else one
        for one in Assembler(encoding, limit).feed(wire)
    ]


@given(st.lists(st.binary(max_size=40), max_size=8), st.data())
def test_messages_come_out_as_they_went_in_however_they_are_cut(
    sent: list[bytes], data: st.DataObject
) -> None:
    body = b"".join(map(messages.prefixed, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    assembler = Assembler(None, None)
    received: list[bytes] = []
    for start, end in itertools.pairwise([0, *cuts, len(body)]):
        received += assembler.feed(body[start:end])
    assert received == sent
    assert assembler.is_between_messages


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
@given(message=st.binary(max_size=300).map(lambda part: part * 3))
def test_compressed_messages_come_out_as_they_went_in(encoding: bytes, message: bytes) -> None:
    wire = messages.compressed(message, encoding)
    assert read(encoding, None, wire) == [message]


def test_what_does_not_shrink_is_sent_plain() -> None:
    assert messages.compressed(b"ab", b"gzip") == messages.prefixed(b"ab")


def packed(body: bytes) -> bytes:
    """Return a compressed message of these bytes."""
    return b"\x01" + len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize(
    ("story", "encoding", "wire", "code"),
    [
        ("too large", None, b"\x00\x00\x00\x00\x65", grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("2 GiB", None, b"\x00\x80\x00\x00\x00", grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("a bad flag", None, b"\x02\x00\x00\x00\x00", grpc.StatusCode.INTERNAL),
        ("no encoding", None, packed(b"x"), grpc.StatusCode.INTERNAL),
        ("identity", b"identity", packed(b"x"), grpc.StatusCode.INTERNAL),
        ("garbage", b"gzip", packed(b"garbage"), grpc.StatusCode.INTERNAL),
        ("cut short", b"gzip", packed(gzip.compress(b"abc")[:-9]), grpc.StatusCode.INTERNAL),
        ("more behind", b"gzip", packed(gzip.compress(b"abc") + b"x"), grpc.StatusCode.INTERNAL),
        ("another", b"gzip", packed(gzip.compress(b"abc") * 2), grpc.StatusCode.INTERNAL),
        ("a bomb", b"gzip", packed(gzip.compress(bytes(10**5))[:100]), None),
        ("a deflate bomb", b"deflate", packed(zlib.compress(bytes(10**4))), None),
    ],
)
def test_a_lie_is_refused(
    story: str, encoding: bytes | None, wire: bytes, code: grpc.StatusCode | None
) -> None:
    with pytest.raises(Abort) as caught:
        read(encoding, 100, wire)
    assert caught.value.code is (code or grpc.StatusCode.RESOURCE_EXHAUSTED), story


def test_the_largest_allowed_message_passes_plain_and_compressed() -> None:
    message = bytes(100)
    assert read(None, 100, messages.prefixed(message)) == [message]
    assert read(b"gzip", 100, messages.compressed(message, b"gzip")) == [message]


@pytest.mark.parametrize("second", [packed(b"garbage"), packed(b"garbage")[:5]])
def test_a_second_message_is_refused_before_it_is_complete(second: bytes) -> None:
    assembler = Assembler(b"gzip", None, single=True)
    with pytest.raises(Abort, match="more than one"):
        list(assembler.feed(packed(gzip.compress(b"first")) + second))


def test_an_only_message_may_come_in_pieces() -> None:
    assembler = Assembler(None, None, single=True)
    wire = messages.prefixed(b"first")
    received = [one for byte in wire for one in assembler.feed(bytes([byte]))]
    assert received == [b"first"]


def test_encodings_are_named_as_on_the_wire() -> None:
    assert messages.encoding_name(grpc.Compression.Gzip) == b"gzip"
    assert messages.encoding_name(grpc.Compression.NoCompression) is None
    assert messages.encoding_name(None) is None
    assert messages.accepted(b"identity, gzip") == {b"identity", b"gzip"}
    assert messages.accepted(None) == frozenset()
    assert messages.is_known(b"deflate")
    assert not messages.is_known(b"zstd")
