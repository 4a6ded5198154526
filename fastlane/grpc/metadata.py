"""Metadata: HTTP fields to what a servicer sees, and back.

Keys that end in `-bin` carry bytes as base64, padded or not; everything else is printable ASCII.
Keys that begin with `grpc-`, and those HTTP owns, are the transport's and not shown.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastlane.h2.decoding import Field
    from fastlane.h2.heads import Fields

_KEY: Final = re.compile(r"[0-9a-z_.\-]+\Z")
_VALUE: Final = re.compile(rb"[\x20-\x7e]*\Z")
_OWNED: Final = frozenset({b"content-type", b"te", b"host", b"content-length"})
_OURS_TO_SEND: Final = frozenset({"grpc-status-details-bin"})


class Metadatum(NamedTuple):
    """One key and its value; bytes if the key ends in `-bin`."""

    key: str
    value: str | bytes


Metadata = tuple[Metadatum, ...]


class MetadataError(ValueError):
    """Metadata that cannot be put on the wire, or could not be read from it."""


def from_fields(fields: Fields) -> Metadata:
    """Return what a servicer may see of request fields."""
    metadata: list[Metadatum] = []
    for name, value in fields:
        if name in _OWNED or name.startswith(b"grpc-"):
            continue
        key = name.decode("ascii")
        if not key.endswith("-bin"):
            metadata.append(Metadatum(key, _text(value)))
            continue
        # Several values of one key may have been joined by a proxy.
        metadata.extend(Metadatum(key, _unbase64(part)) for part in value.split(b","))
    return tuple(metadata)


def to_fields(metadata: Iterable[tuple[str, str | bytes]] | None) -> list[Field]:
    """Return the fields for metadata of a servicer; MetadataError says which key is wrong."""
    if not metadata:
        return []
    return [_field(key, value) for key, value in metadata]


def _field(key: str, value: str | bytes) -> Field:
    key = key.lower()
    if not _KEY.match(key):
        raise MetadataError(f"metadata key {key!r} may hold only 0-9 a-z _ . -")
    if key.startswith("grpc-") and key not in _OURS_TO_SEND:
        raise MetadataError(f"metadata key {key!r} is reserved: keys of gRPC begin with grpc-")
    raw = value.encode() if isinstance(value, str) else value
    name = key.encode("ascii")
    if key.endswith("-bin"):
        return name, base64.b64encode(raw).rstrip(b"=")
    if not _VALUE.match(raw):
        raise MetadataError(f"metadata {key!r} is not printable ASCII: name it {key}-bin")
    return name, raw.strip(b" ")


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _unbase64(value: bytes) -> bytes:
    value = value.strip()
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except binascii.Error as error:
        raise MetadataError("binary metadata that is not base64") from error
