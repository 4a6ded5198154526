"""`make bench`: what a ShouldRateLimit decision costs, beside the same servicer unbatched.

    python -m bench.ratelimit [--calls N] [--rounds N]
    BENCH_REFERENCE=/path/to/ratelimit python -m bench.ratelimit     a built reference beside ours

One service process, one Redis (the embedded Valkey) and h2load share the machine's processors.
CPU is taken from the processes themselves, so it holds on a noisy machine; calls a second and
latency are of this run. Both servers run at the same time and are measured in turn; only the
one that is called works. Every decision is made in Redis: the bench counts them there.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from bench import load
from bench import store as store_alone
from bench.servers import (
    Server,
    cpu_seconds,
    started_reference,
    started_sluice,
    started_unbatched,
    started_valkey,
)
from bench.target import Target, show
from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.keys import CounterKeys
from ratelimit_service.core.limit import Limit, Unit
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    import psutil

METHOD = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
# A limit nobody reaches, whose bucket still has to be written at every call.
RULES = """
domain: bench
descriptors:
  - key: client_id
    rate_limit: {unit: year, requests_per_unit: 4000000000}
"""
LIMIT = Limit(requests_per_unit=4_000_000_000, unit=Unit.YEAR)
CLIENT = (("client_id", "load"),)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """How many calls are in flight, and by how much fewer are sent in all."""

    connections: int
    streams: int
    fewer: int = 1


LOADS = {
    "4 x 64": Shape(connections=4, streams=64),
    "4 x 16": Shape(connections=4, streams=16, fewer=2),
    "1 x 1": Shape(connections=1, streams=1, fewer=20),
}


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
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each server (3)")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "config").mkdir()
        (folder / "config/bench.yaml").write_text(RULES)
        print("Starting Valkey and two servers ...", flush=True)
        store_port, store = stack.enter_context(started_valkey(folder))
        servers = [
            stack.enter_context(started_sluice(folder, store_port)),
            stack.enter_context(started_unbatched(folder, store_port)),
        ]
        if binary := os.environ.get("BENCH_REFERENCE"):
            servers.append(stack.enter_context(started_reference(folder, store_port, binary)))
        client = stack.enter_context(redis.Redis(port=store_port))
        measured = {
            load_name: measure_in_turn(load_name, servers, store, client, options)
            for load_name in LOADS
        }
        print("The store alone ...", flush=True)
        alone = store_alone.measure(store_port, takes=options.calls * 2)
    report(measured)
    report_store(alone)
    return show(targets(measured))


def measure_in_turn(
    load_name: str, servers: list[Server], store: psutil.Process, client: redis.Redis,
    options: argparse.Namespace,
) -> dict[str, list[Figures]]:  # fmt: skip
    """Measure every server under one load, round by round, after a warm-up."""
    shape = LOADS[load_name]
    calls = max(1000, options.calls // shape.fewer)
    measured: dict[str, list[Figures]] = {server.name: [] for server in servers}
    for number in range(options.rounds + 1):
        for server in servers:
            print(f"{load_name}, round {number} of {options.rounds}: {server.name} ...", flush=True)
            # The yardstick is thirty times slower: as many calls would take minutes.
            own = max(1000, calls // (1 if server.name == "sluice" else 5))
            figures = measure(server, store, client, calls=own, shape=shape)
            if number:
                measured[server.name].append(figures)
    return measured


def measure(
    server: Server, store: psutil.Process, client: redis.Redis, *, calls: int, shape: Shape
) -> Figures:
    """Load one server and take the CPU time and the script calls it cost."""
    request = RateLimitRequest(domain="bench")
    for key, value in CLIENT:
        request.descriptors.add().entries.add(key=key, value=value)
    used = tokens_used(client)
    before = (cpu_us(server.process), cpu_us(store), store_alone.script_calls(client))
    done = load.run(
        server.port, METHOD, request.SerializeToString(),
        calls=calls, streams=shape.streams, connections=shape.connections,
    )  # fmt: skip
    after = (cpu_us(server.process), cpu_us(store), store_alone.script_calls(client))
    service_us, redis_us, scripts = (b - a for a, b in zip(before, after, strict=True))
    flowed_back = (done.seconds + 5) * LIMIT.requests_per_unit / LIMIT.unit.seconds
    charged = tokens_used(client) - used
    if server.name != "reference" and not calls - flowed_back <= charged <= calls:
        sys.exit(f"bench: {server.name} did not charge every call in Redis")
    return Figures(
        load=done,
        service_us=service_us / calls,
        redis_us=redis_us / calls,
        script_calls=int(scripts),
    )


def tokens_used(client: redis.Redis) -> int:
    """Return how many tokens the bench's bucket lacks."""
    stored = client.get(CounterKeys("", "bench", LIMIT).of(CLIENT))
    return int(stored.split()[0]) // Bucket.of(LIMIT).parts if stored else 0


def cpu_us(process: psutil.Process) -> float:
    """Return the CPU time of a process so far, user and system, in microseconds."""
    return cpu_seconds(process) * 1e6


def report(measured: dict[str, dict[str, list[Figures]]]) -> None:
    """Print the medians of every load and server."""
    row = "{:<12}{:>12}{:>13}{:>11}{:>10}{:>9}{:>9}{:>17}"
    titles = ("decisions/s", "service us", "Redis us", "mean ms", "p50 ms", "p99 ms")
    for load_name, servers in measured.items():
        print("\n" + row.format(load_name, *titles, "per script call"))
        for name, rounds in servers.items():
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
                    "-" if name == "reference" else f"{batch:.1f}",
                )
            )


def targets(measured: dict[str, dict[str, list[Figures]]]) -> list[Target]:
    """Return each promise with what was measured."""
    full, some, one = (measured[name] for name in LOADS)
    ours, yardstick = full["sluice"], full["unbatched"]
    rate = median(ours, lambda figures: figures.load.per_second)
    cpu = median(ours, lambda figures: figures.service_us)
    alone = median(one["sluice"], lambda figures: figures.load.p50_ms)
    alone_aio = median(one["unbatched"], lambda figures: figures.load.p50_ms)
    return [
        Target(name="256 in flight, decisions/s", value=rate, limit=80_000, at_least=True),
        Target(name="256 in flight, service CPU us a decision", value=cpu, limit=13),
        Target(
            name="256 in flight, times the unbatched decisions/s",
            value=rate / median(yardstick, lambda figures: figures.load.per_second),
            limit=10,
            at_least=True,
        ),
        Target(
            name="64 in flight, mean ms",
            value=median(some["sluice"], lambda figures: figures.load.mean_ms),
            limit=1,
        ),
        Target(name="one in flight, p50 over the unbatched", value=alone / alone_aio, limit=1),
        Target(
            name="one in flight, service CPU us a call",
            value=median(one["sluice"], lambda figures: figures.service_us),
            limit=120,
        ),
    ]


def report_store(alone: list[store_alone.StoreFigures]) -> None:
    """Print what batching buys where no transport hides it."""
    print(f"\nthe store alone, {store_alone.CALLERS} requests in flight")
    for figures in alone:
        print(
            f"{figures.name:<11}{figures.per_second:>12,.0f} decisions/s"
            f"{figures.client_us:>9.1f} us client{figures.redis_us:>7.1f} us Redis"
            f"{figures.per_call:>9.1f} per script call"
        )
    batched, single = alone
    print(
        f"batched : redis-py     {batched.per_second / single.per_second:.1f} x decisions/s, "
        f"{single.client_us / batched.client_us:.1f} x less client CPU, "
        f"{single.redis_us / batched.redis_us:.1f} x less Redis CPU"
    )


def median(rounds: list[Figures], read: Callable[[Figures], float]) -> float:
    """Return the median of one figure."""
    return statistics.median(read(figures) for figures in rounds)


if __name__ == "__main__":
    sys.exit(main())
