"""The decoding loop against the package hpack: the same fields, table and refusals."""

from __future__ import annotations

import contextlib

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlane.h2.decoding import DecodingError, TooLargeError, decode
from fastlane.h2.table import DynamicTable
from tests.fastlane.client import REQUEST

LIMIT = 65_536
NAMES = st.sampled_from([b":path", b"x", b"cookie", b"grpc-timeout", b"x-" + b"y" * 140])
FIELDS = st.lists(st.tuples(NAMES, st.binary(max_size=200), st.booleans()), max_size=8)


def as_hpack(decoder: hpack.Decoder, block: bytes) -> list[tuple[bytes, bytes]] | None:
    """Decode with the package; None if it refuses."""
    with contextlib.suppress(hpack.HPACKError, IndexError):
        return [(bytes(f[0]), bytes(f[1])) for f in decoder.decode(block, raw=True)]
    return None


def as_ours(table: DynamicTable, block: bytes) -> list[tuple[bytes, bytes]] | None:
    """Decode with the loop; None if it refuses."""
    with contextlib.suppress(DecodingError, TooLargeError, hpack.HPACKError):
        return decode(block, table, LIMIT)[0]
    return None


@given(st.lists(FIELDS, max_size=6), st.lists(st.sampled_from([0, 64, 500, 4_096]), max_size=6))
def test_every_history_of_an_encoder_reads_the_same(
    history: list[list[tuple[bytes, bytes, bool]]], sizes: list[int]
) -> None:
    encoder, decoder, table = hpack.Encoder(), hpack.Decoder(), DynamicTable()
    for number, fields in enumerate(history):
        if number < len(sizes):
            encoder.header_table_size = sizes[number]
        block = encoder.encode(fields, huffman=bool(number % 2))
        expected = [(name, value) for name, value, _secret in fields]
        assert as_ours(table, block) == as_hpack(decoder, block) == expected
        entries = zip(reversed(table.names), reversed(table.values), strict=True)
        assert list(entries) == list(decoder.header_table.dynamic_entries)
        assert table.limit == decoder.header_table.maxsize


@given(st.binary(max_size=60), st.integers(0, 2**32))
def test_any_bytes_are_read_or_refused_as_the_package_does(noise: bytes, seed: int) -> None:
    start = hpack.Encoder().encode(REQUEST)
    cut = seed % (len(start) + 1)
    for block in (noise, start[:cut] + noise):
        decoder, table = hpack.Decoder(), DynamicTable()
        expected = as_hpack(decoder, block)
        found = as_ours(table, block)
        if found != expected:
            assert found is None, "nothing is read that the package refuses"
            assert has_long_integer(block), "only endless integers are refused by us alone"


def has_long_integer(block: bytes) -> bool:
    """Whether five bytes in a row go on: an integer that we call endless."""
    return any(all(byte & 0x80 for byte in block[at : at + 5]) for at in range(len(block)))


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",
        b"\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\xc6",
        b"\x40",
        b"\x40\x01",
        b"\x40\x05ab",
        b"\x00\x01a",
        b"\x3f\xe2\x1f",
        b"\x82\x20",
        b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff",
        b"\x00\x85\xf2\xb2\x4a\x87\xff\xff\xff\xfd\x25\x42\x7f",
    ],
)
def test_what_is_not_hpack_is_refused(block: bytes) -> None:
    assert as_ours(DynamicTable(), block) is None


def test_the_size_counts_and_is_bounded() -> None:
    block = hpack.Encoder().encode([(b"abc", b"12345")])
    assert decode(block, DynamicTable(), LIMIT)[1] == 32 + 3 + 5
    with pytest.raises(TooLargeError):
        decode(block, DynamicTable(), 39)


def test_changes_are_counted() -> None:
    table, encoder = DynamicTable(), hpack.Encoder()
    decode(encoder.encode(REQUEST), table, LIMIT)
    changes = table.changes
    assert changes
    decode(encoder.encode(REQUEST), table, LIMIT)
    assert table.changes == changes
    encoder.header_table_size = 100
    decode(encoder.encode(REQUEST), table, LIMIT)
    assert table.changes > changes
