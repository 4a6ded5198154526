"""Metadata to fields and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlane.grpc.metadata import MetadataError, from_fields, to_fields


def test_what_the_transport_owns_is_not_shown() -> None:
    fields = (
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
        (b"grpc-timeout", b"1S"),
        (b"user-agent", b"x"),
        (b"custom", b"y"),
    )
    assert from_fields(fields) == (("user-agent", "x"), ("custom", "y"))


@pytest.mark.parametrize("value", [b"AP8=", b"AP8"])
def test_binary_values_are_read_with_and_without_padding(value: bytes) -> None:
    assert from_fields(((b"k-bin", value),)) == (("k-bin", b"\x00\xff"),)


def test_joined_binary_values_are_several() -> None:
    assert from_fields(((b"k-bin", b"AA==, AQ"),)) == (("k-bin", b"\x00"), ("k-bin", b"\x01"))


def test_binary_values_that_are_no_base64_are_refused() -> None:
    with pytest.raises(MetadataError):
        from_fields(((b"k-bin", b"!!"),))


def test_text_that_is_no_utf_8_is_still_shown() -> None:
    assert from_fields(((b"k", b"\xe4"),)) == (("k", "\u00e4"),)


@given(st.binary())
def test_any_bytes_survive_the_way_there_and_back(value: bytes) -> None:
    assert from_fields(tuple(to_fields([("k-bin", value)]))) == (("k-bin", value),)


@pytest.mark.parametrize(
    ("key", "value"),
    [("k y", "v"), ("k\u00e4", "v"), ("", "v"), (":path", "v"), ("grpc-x", "v"), ("k", "a\nb")],
)
def test_what_cannot_be_sent_is_refused_by_name(key: str, value: str) -> None:
    with pytest.raises(MetadataError, match="metadata"):
        to_fields([(key, value)])


def test_keys_are_lowered_and_spaces_at_the_ends_dropped() -> None:
    assert to_fields([("Key", " v ")]) == [(b"key", b"v")]


def test_status_details_may_be_sent() -> None:
    assert to_fields([("grpc-status-details-bin", b"\x00")]) == [
        (b"grpc-status-details-bin", b"AA")
    ]
