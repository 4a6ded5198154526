"""Statuses as trailers."""

from __future__ import annotations

import urllib.parse

import grpc
import hpack
from hypothesis import given
from hypothesis import strategies as st

from fastlane.grpc import status
from fastlane.grpc.status import Abort


def fields(block: bytes) -> dict[bytes, bytes]:
    """Decode a block."""
    return dict(hpack.Decoder().decode(block, raw=True))


@given(st.text(max_size=200))
def test_any_message_can_be_read_back(message: str) -> None:
    encoded = status.percent_encode(message)
    assert all(0x20 <= byte <= 0x7E for byte in encoded)
    expected = message.encode("utf-8", "replace").decode()
    assert urllib.parse.unquote(encoded.decode("ascii")) == expected


def test_a_long_message_is_cut_to_fit_a_field_list() -> None:
    assert len(status.percent_encode("\u263a" * 10_000)) <= 6_000


def test_a_long_message_is_cut_between_characters() -> None:
    encoded = status.percent_encode("a" + "\u263a" * 10_000).decode("ascii")
    assert urllib.parse.unquote(encoded, errors="strict") == "a" + "\u263a" * 666


def test_a_plain_success_is_a_constant() -> None:
    assert status.tail(grpc.StatusCode.OK) is status.OK_TAIL.block
    assert status.head(None) is status.OK_HEAD.block


def test_trailers_alone_are_a_whole_response() -> None:
    found = fields(status.tail(grpc.StatusCode.NOT_FOUND, "no", alone=True))
    assert found[b":status"] == b"200"
    assert found[b"content-type"] == b"application/grpc"
    assert found[b"grpc-status"] == b"5"
    assert found[b"grpc-message"] == b"no"


def test_an_unimplemented_call_learns_the_encodings() -> None:
    found = fields(status.tail(grpc.StatusCode.UNIMPLEMENTED, "zstd", alone=True))
    assert b"gzip" in found[b"grpc-accept-encoding"]


def test_a_head_names_its_encoding_and_metadata() -> None:
    found = fields(status.head([("k", "v")], b"gzip"))
    assert (found[b"grpc-encoding"], found[b"k"]) == (b"gzip", b"v")


def test_an_abort_says_what_it_is() -> None:
    abort = Abort(grpc.StatusCode.ABORTED, "why", [("k", "v")])
    assert str(abort) == "ABORTED: why"
    assert abort.trailing_metadata == (("k", "v"),)
