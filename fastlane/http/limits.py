"""A limit on everything a client can make us hold, do or wait for, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastlane import h2


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds of a server and its connections; sizes in bytes, times in seconds."""

    connections: int = 10_000
    """Open connections. Each costs 2.5 KiB and a file descriptor; beyond it, and where the process
    has few descriptors left, new ones are closed at once, so that those that are served stay
    served. The soft limit of descriptors is raised as far as this needs and the hard one allows."""

    head_bytes: int = 16_384
    """Request line and fields of an HTTP/1 request, as in the HTTP/2 core (431)."""

    target_bytes: int = 8_192
    """The request's target: RFC 9112 section 3 asks for at least 8,000 (414)."""

    fields: int = 128
    """Fields of a head: what a handler walks through must not be thousands (431)."""

    trailer_bytes: int = 8_192
    """The trailers of a chunked body: they arrive when a handler already holds the rest (431)."""

    chunk_line_bytes: int = 256
    """A chunk's size and extensions. Nobody uses extensions; long ones are an attack (400)."""

    chunk_overhead_bytes: int = 16_384
    """What chunking may cost a body beyond twice its data: a body of one-byte chunks takes 5 bytes
    of work for each, and would be a way to keep us busy for nothing (400)."""

    body_bytes: int | None = None
    """A request's body; None leaves it to handlers, which read with limits of their own (413)."""

    body_buffer_bytes: int = 65_536
    """Body bytes that wait for a handler before the HTTP/1 peer is no longer read. In HTTP/2 the
    stream's window does this."""

    discard_bytes: int = 65_536
    """Body bytes nobody read that are thrown away so that the connection can go on: cheaper than
    a new connection up to about this size. Beyond it the connection closes."""

    pipeline_bytes: int = 65_536
    """Requests that wait for the one before them. They wait as bytes, unread."""

    requests_a_turn: int = 16
    """Pipelined requests begun in one turn of the loop: some 0.5 ms, then others come first."""

    write_buffer_bytes: int = 262_144
    """Unwritten bytes beyond which writers wait and nothing more is read. Larger than one turn's
    answers to an honest peer, small enough for thousands of slow readers."""

    head_seconds: float = 10.0
    """From a head's first byte to its last, and from accepting to the first request or HTTP/2
    settings: a slow head holds a connection and gives nothing."""

    idle_seconds: float = 75.0
    """Without a request. Longer than the 60 s after which proxies let idle connections go, so
    that the proxy closes first and no request meets a closing connection."""

    body_seconds: float = 30.0
    """Without a byte of the body that a handler waits for (408)."""

    body_bytes_a_second: int = 256
    """What earns a body more time than that: a byte every 29 s would hold a handler for hours.
    Counted only while a handler waits. 0 lets clients take their time (408)."""

    write_seconds: float = 30.0
    """Without the peer taking what was written, or opening its window: it is gone or hostile."""

    two: h2.Limits = field(default_factory=h2.Limits)
    """Those of the HTTP/2 core."""
