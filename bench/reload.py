"""`python -m bench.reload`: how long a reload of 10,000 rules holds calls up.

    python -m bench.reload [--rules N] [--reloads N]

Calls go on while a file of so many rules is replaced again and again. One connection has one call
in flight; of each of its calls the CPU time is taken that the service's own thread spends until the
answer. That, and not the clock, is what the service does to a caller on a machine that others use
too; decisions for others, in flight meanwhile, are in it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from bench.caller import Caller, connected
from bench.servers import Server, started_sluice, started_valkey
from bench.shapes import requests, rules
from bench.target import Target, show
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

RULES = 10_000
RELOADS = 5
PROMISED_MS = 20
_IN_FLIGHT = 16
_QUIET_SECONDS = 5
_RELOAD_SECONDS = 60  # it takes some four
# A rule file of either limit; the answers tell which is in force.
_LIMITS = (10_000, 20_000)


@dataclass(slots=True)
class Waits:
    """The longest of the calls, in milliseconds: of the service's CPU, and on the clock."""

    cpu_ms: float = 0.0
    clock_ms: float = 0.0
    calls: int = 0
    limit: int = 0


def thread_ms(server: Server) -> float:
    """Return the CPU time of the service's main thread, the one that answers calls."""
    pid = server.process.pid
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e6


async def probe(server: Server, caller: Caller, waits: Waits) -> None:
    """Make one call and note how long it took, and the limit that was in force."""
    cpu, clock = thread_ms(server), time.perf_counter()
    await caller.call(1, 1)
    waits.cpu_ms = max(waits.cpu_ms, thread_ms(server) - cpu)
    waits.clock_ms = max(waits.clock_ms, (time.perf_counter() - clock) * 1000)
    waits.calls += 1
    answer = RateLimitResponse.FromString(caller.last[5:])
    waits.limit = answer.statuses[0].current_limit.requests_per_unit


async def others(caller: Caller) -> None:
    """Keep calls in flight."""
    while True:
        await caller.call(1_000, _IN_FLIGHT)


async def measure(
    server: Server, config: Path, rule_count: int, reloads: int
) -> tuple[Waits, Waits]:
    """Return what calls waited for without a reload, and while rules were reloaded."""
    probing, *busy = await connected(server.port, requests(rule_count), 5)
    tasks = [asyncio.create_task(others(caller)) for caller in busy]
    quiet, loading = Waits(), Waits()
    end = time.perf_counter() + _QUIET_SECONDS
    while time.perf_counter() < end:
        await probe(server, probing, quiet)
    for number in range(reloads):
        wanted = _LIMITS[(number + 1) % 2]
        config.with_suffix(".new").write_text(rules(rule_count, wanted))
        config.with_suffix(".new").replace(config)
        async with asyncio.timeout(_RELOAD_SECONDS):
            while loading.limit != wanted:
                await probe(server, probing, loading)
        # The old rules are let go of after the new ones are in force.
        end = time.perf_counter() + 1
        while time.perf_counter() < end:
            await probe(server, probing, loading)
    for task in tasks:
        task.cancel()
    return quiet, loading


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 if calls are held up for longer than is promised."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rules", type=int, default=RULES, help="rules in the file (10000)")
    parser.add_argument("--reloads", type=int, default=RELOADS, help="how often (5)")
    options = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "config").mkdir()
        config = folder / "config/bench.yaml"
        config.write_text(rules(options.rules, _LIMITS[0]))
        store_port, _ = stack.enter_context(started_valkey(folder))
        service = stack.enter_context(started_sluice(folder, store_port))
        quiet, loading = uvloop.run(measure(service, config, options.rules, options.reloads))
    print(f"{'the longest call':24}{'service CPU ms':>16}{'clock ms':>12}{'of calls':>12}")
    for name, waits in (("without a reload", quiet), ("while reloading", loading)):
        print(f"{name:24}{waits.cpu_ms:16.1f}{waits.clock_ms:12.1f}{waits.calls:12,}")
    name = f"{options.rules:,} rules reloaded, longest CPU ms of a call"
    return show([Target(name=name, value=loading.cpu_ms, limit=PROMISED_MS)])


if __name__ == "__main__":
    sys.exit(main())
