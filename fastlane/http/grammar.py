"""The grammar both versions share: methods, targets, authorities, field names and values.

RFC 9110 section 5 and RFC 3986, narrowed to what every implementation reads alike. What two of them
could read differently is refused, however many servers accept it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from fastlane.http.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

Field = tuple[bytes, bytes]
Fields = tuple[Field, ...]

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
NAME: Final = re.compile(TOKEN + rb"\Z")

# A field's value: visible ASCII, obs-text, and SP or HTAB within (RFC 9110 section 5.5). No other
# control character: some receivers end lines or trim at them.
VALUE: Final = re.compile(
    rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?\Z"
)

# The path and query of a target. A fragment is never sent (RFC 9112 section 3.2), and a raw byte
# beyond ASCII is read as whatever the receiver likes.
_ORIGIN: Final = re.compile(rb"/[\x21\x22\x24-\x7e]*\Z")
_ABSOLUTE: Final = re.compile(
    rb"(https?)://([^/?#]+)(/[\x21\x22\x24-\x7e]*|\?[\x21\x22\x24-\x7e]*)?\Z", re.IGNORECASE
)

# host [":" port] without user information (RFC 9110 section 4.2.4 deprecates it, and "@" is the
# classic way to make two parsers see two hosts).
_AUTHORITY: Final = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z\-._~%!$&'()*+,;=]+)(?::[0-9]{0,5})?\Z"
)

_DIGITS: Final = re.compile(rb"[0-9]{1,18}\Z")  # 18 digits stay within 64 bits


def check_value(name: bytes, value: bytes) -> None:
    """Refuse a field value with a forbidden byte."""
    if not VALUE.match(value):
        raise Refusal(400, f"a forbidden byte in field {text(name)}")


def check_authority(authority: bytes) -> None:
    """Refuse what is not host and port."""
    if not _AUTHORITY.match(authority):
        raise Refusal(400, f"host {text(authority)} is not a host and port")


def split_target(method: bytes, target: bytes) -> tuple[bytes, bytes, bytes]:
    """Return scheme, authority and path of a target; the first two are empty in origin form.

    The path includes the query and is `*` for `OPTIONS *`.
    """
    if _ORIGIN.match(target):
        return b"", b"", target
    if target == b"*" and method == b"OPTIONS":
        return b"", b"", target
    absolute = _ABSOLUTE.match(target)
    if absolute is None:
        raise Refusal(400, f"target {text(target)} is neither a path nor a URL")
    scheme, authority, path = absolute.groups(default=b"")
    if not path and method == b"OPTIONS":
        path = b"*"  # RFC 9112 section 3.2.4
    elif not path.startswith(b"/"):
        path = b"/" + path
    return scheme.lower(), authority, path


def read_length(values: Sequence[bytes]) -> int | None:
    """Return what content-length says; several, even equal ones, are refused."""
    if not values:
        return None
    if len(values) > 1:
        raise Refusal(400, "content-length more than once")
    if not _DIGITS.match(values[0]):
        raise Refusal(400, "content-length is not a number")
    return int(values[0])


def tokens(value: bytes) -> list[bytes]:
    """Return the lower-case members of a comma-separated list."""
    return [one.strip(b" \t").lower() for one in value.split(b",") if one.strip(b" \t")]


def text(raw: bytes) -> str:
    """Return bytes of the peer's as they may be shown to a person."""
    return repr(raw[:64])[1:]
