"""Request heads: what a request asks for, read from either version's bytes into one form.

Framing is the shell's own affair and leaves the field list: `host` becomes `authority`,
`content-length` becomes `length`, `transfer-encoding`, `connection` and the other fields that
concern one connection are obeyed and dropped. Cookies that HTTP/2 has split are joined.

HTTP/1 fields are judged by llhttp at its strictest, which refuses bare CR and LF, folded lines,
white space before a colon, and both framings at once. The request line is judged here: llhttp takes
several spaces, RTSP and HTTP/0.9 for good, and knows only methods of its list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httptools

from fastlane.http import grammar
from fastlane.http.errors import ForeignError, Refusal
from fastlane.http.grammar import Field, Fields, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastlane.h2.heads import RequestHead
    from fastlane.http.limits import Limits

_LINE: Final = re.compile(b"(" + grammar.TOKEN + rb") ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])\r\n")
_BARE_FEED: Final = re.compile(rb"(?<!\r)\n")
_NEUTRAL_LINE: Final = b"GET / HTTP/1.1\r\n"
_NOTHING: Final[frozenset[bytes]] = frozenset()
_OPTIONS: Final = frozenset({b"close", b"keep-alive"})

_Special = dict[bytes, list[bytes]]

# Fields of one connection (RFC 9110 section 7.6.1) and of framing.
_DROPPED: Final = frozenset(
    {
        *(b"host", b"content-length", b"transfer-encoding", b"connection", b"keep-alive"),
        *(b"proxy-connection", b"upgrade", b"http2-settings", b"expect"),
    }
)
# Read as framing by whatever maps field names to variables and back, as CGI does.
_LOOKALIKES: Final = frozenset({b"content_length", b"transfer_encoding"})
# What Connection must not make an intermediary drop: these are for the end of the chain, and
# naming them is how a client strips what a proxy before us has put in.
_NEVER_NOMINATED: Final = frozenset(
    {
        *(b"host", b"content-length", b"transfer-encoding", b"authorization", b"cookie"),
        *(b"cache-control", b"forwarded", b"x-forwarded-for", b"x-forwarded-proto"),
        *(b"x-forwarded-host", b"x-real-ip"),
    }
)
# What must not come after the body (RFC 9110 section 6.5.1): framing, routing, authentication,
# and what decides how the body is read.
FORBIDDEN_TRAILERS: Final = frozenset(
    {
        *(b"host", b"content-length", b"transfer-encoding", b"connection", b"keep-alive"),
        *(b"upgrade", b"te", b"trailer", b"expect", b"authorization", b"proxy-authorization"),
        *(b"cookie", b"set-cookie", b"cache-control", b"content-encoding", b"content-type"),
        *(b"content-range", b"range", b"max-forwards", b"proxy-connection"),
    }
)


@dataclass(kw_only=True, slots=True, eq=False)
class Head:
    """A request without its body. The same object serves every request of the same bytes.

    A value, to be left as it is; not frozen, since making a frozen one costs 3 us more.
    """

    version: str
    """`1.0`, `1.1` or `2`."""
    method: bytes
    target: bytes
    """As received, byte for byte."""
    scheme: bytes
    authority: bytes
    """Host and port as the client named them; empty only in HTTP/1.0."""
    path: bytes
    """The target without scheme and authority; with the query. `*` for `OPTIONS *`."""
    headers: Fields
    length: int | None = None
    """The body's length where the client has declared it."""
    chunked: bool = False
    keeps_alive: bool = True
    expects_continue: bool = False
    nominated: frozenset[bytes] = frozenset()
    """Fields that Connection named: an intermediary does not forward them."""


class _Collector:
    """What llhttp calls back."""

    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields: list[Field] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field; llhttp has taken off the white space before its value, not that behind."""
        self.fields.append((name.lower(), value.rstrip(b" \t")))


def read_fields(raw: bytes) -> list[Field]:
    """Return the fields of a section that ends with its empty line; names in lower case."""
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    try:
        parser.feed_data(_NEUTRAL_LINE + raw)
    except httptools.HttpParserUpgrade:
        pass  # an offer to speak something else, which a server may pass over
    except httptools.HttpParserError as error:
        raise Refusal(400, f"malformed: {error}") from error
    return collector.fields


def read_head(raw: bytes, *, scheme: bytes, limits: Limits) -> Head:
    """Return the head that an HTTP/1 request begins with; `raw` ends with its empty line.

    `scheme` is the connection's. Raises `Refusal`.
    """
    if raw.count(b"\n") != raw.count(b"\r\n"):
        refuse_bare_feed(raw)
    line = _LINE.match(raw)
    if line is None:
        if b"HTTP/" not in raw[: raw.find(b"\r\n")]:
            raise ForeignError
        raise Refusal(400, "the request line is not method, target and version")
    method, target, major, minor = line.groups()
    if major != b"1":
        raise Refusal(505, "this port speaks HTTP/1.1 and HTTP/2")
    if len(target) > limits.target_bytes:
        raise Refusal(414, f"the target is over {limits.target_bytes} bytes")
    if method == b"CONNECT":
        raise Refusal(501, "this is no tunnel")
    is_new = minor != b"0"
    fields, special = _sort(read_fields(raw[line.end() :]), limits)
    target_scheme, target_authority, path = grammar.split_target(method, target)
    nominated = _connection(special)
    return Head(
        version="1.1" if is_new else "1.0",
        method=method,
        target=target,
        scheme=target_scheme or scheme,
        authority=_authority(special, target_authority, is_required=is_new),
        path=path,
        headers=tuple(fields),
        length=grammar.read_length(special.get(b"content-length", ())),
        chunked=_is_chunked(special, is_new=is_new),
        keeps_alive=b"close" not in nominated and (is_new or b"keep-alive" in nominated),
        expects_continue=_expects_continue(special) and is_new,
        nominated=nominated - _OPTIONS if nominated else nominated,
    )


def refuse_bare_feed(raw: bytes, searched: int = 0) -> None:
    """Refuse a line feed without its CR in a head, whole or begun; none is before `searched`.

    Said as soon as it is seen: a client that ends its lines so waits for an answer to a head that
    never ends here.
    """
    bare = _BARE_FEED.search(raw, searched)
    if bare is None:
        return
    if b"HTTP/" not in raw[: bare.start()]:
        raise ForeignError
    raise Refusal(400, "a line feed without its carriage return")


def adopt_head(head: RequestHead, *, limits: Limits) -> Head:
    """Return the head of an HTTP/2 request that its core has found well formed.

    The core holds RFC 9113; here follows what is as ambiguous in any version. Raises `Refusal`.
    """
    if head.method == b"CONNECT":
        raise Refusal(501, "this is no tunnel")
    if not grammar.NAME.match(head.method):
        raise Refusal(400, ":method is not a token")
    if head.scheme not in {b"http", b"https"}:
        raise Refusal(400, ":scheme is neither http nor https")
    if len(head.path) > limits.target_bytes:
        raise Refusal(414, f"the target is over {limits.target_bytes} bytes")
    if not head.path.startswith(b"/") and head.path != b"*":
        raise Refusal(400, ":path does not begin with a slash")
    grammar.split_target(head.method, head.path)
    for name, value in head.fields:
        grammar.check_value(name, value)
    fields, special = _sort(head.fields, limits)
    return Head(
        version="2",
        method=head.method,
        target=head.path,
        scheme=head.scheme,
        authority=_authority(special, head.authority, is_required=not head.authority),
        path=head.path,
        headers=_join_cookies(fields),
        length=grammar.read_length(special.get(b"content-length", ())),
        expects_continue=_expects_continue(special),
    )


def check_trailers(fields: Fields | list[Field]) -> Fields:
    """Return trailers that may stand where they stand."""
    for name, value in fields:
        if name in FORBIDDEN_TRAILERS:
            raise Refusal(400, f"{text(name)} in trailers")
        grammar.check_value(name, value)
    return tuple(fields)


def _sort(fields: Sequence[Field], limits: Limits) -> tuple[list[Field], _Special]:
    """Return what the handler sees, and the values of what the shell obeys."""
    if len(fields) > limits.fields:
        raise Refusal(431, f"more than {limits.fields} fields")
    kept: list[Field] = []
    special: _Special = {}
    for field in fields:
        name = field[0]
        if name in _DROPPED:
            special.setdefault(name, []).append(field[1])
        elif name in _LOOKALIKES:
            raise Refusal(400, f"field {text(name)} looks like framing")
        else:
            kept.append(field)
    return kept, special


def _authority(special: _Special, named: bytes, *, is_required: bool) -> bytes:
    """Return the one host that the request is for."""
    hosts = special.get(b"host", ())
    if len(hosts) > 1:
        raise Refusal(400, "host more than once")
    if not hosts and is_required:
        raise Refusal(400, "host is missing")
    authority = named or (hosts[0] if hosts else b"")
    if hosts and hosts[0].lower() != authority.lower():
        raise Refusal(400, "host differs from the target's")
    if authority or hosts:
        grammar.check_authority(authority)
    return authority


def _is_chunked(special: _Special, *, is_new: bool) -> bool:
    """Whether the body is chunked; any other coding, and any list, is refused."""
    codings = special.get(b"transfer-encoding", ())
    if not codings:
        return False
    if not is_new:
        raise Refusal(400, "transfer-encoding in HTTP/1.0")
    if len(codings) > 1 or codings[0].lower() != b"chunked":
        raise Refusal(400, "transfer-encoding is something else than chunked")
    return True


def _expects_continue(special: _Special) -> bool:
    expectations = special.get(b"expect", ())
    if any(value.lower() != b"100-continue" for value in expectations):
        raise Refusal(417, "expect may say 100-continue and nothing else")
    return bool(expectations)


def _connection(special: _Special) -> frozenset[bytes]:
    options = special.get(b"connection")
    if options is None:
        return _NOTHING
    nominated = frozenset(one for value in options for one in grammar.tokens(value))
    if nominated & _NEVER_NOMINATED:
        raise Refusal(400, "connection names a field that is not the connection's")
    return nominated


def _join_cookies(fields: list[Field]) -> Fields:
    """Put the crumbs of a cookie together, where the first stood (RFC 9113 section 8.2.3)."""
    crumbs = [value for name, value in fields if name == b"cookie"]
    if len(crumbs) < 2:
        return tuple(fields)
    at = next(index for index, field in enumerate(fields) if field[0] == b"cookie")
    rest = [field for field in fields if field[0] != b"cookie"]
    return (*rest[:at], (b"cookie", b"; ".join(crumbs)), *rest[at:])
