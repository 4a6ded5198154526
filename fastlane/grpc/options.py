"""Channel arguments, as `grpc.aio.server(options=...)` takes them, read once.

Times arrive in milliseconds under gRPC's own names and are kept in seconds. Names that this server
has no use for are ignored, as grpcio ignores what it does not know.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fastlane.h2 import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

_FOREVER_MS: Final = 2**31 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What a server was told; sizes in bytes, times in seconds, inf for never."""

    max_receive: int | None = 4 * 1024 * 1024
    """A request message after decompression: gRPC's own default, which clients rely on."""
    max_unfinished: int = 64 * 1024 * 1024
    """What the incomplete or unread requests of one connection may hold: sixteen of the largest
    messages. Without it, as many streams as may be open could each hold one."""
    max_held: int = 256 * 1024 * 1024
    """The same of all connections together: four that use all they may, or sixty-four of the
    largest messages. Messages that come whole in one frame are not counted, so that calls which are
    small go on when it is used up."""
    max_unsent: int = 64 * 1024 * 1024
    """Answers that wait for the peer to read them, of one connection: sixteen of the largest that
    clients take by default. From a quarter of it on calls wait until the peer has read some; a peer
    that reads nothing at all for `keepalive_timeout` then is gone or hostile."""
    max_unread: int = 256 * 1024 * 1024
    """The same of all connections together. From a quarter of it on, those that let a large answer
    wait are treated as those at a quarter of their own. Answers within 16 KiB are not refused, so
    that calls which are small go on when it is used up."""
    max_connections: int = 10_000
    """An idle one costs 7 KiB and a descriptor. The soft limit of descriptors is raised as far as
    this needs and the hard one allows; where that is less, so are the connections
    (`fastlane.door`)."""
    arrival_seconds: float = 60.0
    """How long a message that has begun, or a unary request without any of it, may get no further:
    a stalled network recovers within it, and without it a request of no deadline waits forever."""
    max_send: int | None = None
    """A response message: unlimited by default, as the program itself made it."""
    reuse_port: bool = True
    """SO_REUSEPORT, gRPC's default on Linux: several processes share a port."""
    keepalive_time: float = 7_200.0
    """Silence after which the peer is pinged: gRPC's two hours."""
    keepalive_timeout: float = 20.0
    """How long an answer to that ping, the handshake, or a blocked write may take."""
    pings_need_calls: bool = True
    """Whether a client without calls may not ping more often than every two hours."""
    min_ping_interval: float = 300.0
    """How often a client with calls may ping while nothing is sent to it: gRPC's five minutes."""
    max_ping_strikes: int = 2
    """Pings too many before GOAWAY too_many_pings; 0 for no limit."""
    max_idle: float = math.inf
    max_age: float = math.inf
    max_age_grace: float = math.inf
    limits: Limits = field(default_factory=Limits)


def read_options(arguments: Sequence[tuple[str, object]] | None) -> Options:
    """Return the options that gRPC channel arguments stand for; ValueError names a wrong one."""
    given = dict(arguments or ())
    default = Options()
    limits = Limits(
        concurrent_streams=_number(
            given, "grpc.max_concurrent_streams", default.limits.concurrent_streams
        ),
        header_list_bytes=_number(
            given,
            "grpc.absolute_max_metadata_size",
            _number(given, "grpc.max_metadata_size", default.limits.header_list_bytes),
        ),
    )
    return Options(
        max_receive=_size(given, "grpc.max_receive_message_length", default.max_receive),
        max_unfinished=_number(given, "fastlane.max_unfinished_bytes", default.max_unfinished),
        max_held=_number(given, "fastlane.max_held_bytes", default.max_held),
        max_unsent=_number(given, "fastlane.max_unsent_bytes", default.max_unsent),
        max_unread=_number(given, "fastlane.max_unread_bytes", default.max_unread),
        max_connections=_number(given, "fastlane.max_connections", default.max_connections),
        arrival_seconds=_time(given, "fastlane.max_arrival_ms", default.arrival_seconds),
        max_send=_size(given, "grpc.max_send_message_length", default.max_send),
        reuse_port=bool(_number(given, "grpc.so_reuseport", int(default.reuse_port))),
        keepalive_time=_time(given, "grpc.keepalive_time_ms", default.keepalive_time),
        keepalive_timeout=_time(given, "grpc.keepalive_timeout_ms", default.keepalive_timeout),
        pings_need_calls=not _number(given, "grpc.keepalive_permit_without_calls", 0),
        min_ping_interval=_time(
            given,
            "grpc.http2.min_ping_interval_without_data_ms",
            _time(
                given,
                "grpc.http2.min_recv_ping_interval_without_data_ms",
                default.min_ping_interval,
            ),
        ),
        max_ping_strikes=_number(given, "grpc.http2.max_ping_strikes", default.max_ping_strikes),
        max_idle=_time(given, "grpc.max_connection_idle_ms", default.max_idle),
        max_age=_time(given, "grpc.max_connection_age_ms", default.max_age),
        max_age_grace=_time(given, "grpc.max_connection_age_grace_ms", default.max_age_grace),
        limits=limits,
    )


def _number(given: dict[str, object], name: str, default: int) -> int:
    value = given.get(name, default)
    if not isinstance(value, int):
        raise ValueError(f"option {name} takes a whole number, not {value!r}")  # noqa: TRY004 - user input
    return value


def _size(given: dict[str, object], name: str, default: int | None) -> int | None:
    if name not in given:
        return default
    value = _number(given, name, -1)
    return None if value < 0 else value


def _time(given: dict[str, object], name: str, default: float) -> float:
    if name not in given:
        return default
    value = _number(given, name, 0)
    return math.inf if value >= _FOREVER_MS else max(0, value) / 1000
