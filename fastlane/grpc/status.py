"""Status codes as trailers, and the exception that carries one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import grpc

from fastlane.grpc.metadata import to_fields
from fastlane.h2 import blocks

if TYPE_CHECKING:
    from collections.abc import Iterable

StatusCode = grpc.StatusCode

CODES: Final[dict[int, StatusCode]] = {code.value[0]: code for code in StatusCode}

# What stays as it is in grpc-message; the rest is percent-encoded UTF-8.
_PLAIN: Final = re.compile(rb"[^\x20-\x24\x26-\x7e]")
# One message fits a field list of 8 KiB even if every byte is encoded.
_MESSAGE_BYTES: Final = 2_000

_STATUS_200: Final = (b":status", b"200")
_CONTENT_TYPE: Final = (b"content-type", b"application/grpc")
ACCEPT_ENCODING: Final = (b"grpc-accept-encoding", b"identity,deflate,gzip")

OK_HEAD: Final = blocks.Constant((_STATUS_200, _CONTENT_TYPE))
OK_TAIL: Final = blocks.Constant(((b"grpc-status", b"0"),))


class Abort(Exception):  # noqa: N818 - an outcome, as grpc's own AbortError
    """End the call with this status; what a raw or batch handler raises or returns."""

    def __init__(
        self,
        code: StatusCode,
        details: str = "",
        trailing_metadata: Iterable[tuple[str, str | bytes]] = (),
    ) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code
        self.details = details
        self.trailing_metadata = tuple(trailing_metadata)


def head(
    metadata: Iterable[tuple[str, str | bytes]] | None, encoding: bytes | None = None
) -> bytes:
    """Return the block of a response's first fields; MetadataError as `to_fields`."""
    if not metadata and encoding is None:
        return OK_HEAD.block
    fields = [_STATUS_200, _CONTENT_TYPE]
    if encoding is not None:
        fields.append((b"grpc-encoding", encoding))
    return blocks.encode(fields + to_fields(metadata))


def tail(
    code: StatusCode,
    details: str = "",
    metadata: Iterable[tuple[str, str | bytes]] | None = None,
    *,
    alone: bool = False,
) -> bytes:
    """Return the block of trailers; `alone` when they are the whole response."""
    if code is StatusCode.OK and not details and not metadata and not alone:
        return OK_TAIL.block
    fields = [_STATUS_200, _CONTENT_TYPE] if alone else []
    fields.append((b"grpc-status", str(code.value[0]).encode()))
    if details:
        fields.append((b"grpc-message", percent_encode(details)))
    if alone and code is StatusCode.UNIMPLEMENTED:
        fields.append(ACCEPT_ENCODING)
    return blocks.encode(fields + to_fields(metadata))


def percent_encode(message: str) -> bytes:
    """Return `message` as grpc-message wants it (gRPC over HTTP/2, Responses)."""
    raw = message[:_MESSAGE_BYTES].encode("utf-8", "replace")
    if len(raw) > _MESSAGE_BYTES:
        raw = raw[:_MESSAGE_BYTES].decode("utf-8", "ignore").encode()  # whole characters only
    return _PLAIN.sub(lambda match: b"%%%02X" % match[0][0], raw)
