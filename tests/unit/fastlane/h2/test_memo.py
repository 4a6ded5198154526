"""The memo of field blocks: it saves work and never changes an answer."""

from __future__ import annotations

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlane.h2.errors import ConnectionFault, ErrorCode, StreamFault
from fastlane.h2.limits import Limits
from fastlane.h2.memo import HeaderDecoder
from tests.fastlane.client import REQUEST


def remembered(decoder: HeaderDecoder) -> set[bytes]:
    """Return the blocks of both generations."""
    return {*decoder.remembered, *decoder._old}


def test_a_repeated_block_is_not_decoded_again() -> None:
    decoder = HeaderDecoder(Limits())
    encoder = hpack.Encoder()
    decoder.request(encoder.encode(REQUEST))  # inserts
    block = encoder.encode(REQUEST)  # only refers
    first = decoder.request(block)
    assert decoder.request(block) is first


def test_a_block_that_inserts_is_not_remembered() -> None:
    decoder = HeaderDecoder(Limits())
    decoder.request(hpack.Encoder().encode(REQUEST))
    assert not remembered(decoder)


def test_an_insertion_forgets_every_block() -> None:
    decoder = HeaderDecoder(Limits())
    encoder = hpack.Encoder()
    decoder.request(encoder.encode(REQUEST))
    block = encoder.encode(REQUEST)
    decoder.request(block)
    decoder.request(encoder.encode((*REQUEST, (b"x-new", b"1"))))
    with pytest.raises(StreamFault):
        decoder.request(block)  # its indices now mean other entries: it lacks a path


def test_an_insertion_by_trailers_forgets_too() -> None:
    decoder = HeaderDecoder(Limits())
    encoder = hpack.Encoder()
    decoder.request(encoder.encode(REQUEST))
    decoder.request(encoder.encode(REQUEST))
    decoder.trailers(encoder.encode([(b"x-checksum", b"1")]))
    assert not decoder.remembered


def test_a_table_size_update_forgets_every_block() -> None:
    decoder = HeaderDecoder(Limits())
    encoder = hpack.Encoder()
    decoder.request(encoder.encode(REQUEST))
    decoder.request(encoder.encode(REQUEST))
    encoder.header_table_size = 0
    decoder.request(encoder.encode(REQUEST))
    assert not decoder.remembered


def test_the_memo_is_bounded_in_number_and_size() -> None:
    decoder = HeaderDecoder(Limits(memo_blocks=2, memo_block_bytes=200))
    encoder = hpack.Encoder()
    for value in (b"1", b"2", b"3"):
        fields = [(*field, True) for field in (*REQUEST, (b"x", value))]
        decoder.request(encoder.encode(fields))
    kept = remembered(decoder)
    assert len(kept) == 2
    decoder.request(encoder.encode([(*field, True) for field in (*REQUEST, (b"x", b"~" * 200))]))
    assert remembered(decoder) == kept


def numbered(number: int) -> bytes:
    """Return a block that changes no table, and is like no other."""
    fields = (*REQUEST, (b"x", b"%d" % number))
    block: bytes = hpack.Encoder().encode([(*field, True) for field in fields])
    return block


def test_a_block_that_is_asked_for_again_and_again_stays() -> None:
    decoder = HeaderDecoder(Limits(memo_blocks=8))
    first = decoder.request(numbered(0))
    for number in range(1, 100):
        decoder.request(numbered(number))
        assert decoder.request(numbered(0)) is first
        assert len(remembered(decoder)) <= 8


def test_a_change_of_the_table_forgets_what_is_of_the_old_generation_too() -> None:
    decoder = HeaderDecoder(Limits(memo_blocks=4))
    encoder = hpack.Encoder()
    decoder.request(encoder.encode(REQUEST))
    block = encoder.encode(REQUEST)  # refers to the table
    decoder.request(block)
    for number in range(2):
        decoder.request(numbered(number))
    assert block in remembered(decoder)
    assert block not in decoder.remembered
    decoder.request(encoder.encode((*REQUEST, (b"x-new", b"1"))))
    with pytest.raises(StreamFault):
        decoder.request(block)


def test_a_malformed_block_is_refused_every_time() -> None:
    decoder = HeaderDecoder(Limits())
    block = hpack.Encoder().encode([(b":method", b"GET", True)])
    for _ in range(2):
        with pytest.raises(StreamFault):
            decoder.request(block)


def test_a_list_over_the_limit_costs_the_stream_and_not_the_connection() -> None:
    decoder = HeaderDecoder(Limits(header_list_bytes=400))
    encoder = hpack.Encoder()
    with pytest.raises(StreamFault) as caught:
        decoder.request(encoder.encode((*REQUEST, (b"x", b"y" * 400))))
    assert caught.value.code is ErrorCode.ENHANCE_YOUR_CALM
    assert decoder.request(encoder.encode(REQUEST)).method == b"POST"


def test_a_bomb_stops_early_and_costs_the_connection() -> None:
    decoder = HeaderDecoder(Limits(decoded_bytes=65_536))
    bomb = hpack.Encoder().encode([(b"x", b"y" * 3_000)]) + b"\xbe" * 30_000
    with pytest.raises(ConnectionFault) as caught:
        decoder.request(bomb)
    assert caught.value.code is ErrorCode.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(
    "block",
    [b"\x80", b"\xff\xff\xff\xff\xff\xff", b"\x40", b"\x40\x05ab", b"\x3f\xe2\x1f", b"\x00\x01"],
)
def test_what_is_not_hpack_costs_the_connection(block: bytes) -> None:
    with pytest.raises(ConnectionFault) as caught:
        HeaderDecoder(Limits()).request(block)
    assert caught.value.code is ErrorCode.COMPRESSION_ERROR


@given(
    st.lists(
        st.lists(
            st.tuples(
                st.sampled_from([b"a", b"b", b"c"]),
                st.binary(max_size=3).map(lambda value: value.hex().encode()),
            ),
            max_size=4,
        ),
        max_size=12,
    )
)
def test_with_and_without_a_memo_every_history_reads_the_same(
    history: list[list[tuple[bytes, bytes]]],
) -> None:
    encoder = hpack.Encoder()
    remembering = HeaderDecoder(Limits())
    plain = hpack.Decoder()
    for fields in history:
        block = encoder.encode([*REQUEST, *fields])
        expected = [tuple(field) for field in plain.decode(block, raw=True)]
        for _ in range(1 + (block in remembering.remembered)):
            head = remembering.request(block)
        assert list(head.fields) == [field for field in expected if field[0][:1] != b":"]
