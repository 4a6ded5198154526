"""`python -m sluice.demo`: the mesh brought up, real calls through a real Envoy, the result shown.

Exits 0 when every expectation held, 1 when one did not, 3 when the mesh cannot be reached.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Column, Table

from sluice.demo.calls import Answer, call, percentile_ms, unjudged_calls
from sluice.demo.expectations import (
    CAPACITY,
    limited_client,
    most_allowed,
    refusal,
    untouched_client,
)
from sluice.demo.mesh_process import MeshProcess
from sluice.outcome import ExitCode, OperatorError

if TYPE_CHECKING:
    from collections.abc import Sequence

_CALLS: Final = 130
_NEIGHBOUR_CALLS: Final = 5

# The first calls of a fresh mesh open connections and load code; each of Envoy's workers has
# connections of its own, and a new connection of ours lands on either.
_WARM_UP_CONNECTIONS: Final = 8

# The bucket refills 1.7 calls a second, so a refusal says 1; anything near this says it is broken.
_LONGEST_WAIT_SECONDS: Final = 10


_SHOWN_HEADERS: Final = (
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "retry-after",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What the demo saw. `again` is the call made after the wait that the last 429 asked for."""

    alice: Sequence[Answer]
    elapsed_seconds: float
    unjudged: int
    bob: Sequence[Answer]
    waited_seconds: int
    again: Answer | None


def main() -> int:
    """Run the demo and answer the exit code."""
    try:
        return _run()
    except OperatorError as error:
        print(f"demo: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        # A full disk, a reader of our output that left: the machine's state, not a mistake of ours.
        _say_refused(error)
        return ExitCode.PROBLEMS
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


def _say_refused(error: OSError) -> None:
    print(f"demo: the system refused: {error.strerror or error}", file=sys.stderr)
    # Python flushes once more at exit, and would complain once more.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run() -> int:
    print("bringing the mesh up: Envoy, Valkey, the rate-limit service and an origin", flush=True)
    with MeshProcess() as mesh:
        addresses, start_seconds = mesh.wait_until_ready()
        result = _measure(addresses["envoy"]["http"], addresses["envoy"]["admin"])
        stop_seconds = mesh.stop()
    problems = _judge(result)
    Console().print(_table(result, start_seconds, stop_seconds))
    for problem in problems:
        print(f"demo: {problem}", file=sys.stderr)
    if problems:
        return ExitCode.PROBLEMS
    print("every expectation held")
    return ExitCode.OK


def _measure(envoy: str, admin: str) -> Result:
    for _ in range(_WARM_UP_CONNECTIONS):
        call(envoy, "warm-up", 1)
    unjudged_before = unjudged_calls(admin)
    print(f"sending {_CALLS} calls through Envoy at {envoy} as client alice", flush=True)
    begun = time.monotonic()
    alice = call(envoy, "alice", _CALLS)
    elapsed = time.monotonic() - begun
    unjudged = unjudged_calls(admin) - unjudged_before
    bob = call(envoy, "bob", _NEIGHBOUR_CALLS)
    last = next((answer for answer in reversed(alice) if answer.status == 429), None)
    wait = _retry_after(last)
    again = None
    if wait:
        print(f"waiting {wait} s, as the last 429 asked, before alice calls again", flush=True)
        time.sleep(wait)
        again = call(envoy, "alice", 1)[0]
    return Result(
        alice=alice,
        elapsed_seconds=elapsed,
        unjudged=unjudged,
        bob=bob,
        waited_seconds=wait,
        again=again,
    )


def _retry_after(answer: Answer | None) -> int:
    written = answer.headers.get("retry-after", "") if answer else ""
    return min(int(written), _LONGEST_WAIT_SECONDS) if written.isdigit() else 0


def _judge(result: Result) -> list[str]:
    problems = list(
        limited_client(
            result.alice, elapsed_seconds=result.elapsed_seconds, unjudged=result.unjudged
        )
    )
    problems += untouched_client(result.bob)
    if result.again is not None and result.again.status != 200:
        problems.append(
            f"a call {result.waited_seconds} s after the 429 that asked for it was answered "
            f"{result.again.status}, not 200"
        )
    return problems


def _table(result: Result, start_seconds: float, stop_seconds: float) -> Table:
    passed = [answer for answer in result.alice if answer.status == 200]
    refused = [answer for answer in result.alice if answer.status == 429]
    most = most_allowed(result.elapsed_seconds, result.unjudged)
    table = Table("measured", Column("value", overflow="fold"), "expected")
    table.add_row("mesh ready after", f"{start_seconds:.1f} s", "")
    table.add_row("calls as alice", f"{len(result.alice)} in {result.elapsed_seconds:.2f} s", "")
    table.add_row("  answered 200", str(len(passed)), f"{CAPACITY} to {most}")
    table.add_row("  answered 429", str(len(refused)), "the rest")
    if result.unjudged:
        table.add_row("  passed without a verdict in time", str(result.unjudged), "0")
    for name, answers in (("200", passed), ("429", refused)):
        if answers:
            p50, p99 = percentile_ms(answers, 0.5), percentile_ms(answers, 0.99)
            table.add_row(f"latency of a {name}, p50 / p99", f"{p50:.1f} / {p99:.1f} ms", "")
    if refused:
        last = refused[-1]
        shown = "\n".join(f"{name}: {last.headers.get(name)}" for name in _SHOWN_HEADERS)
        table.add_row("headers of a 429", shown, "ok" if not list(refusal(last)) else "broken")
    neighbours = sum(answer.status == 200 for answer in result.bob)
    table.add_row("calls as bob answered 200", str(neighbours), str(len(result.bob)))
    if result.again is not None:
        name = f"alice again after {result.waited_seconds} s"
        table.add_row(name, str(result.again.status), "200")
    table.add_row("mesh stopped after", f"{stop_seconds:.1f} s", "at most 15 s")
    return table


if __name__ == "__main__":
    sys.exit(main())
