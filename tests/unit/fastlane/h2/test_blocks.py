"""Field blocks that we send: any decoder reads them, and none has to remember anything."""

from __future__ import annotations

import hpack
from hypothesis import given
from hypothesis import strategies as st

from fastlane.h2 import blocks, frames

NAMES = st.sampled_from(
    [b":status", b"content-type", b"grpc-status", b"set-cookie", b"x", b"x-" + b"long" * 60]
)


@given(st.lists(st.tuples(NAMES, st.binary(max_size=300))))
def test_another_decoder_reads_what_was_written(fields: list[tuple[bytes, bytes]]) -> None:
    decoder = hpack.Decoder(max_header_list_size=10**9)
    decoded = decoder.decode(blocks.encode(fields), raw=True)
    assert [tuple(field) for field in decoded] == fields
    assert not decoder.header_table.dynamic_entries


def test_a_field_of_the_static_table_takes_one_byte() -> None:
    assert blocks.encode([(b":status", b"200")]) == b"\x88"


def test_secrets_are_marked_never_indexed() -> None:
    (field,) = hpack.Decoder().decode(blocks.encode([(b"set-cookie", b"a=b")]), raw=True)
    assert not field.indexable


def test_a_constant_holds_the_start_of_both_its_frames() -> None:
    constant = blocks.Constant([(b":status", b"200"), (b"x", b"y")])
    name = (7).to_bytes(4, "big")
    for start, end in ((constant.opening, False), (constant.closing, True)):
        frame = frames.headers(7, constant.block, end_stream=end, max_frame=16_384)
        assert start + name + constant.block == frame
