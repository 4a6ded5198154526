"""`python -m bench.shapes`: what requests of many descriptors cost, and what many rules do.

    python -m bench.shapes [--calls N] [--rounds N]

A thousand known clients call in turn, over four connections with 64 calls in flight on each. Ten
descriptors of ten limits in one request are compared with one, and a thousand rules with ten: there
each call meets the next rule. CPU is taken from the processes themselves, in turn.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from bench.caller import body, call
from bench.servers import Server, cpu_seconds, started_sluice, started_valkey
from bench.target import Target, show
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psutil

CLIENTS = 1_000
FEW, MANY = 10, 1_000
PROMISED_DESCRIPTORS = 3.0
PROMISED_RULES = 1.1


@dataclass(frozen=True, slots=True)
class Load:
    """Requests, and the service that they go to."""

    name: str
    service: Server
    bodies: Iterator[bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """One measured run. CPU in microseconds a request."""

    per_second: float
    service_us: float
    redis_us: float


def measure_in_turn(
    loads: Sequence[Load], store: psutil.Process, calls: int, rounds: int
) -> list[list[Figures]]:
    """Return the rounds of each load, after one to warm up."""
    measured: list[list[Figures]] = [[] for _ in loads]
    for number in range(rounds + 1):
        for load, found in zip(loads, measured, strict=True):
            figures = _measure(load, store, calls)
            if number:
                found.append(figures)
    return measured


def _measure(load: Load, store: psutil.Process, calls: int) -> Figures:
    before = cpu_seconds(load.service.process), cpu_seconds(store)
    answers = uvloop.run(call(load.service.port, load.bodies, calls))
    if answers.passed != calls:
        sys.exit(f"bench: {calls - answers.passed} calls were refused")
    return Figures(
        per_second=calls / answers.seconds,
        service_us=(cpu_seconds(load.service.process) - before[0]) / calls * 1e6,
        redis_us=(cpu_seconds(store) - before[1]) / calls * 1e6,
    )


def median_ratio(these: Sequence[Figures], those: Sequence[Figures]) -> float:
    """Return how many times the service's CPU these take, the median of the rounds."""
    pairs = zip(these, those, strict=True)
    return statistics.median(one.service_us / other.service_us for one, other in pairs)


def report(loads: Sequence[Load], measured: Sequence[Sequence[Figures]]) -> None:
    """Print the medians."""
    print(f"{'':24}{'a second':>12}{'service us':>13}{'Redis us':>11}")
    for load, rounds in zip(loads, measured, strict=True):
        print(
            f"{load.name:24}{statistics.median(one.per_second for one in rounds):12,.0f}"
            f"{statistics.median(one.service_us for one in rounds):13.1f}"
            f"{statistics.median(one.redis_us for one in rounds):11.1f}"
        )


def rules(count: int, limit: int = 10_000) -> str:
    """Return a rule file of `count` limits, which nobody reaches."""
    lines = ["domain: bench", "descriptors:"]
    for number in range(count):
        lines.append(f"  - key: key_{number:04}")
        lines.append(f"    rate_limit: {{unit: hour, requests_per_unit: {limit}}}")
    return "\n".join(lines)


def requests(rule_count: int, descriptors: int = 1) -> Iterator[bytes]:
    """Return requests of all clients in turn, for ever, by one rule after another."""
    bodies = []
    for client in range(CLIENTS):
        request = RateLimitRequest(domain="bench")
        for place in range(descriptors):
            key = f"key_{(client + place) % rule_count:04}"
            request.descriptors.add().entries.add(key=key, value=f"client-{client:04}")
        bodies.append(body(request.SerializeToString()))
    return itertools.cycle(bodies)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 if a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, default=20_000, help="calls a round (20000)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each (7)")
    options = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store_port, store = stack.enter_context(started_valkey(folder))
        services = []
        for count in (FEW, MANY):
            (folder / str(count) / "config").mkdir(parents=True)
            (folder / str(count) / "config/bench.yaml").write_text(rules(count))
            services.append(stack.enter_context(started_sluice(folder / str(count), store_port)))
        few, many = services
        loads = [
            Load("1 descriptor, 10 rules", few, requests(FEW)),
            Load("10 descriptors", few, requests(FEW, 10)),
            Load("1,000 rules", many, requests(MANY)),
        ]
        measured = measure_in_turn(loads, store, options.calls, options.rounds)
    report(loads, measured)
    one, ten, ruled = measured
    targets = [
        ("10 descriptors over one, service CPU", median_ratio(ten, one), PROMISED_DESCRIPTORS),
        ("1,000 rules over 10, service CPU", median_ratio(ruled, one), PROMISED_RULES),
    ]
    return show([Target(name=name, value=value, limit=limit) for name, value, limit in targets])


if __name__ == "__main__":
    sys.exit(main())
