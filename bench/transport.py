"""The transport bench: fastlane and grpc.aio side by side, driven by h2load.

`python -m bench.transport [--calls N]`. CPU is the server's own, user and system, from the kernel;
the client's is not counted. Calls a core is what one core would answer if the server had it alone:
one million over CPU microseconds a call. Interleaved rounds, best of each: other programs on the
machine can only make a round slower.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from google.protobuf.wrappers_pb2 import BytesValue, Int32Value

from bench import load
from bench.servers import Announced
from bench.target import Target, show

if TYPE_CHECKING:
    from collections.abc import Sequence

_STREAM: Final = 1_000
_ROUNDS: Final = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """What h2load sends."""

    path: str
    message: bytes
    connections: int = 4
    streams: int = 64
    messages: int = 1
    """Messages a call moves."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """What came of it."""

    calls_a_second: float
    cpu_us: float
    """The server's CPU microseconds a message."""


ECHO: Final = Call(path="Echo", message=BytesValue(value=bytes(32)).SerializeToString())
RAW: Final = Call(path="Raw", message=ECHO.message)
BATCH: Final = Call(path="Batch", message=ECHO.message)
DEFERRED: Final = Call(path="Deferred", message=ECHO.message)
ALONE: Final = Call(path="Echo", message=ECHO.message, connections=1, streams=1)
COUNT: Final = Call(
    path="Count",
    message=Int32Value(value=_STREAM).SerializeToString(),
    streams=4,
    messages=_STREAM,
)


def measure(server: Announced, call: Call, calls: int) -> Figure:
    """Run h2load once."""
    before = server.cpu_seconds
    done = load.run(
        server.port,
        f"/bench.Echo/{call.path}",
        call.message,
        calls=calls,
        streams=call.streams,
        connections=call.connections,
    )
    cpu = server.cpu_seconds - before
    messages = calls * call.messages
    return Figure(calls_a_second=done.per_second * call.messages, cpu_us=cpu / messages * 1e6)


def best(figures: Sequence[Figure]) -> Figure:
    """Return the round that was disturbed least."""
    return min(figures, key=lambda figure: figure.cpu_us)


def run(calls: int) -> list[Target]:
    """Measure everything and print it; returns the promises."""
    rows = [
        ("unary, drop-in", "fastlane", ECHO, calls),
        ("unary, raw bytes", "fastlane", RAW, calls),
        ("unary, batch", "fastlane", BATCH, calls),
        ("unary, deferred", "fastlane", DEFERRED, calls),
        ("unary, grpc.aio", "grpcio", ECHO, calls // 10),
        ("one in flight, drop-in", "fastlane", ALONE, calls // 20),
        ("one in flight, grpc.aio", "grpcio", ALONE, calls // 20),
        ("stream messages, drop-in", "fastlane", COUNT, max(16, calls // 500)),
        ("stream messages, grpc.aio", "grpcio", COUNT, max(16, calls // 2_000)),
    ]
    servers = {kind: Announced("bench.echo_server", kind) for kind in ("fastlane", "grpcio")}
    try:
        rounds = [
            {name: measure(servers[kind], call, count) for name, kind, call, count in rows}
            for _ in range(_ROUNDS)
        ]
    finally:
        for server in servers.values():
            server.stop()
    figures = {name: best([one[name] for one in rounds]) for name, *_ in rows}
    print(f"{'':28}{'a second':>12}{'CPU us':>10}{'a core':>12}")
    for name, figure in figures.items():
        core = 1e6 / figure.cpu_us
        print(f"{name:28}{figure.calls_a_second:12,.0f}{figure.cpu_us:10.2f}{core:12,.0f}")
    return promises(figures)


def promises(figures: dict[str, Figure]) -> list[Target]:
    """Return each promise with what was measured."""
    unary, aio = figures["unary, drop-in"], figures["unary, grpc.aio"]
    raw, deferred = figures["unary, raw bytes"], figures["unary, deferred"]
    stream, aio_stream = figures["stream messages, drop-in"], figures["stream messages, grpc.aio"]
    alone, aio_alone = figures["one in flight, drop-in"], figures["one in flight, grpc.aio"]
    ratio = aio_stream.cpu_us / stream.cpu_us
    speed = alone.calls_a_second / aio_alone.calls_a_second
    return [
        Target(name="drop-in, CPU us a call", value=unary.cpu_us, limit=12),
        Target(name="raw, CPU us a call", value=raw.cpu_us, limit=6),
        Target(name="deferred, CPU us a call", value=deferred.cpu_us, limit=6),
        Target(
            name="drop-in over grpc.aio, calls a core",
            value=aio.cpu_us / unary.cpu_us,
            limit=10,
            at_least=True,
        ),
        Target(name="stream messages a core", value=ratio, limit=5, at_least=True),
        Target(name="one in flight, speed over grpc.aio", value=speed, limit=1, at_least=True),
        Target(name="one in flight, CPU us a call", value=alone.cpu_us, limit=120),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; returns 1 if a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    return show(run(parser.parse_args(arguments).calls))


if __name__ == "__main__":
    sys.exit(main())
