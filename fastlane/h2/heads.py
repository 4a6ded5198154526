"""Field lists: what makes a request well formed (RFC 9113 section 8).

A malformed request is a stream error PROTOCOL_ERROR. The rules, in the order they are checked:

* names are lower-case tokens; values hold no NUL, CR or LF and no white space at either end (8.2.1)
* no connection-specific field; `te` says `trailers` or nothing (8.2.2)
* pseudo-fields come first, are known, are not repeated (8.3); trailers have none (8.1)
* `:method`, `:scheme` and a non-empty `:path`; CONNECT has `:authority` alone (8.3.1)
* `host` agrees with `:authority` (8.3.1); `content-length` is one number (8.1.1)
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from fastlane.h2.errors import ErrorCode, StreamFault

if TYPE_CHECKING:
    from fastlane.h2.decoding import Field

Fields = tuple[tuple[bytes, bytes], ...]

_PSEUDO: Final = 0
_REGULAR: Final = 1
_HOST: Final = 2
_LENGTH: Final = 3

_REMEMBERED: Final = 128  # bytes of name and value
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+\Z")
_BAD_VALUE: Final = re.compile(rb"[\x00\r\n]|\A[ \t]|[ \t]\Z")
_DIGITS: Final = re.compile(rb"[0-9]{1,18}\Z")  # 18 digits stay within 64 bits
_REQUEST_PSEUDO: Final = frozenset({b":method", b":scheme", b":path", b":authority"})
_CONNECTION_FIELDS: Final = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)


class RequestHead:
    """A validated request head. The memo hands the same object out again for the same block."""

    __slots__ = (
        "authority",
        "content_length",
        "fields",
        "is_wanted_whole",
        "method",
        "path",
        "plan",
        "scheme",
    )

    def __init__(self, pseudo: dict[bytes, bytes], fields: Fields, length: int | None) -> None:
        self.method = pseudo[b":method"]
        self.scheme = pseudo.get(b":scheme", b"")
        self.path = pseudo.get(b":path", b"")
        self.authority = pseudo.get(b":authority", b"")
        self.fields = fields
        """The regular fields in order."""
        self.content_length = length
        self.plan: Any = None
        """The shell's own: what it worked out from this head, kept as long as the head is."""
        self.is_wanted_whole = False
        """Set by the shell if it has no use for such a request before its body is complete: where
        one DATA frame brings that, head and body are told together."""

    def first(self, name: bytes) -> bytes | None:
        """Return the value of the first field called `name`."""
        return next((value for key, value in self.fields if key == name), None)


def read_request(fields: list[Field]) -> RequestHead:
    """Return the head that `fields` make; StreamFault when they are malformed."""
    pseudo: dict[bytes, bytes] = {}
    length: int | None = None
    has_regular = False
    for name, value in fields:
        is_short = len(name) + len(value) < _REMEMBERED
        kind = _classify_often(name, value) if is_short else _classify(name, value)
        if kind is _PSEUDO:
            if has_regular:
                raise _malformed(f"{_text(name)} after a regular field")
            if name in pseudo:
                raise _malformed(f"{_text(name)} twice")
            pseudo[name] = value
            continue
        has_regular = True
        if kind is _HOST:
            _check_host(pseudo, value)
        elif kind is _LENGTH:
            if length is not None and length != int(value):
                raise _malformed("content-length is not one number")
            length = int(value)
    _check_pseudo(pseudo)
    return RequestHead(pseudo, tuple(fields[len(pseudo) :]), length)


def read_trailers(fields: list[Field]) -> Fields:
    """Return the trailers that `fields` make; StreamFault when they are malformed."""
    for name, value in fields:
        if _classify(name, value) is _PSEUDO:
            raise _malformed(f"{_text(name)} in trailers")
    return tuple(fields)


def _classify(name: bytes, value: bytes) -> int:
    """Return what kind of field this is; StreamFault for one that may not be."""
    if _BAD_VALUE.search(value):
        raise _malformed(f"a forbidden byte in {_text(name)}")
    if name[:1] == b":":
        if name not in _REQUEST_PSEUDO:
            raise _malformed(f"unknown pseudo-field {_text(name)}")
        return _PSEUDO
    if not _NAME.match(name):
        raise _malformed(f"field name {_text(name)}")
    if name in _CONNECTION_FIELDS:
        raise _malformed(f"connection-specific field {_text(name)}")
    if name == b"te" and value.lower() != b"trailers":
        raise _malformed("te may say trailers and nothing else")
    if name == b"content-length":
        if not _DIGITS.match(value):
            raise _malformed("content-length is not one number")
        return _LENGTH
    return _HOST if name == b"host" else _REGULAR


# A field that was found well formed needs no second look: 0.15 us instead of 0.9, eight times a
# request whose block is new. Long fields are not kept: with those of 16 KB, which a list may hold,
# it would come to 70 MB, and it is one for all connections and forever.
_classify_often = lru_cache(maxsize=4_096)(_classify)


def _check_pseudo(pseudo: dict[bytes, bytes]) -> None:
    method = pseudo.get(b":method")
    if not method:
        raise _malformed(":method is missing")
    if method == b"CONNECT":
        if b":scheme" in pseudo or b":path" in pseudo or not pseudo.get(b":authority"):
            raise _malformed("CONNECT has :authority, and neither :scheme nor :path")
    elif not pseudo.get(b":scheme"):
        raise _malformed(":scheme is missing")
    elif not pseudo.get(b":path"):
        raise _malformed(":path is missing")


def _check_host(pseudo: dict[bytes, bytes], host: bytes) -> None:
    authority = pseudo.get(b":authority")
    if authority is not None and host.lower() != authority.lower():
        raise _malformed("host differs from :authority")


def _malformed(reason: str) -> StreamFault:
    return StreamFault(ErrorCode.PROTOCOL_ERROR, f"malformed: {reason}")


def _text(name: bytes) -> str:
    return repr(name[:64])[1:]
