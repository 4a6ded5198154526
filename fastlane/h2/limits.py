"""A limit on everything a peer can make us hold or do, each with its reason.

The numbers are defaults; a server passes its own `Limits`. What a limit costs an honest peer is
said beside it, because a limit that ends honest connections is an outage with good intentions.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds of one connection; sizes in bytes, rates in events a second."""

    concurrent_streams: int = 256
    """SETTINGS_MAX_CONCURRENT_STREAMS. Bounds handlers and buffers of a connection; a proxy that
    needs more opens a second connection. Refused streams may be retried (REFUSED_STREAM)."""

    frame_bytes: int = 16_384
    """SETTINGS_MAX_FRAME_SIZE, the smallest the RFC allows: a bigger frame only makes one stream
    hold up the others for longer."""

    header_list_bytes: int = 16_384
    """SETTINGS_MAX_HEADER_LIST_SIZE, counted with 32 bytes a field (RFC 9113 section 6.5.2). gRPC
    peers expect 8 to 16 KiB. Over it the stream is refused, the connection lives."""

    decoded_bytes: int = 65_536
    """Where decoding stops, so that a block of one-byte references to a large entry (an HPACK
    bomb) cannot expand further. The table is lost by then, and so is the connection."""

    header_block_bytes: int = 32_768
    """One field block before decoding, HEADERS and CONTINUATION together: twice the list limit,
    as no honest encoder doubles what it compresses."""

    continuation_frames: int = 16
    """CONTINUATION frames of one block (CVE-2024-27316). A block within its limit needs two."""

    memo_blocks: int = 256
    """Decoded field blocks remembered a connection, in two generations of half as many. Proxies
    repeat one to a few dozen."""

    memo_block_bytes: int = 2_048
    """The largest field block worth remembering: bounds the memo to about 2 MiB a connection."""

    stream_window: int = 65_535
    """SETTINGS_INITIAL_WINDOW_SIZE: the RFC's own default, so that data sent before our SETTINGS
    arrive cannot overrun it."""

    stream_window_max: int = 4 * 1024 * 1024
    """How far a stream's window may grow while its reader keeps up: gigabits at 30 ms."""

    connection_window: int = 1024 * 1024
    """The connection's window, returned on receipt: it paces the wire, not the readers, so that
    one stalled handler cannot stop its neighbours. What is held is bounded by the streams'."""

    connection_window_max: int = 16 * 1024 * 1024
    """How far the connection's window may grow: four streams at their maximum."""

    send_queue_bytes: int = 65_536
    """Bytes of one stream that wait for the peer's window before its writer has to wait."""

    nuisance_burst: int = 10_000
    """Frames that make us work and bring no data, at once: PING, SETTINGS, PRIORITY, RST_STREAM,
    WINDOW_UPDATE, empty DATA, unknown types, refused streams, request heads over their limit.
    One costs about a microsecond.
    Each request earns back ten, as clients that measure bandwidth ping beside every burst."""

    unaware_refusals: int = 4_096
    """Streams over the limit that cost nothing until the peer has acknowledged our SETTINGS: what
    it may send in one round trip, not knowing better. Who never acknowledges has these once."""

    nuisance_per_second: int = 1_000
    """The same, sustained: a tenth of a percent of a core."""

    early_reset_burst: int = 1_000
    """Streams that the peer opened and reset within `early_reset_seconds` (rapid reset,
    CVE-2023-44487), at once."""

    early_reset_per_second: int = 100
    """The same, sustained. A finished request earns one back."""

    early_reset_seconds: float = 0.005
    """What counts as early. A deadline is longer, so that calls which time out never count: a
    slow store must not end the connections of its callers."""

    provoked_reset_burst: int = 100
    """RST_STREAM that the peer's violations, malformed requests among them, force out of us
    (CVE-2025-8671), at once: an honest peer provokes none."""

    provoked_reset_per_second: int = 1
    """The same, sustained."""

    resets_remembered: int = 512
    """Streams we reset whose late frames are ignored: twice the concurrent streams. An older
    one is taken for closed, and a frame on it for a violation."""

    gaps_remembered: int = 64
    """Runs of skipped stream ids, to tell a never used id from a closed one. Clients skip none."""
