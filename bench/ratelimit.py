"""`make bench`: what a ShouldRateLimit decision costs, beside the same servicer unbatched.

    python -m bench.ratelimit [--calls N] [--rounds N]

One service process, one Redis (the embedded Valkey) and h2load share the machine's processors.
CPU is taken from the processes themselves, so it holds on a noisy machine; calls a second and
latency are of this run. Both servers run at the same time and are measured in turn; only the
one that is called works. Every decision is made in Redis: the bench counts them there.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from bench import load
from bench import store as store_alone
from bench.servers import Server, started_sluice, started_unbatched, started_valkey
from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.keys import bucket_key
from ratelimit_service.core.limit import Limit, Unit
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest

if TYPE_CHECKING:
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
class Figures:
    """One measured run. CPU in microseconds a decision."""

    load: load.Load
    service_us: float
    redis_us: float
    script_calls: int


def main() -> None:
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
        client = stack.enter_context(redis.Redis(port=store_port))
        measured: dict[str, list[Figures]] = {server.name: [] for server in servers}
        for server in servers:
            measure(server, store, client, calls=options.calls // 4)  # warm up
        for number in range(options.rounds):
            for server in servers:
                print(f"Round {number + 1} of {options.rounds}: {server.name} ...", flush=True)
                measured[server.name].append(measure(server, store, client, calls=options.calls))
        single = {
            server.name: measure(server, store, client, calls=2_000, streams=1, connections=1)
            for server in servers
        }
        print("The store alone ...", flush=True)
        alone = store_alone.measure(store_port, takes=options.calls * 2)
    report(measured, single)
    report_store(alone)


def measure(
    server: Server, store: psutil.Process, client: redis.Redis, *, calls: int,
    streams: int = load.STREAMS, connections: int = load.CONNECTIONS,
) -> Figures:  # fmt: skip
    """Load one server and take the CPU time and the script calls it cost."""
    request = RateLimitRequest(domain="bench")
    for key, value in CLIENT:
        request.descriptors.add().entries.add(key=key, value=value)
    used = tokens_used(client)
    before = (cpu_us(server.process), cpu_us(store), script_calls(client))
    done = load.run(
        server.port, METHOD, request.SerializeToString(),
        calls=calls, streams=streams, connections=connections,
    )  # fmt: skip
    after = (cpu_us(server.process), cpu_us(store), script_calls(client))
    service_us, redis_us, scripts = (b - a for a, b in zip(before, after, strict=True))
    flowed_back = (done.seconds + 5) * LIMIT.requests_per_unit / LIMIT.unit.seconds
    if not calls - flowed_back <= tokens_used(client) - used <= calls:
        sys.exit(f"bench: {server.name} did not charge every call in Redis")
    return Figures(
        load=done,
        service_us=service_us / calls,
        redis_us=redis_us / calls,
        script_calls=int(scripts),
    )


def tokens_used(client: redis.Redis) -> int:
    """Return how many tokens the bench's bucket lacks."""
    stored = client.get(bucket_key("", "bench", CLIENT, LIMIT))
    return int(stored.split()[0]) // Bucket.of(LIMIT).parts if stored else 0


def cpu_us(process: psutil.Process) -> float:
    """Return the CPU time of a process so far, user and system, in microseconds."""
    times = process.cpu_times()
    return (times.user + times.system) * 1e6


def script_calls(client: redis.Redis) -> int:
    """Return how many scripts the server has run."""
    stats = client.info("commandstats")
    return sum(
        stats[name]["calls"] for name in ("cmdstat_evalsha", "cmdstat_eval") if name in stats
    )


def report(measured: dict[str, list[Figures]], single: dict[str, Figures]) -> None:
    """Print the medians, and the ratios between the two servers of the same run."""
    print(f"\n{load.CONNECTIONS} connections x {load.STREAMS} streams, medians of the rounds")
    row = "{:<11}{:>12}{:>14}{:>12}{:>9}{:>9}{:>16}"
    titles = ("server", "decisions/s", "service us", "Redis us", "p50 ms", "p99 ms")
    print(row.format(*titles, "per script call"))
    rates, costs = {}, {}
    for name, rounds in measured.items():
        rates[name] = median([figures.load.per_second for figures in rounds])
        costs[name] = median([figures.service_us for figures in rounds])
        batch = median([figures.load.calls / figures.script_calls for figures in rounds])
        print(
            row.format(
                name,
                f"{rates[name]:,.0f}",
                f"{costs[name]:.1f}",
                f"{median([figures.redis_us for figures in rounds]):.1f}",
                f"{median([figures.load.p50_ms for figures in rounds]):.2f}",
                f"{median([figures.load.p99_ms for figures in rounds]):.2f}",
                f"{batch:.1f}",
            )
        )
    print(
        f"sluice : unbatched   {rates['sluice'] / rates['unbatched']:.2f} x decisions/s, "
        f"{costs['unbatched'] / costs['sluice']:.2f} x less service CPU"
    )
    print("\none call in flight")
    for name, figures in single.items():
        print(
            f"{name:<11} p50 {figures.load.p50_ms:.3f} ms, p99 {figures.load.p99_ms:.3f} ms, "
            f"service {figures.service_us:.0f} us, Redis {figures.redis_us:.0f} us a call"
        )


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


def median(values: list[float]) -> float:
    """Return the median."""
    return statistics.median(values)


if __name__ == "__main__":
    main()
