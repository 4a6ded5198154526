"""What a lease buys with a Redis one millisecond away: the same service and load, with and without.

    python -m bench.leases [--calls N] [--rounds N] [--away-ms N]

All clients ask for one key whose limit nobody reaches. One Valkey is shared, behind a proxy that
keeps each reply for a while; CPU is taken from the processes themselves. Both services run at the
same time and are measured in turn; only the one that is called works.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from bench import load
from bench import store as store_alone
from bench.ratelimit import CLIENT, LOADS, METHOD, Shape
from bench.servers import Announced, Server, cpu_seconds, started_sluice, started_valkey
from bench.target import Target, show
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest

if TYPE_CHECKING:
    from collections.abc import Callable

AWAY_MS = 1.0
RULES = """
domain: bench
descriptors:
  - key: client_id
    rate_limit: {unit: minute, requests_per_unit: 60000000}
"""
LEASE = "    lease: {max_share: 0.1, max_ms: 100}\n"
PLAIN, LEASED = "each in Redis", "leased"


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """One measured run. CPU in microseconds a decision."""

    load: load.Load
    service_us: float
    redis_us: float
    script_calls: int


def main() -> int:
    """Start everything, measure in turn, print the figures, end everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, default=40_000, help="calls a round (40000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each service (3)")
    parser.add_argument("--away-ms", type=float, default=AWAY_MS, help="of the store (1)")
    parser.add_argument("--proxy-of", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.proxy_of is not None:
        asyncio.run(keep_away(options.proxy_of, options.away_ms / 1000))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        print("Starting Valkey, a proxy and two services ...", flush=True)
        store_port, _ = stack.enter_context(started_valkey(folder))
        words = ["--proxy-of", str(store_port), "--away-ms", str(options.away_ms)]
        proxy = Announced("bench.leases", *words)
        stack.callback(proxy.stop)
        servers = []
        for name, rules in ((PLAIN, RULES), (LEASED, RULES + LEASE)):
            own = folder / name
            (own / "config").mkdir(parents=True)
            (own / "config/bench.yaml").write_text(rules)
            server = stack.enter_context(started_sluice(own, proxy.port))
            servers.append(replace(server, name=name))
        client = stack.enter_context(redis.Redis(port=store_port))
        away_ms = round_trip_ms(proxy.port)
        measured = {name: measure_in_turn(name, servers, client, options) for name in LOADS}
    report(measured, away_ms)
    return show(targets(measured))


async def keep_away(port: int, seconds: float) -> None:
    """Stand before a server and give each of its replies so much later; never returns."""
    loop = asyncio.get_running_loop()

    async def stand(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)

        async def asked() -> None:
            while chunk := await reader.read(65536):
                back.write(chunk)
            back.close()

        asking = asyncio.create_task(asked())
        while chunk := await there.read(65536):
            loop.call_later(seconds, writer.write, chunk)
        writer.close()
        await asking

    server = await asyncio.start_server(stand, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def round_trip_ms(port: int) -> float:
    """Return how far away the store is, as its callers see it."""
    spans = []
    with redis.Redis(port=port) as client:
        for _ in range(100):
            started = time.perf_counter()
            client.ping()
            spans.append(time.perf_counter() - started)
    return statistics.median(spans) * 1000


def measure_in_turn(
    load_name: str, servers: list[Server], client: redis.Redis, options: argparse.Namespace
) -> dict[str, list[Figures]]:
    """Measure both services under one load, round by round, after a warm-up."""
    shape = LOADS[load_name]
    measured: dict[str, list[Figures]] = {server.name: [] for server in servers}
    for number in range(options.rounds + 1):
        for server in servers:
            print(f"{load_name}, round {number} of {options.rounds}: {server.name} ...", flush=True)
            figures = measure(server, client, max(1000, options.calls // shape.fewer), shape)
            if number:
                measured[server.name].append(figures)
    return measured


def measure(server: Server, client: redis.Redis, calls: int, shape: Shape) -> Figures:
    """Load one service and take the CPU time and the script calls it cost."""
    request = RateLimitRequest(domain="bench")
    for key, value in CLIENT:
        request.descriptors.add().entries.add(key=key, value=value)
    before = read(server, client)
    done = load.run(
        server.port, METHOD, request.SerializeToString(),
        calls=calls, streams=shape.streams, connections=shape.connections,
    )  # fmt: skip
    service, store, scripts = (
        after - earlier for earlier, after in zip(before, read(server, client), strict=True)
    )
    return Figures(
        load=done,
        service_us=service * 1e6 / calls,
        redis_us=store * 1e6 / calls,
        script_calls=int(scripts),
    )


def read(server: Server, client: redis.Redis) -> tuple[float, float, int]:
    """Return the CPU seconds of the service and of the store so far, and its script calls."""
    stats = client.info("cpu")
    used = float(stats["used_cpu_user"]) + float(stats["used_cpu_sys"])
    return cpu_seconds(server.process), used, store_alone.script_calls(client)


def report(measured: dict[str, dict[str, list[Figures]]], away_ms: float) -> None:
    """Print the medians of every load and service."""
    row = "{:<16}{:>12}{:>13}{:>11}{:>10}{:>9}{:>9}{:>17}"
    titles = ("decisions/s", "service us", "Redis us", "mean ms", "p50 ms", "p99 ms")
    print(f"\nRedis {away_ms:.1f} ms away")
    for load_name, services in measured.items():
        print("\n" + row.format(load_name, *titles, "per script call"))
        for name, rounds in services.items():
            batch = median(rounds, lambda one: one.load.calls / max(1, one.script_calls))
            print(
                row.format(
                    name,
                    f"{median(rounds, lambda one: one.load.per_second):,.0f}",
                    f"{median(rounds, lambda one: one.service_us):.1f}",
                    f"{median(rounds, lambda one: one.redis_us):.1f}",
                    f"{median(rounds, lambda one: one.load.mean_ms):.2f}",
                    f"{median(rounds, lambda one: one.load.p50_ms):.2f}",
                    f"{median(rounds, lambda one: one.load.p99_ms):.2f}",
                    f"{batch:.1f}",
                )
            )


def targets(measured: dict[str, dict[str, list[Figures]]]) -> list[Target]:
    """Return each promise with what was measured."""
    full, some, one = measured.values()

    def times(rounds: dict[str, list[Figures]], read: Callable[[Figures], float]) -> float:
        return median(rounds[LEASED], read) / median(rounds[PLAIN], read)

    return [
        Target(
            name="64 in flight, times the decisions/s",
            value=times(some, lambda figures: figures.load.per_second),
            limit=1.5,
            at_least=True,
        ),
        Target(
            name="256 in flight, decisions a script call",
            value=median(full[LEASED], lambda one: one.load.calls / max(1, one.script_calls)),
            limit=1_000,
            at_least=True,
        ),
        Target(
            name="one in flight, times the decisions/s",
            value=times(one, lambda figures: figures.load.per_second),
            limit=5,
            at_least=True,
        ),
        Target(
            name="one in flight, p50 of that of each in Redis",
            value=times(one, lambda figures: figures.load.p50_ms),
            limit=0.2,
        ),
    ]


def median(rounds: list[Figures], read: Callable[[Figures], float]) -> float:
    """Return the median of one figure."""
    return statistics.median(read(figures) for figures in rounds)


if __name__ == "__main__":
    sys.exit(main())
