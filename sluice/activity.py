"""What a rate limiter has been doing between two looks at its numbers."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from chassis.latency import quantile

if TYPE_CHECKING:
    from collections.abc import Mapping

_DECISIONS: Final = "sluice_ratelimit_decisions_total"
_BUCKET: Final = re.compile(r'sluice_ratelimit_call_duration_seconds_bucket\{le="([^"]+)"\}')
_UP: Final = re.compile(r'sluice_redis_up\{redis="([^"]*)"\}')


@dataclass(frozen=True, slots=True)
class Look:
    """The numbers of a limiter's `/stats` at one moment, in seconds of a clock that only grows."""

    at: float
    numbers: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Redis:
    """How a limiter's Redis does. `wait_seconds`: an answer's mean; None where none came."""

    up: bool
    calls_per_second: float
    failures_per_second: float
    wait_seconds: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Activity:
    """What happened in a span of `seconds`. Quantiles are None where nobody was answered."""

    seconds: float
    requests_per_second: float
    over_limit_share: float
    p50_seconds: float | None
    p99_seconds: float | None
    undecided_per_second: float
    redis: Mapping[str, Redis]


def between(before: Look, now: Look) -> Activity:
    """Return what the numbers say of the time between two looks.

    A number that has become less is that of a process that was started again in between: then it
    counts from nothing.
    """
    seconds = max(now.at - before.at, 1e-9)

    def grown(name: str) -> float:
        value, was = now.numbers.get(name, 0.0), before.numbers.get(name, 0.0)
        return value - was if value >= was else value

    ok = grown(f'{_DECISIONS}{{code="ok"}}')
    over = grown(f'{_DECISIONS}{{code="over_limit"}}')
    buckets = sorted(
        (math.inf if found[1] == "+Inf" else float(found[1]), grown(name))
        for name in now.numbers
        if (found := _BUCKET.fullmatch(name))
    )
    redis = {}
    for name, up in now.numbers.items():
        if found := _UP.fullmatch(name):
            label = f'{{redis="{found[1]}"}}'
            calls = grown(f"sluice_redis_calls_total{label}")
            waited = grown(f"sluice_redis_wait_seconds_total{label}")
            failures = sum(
                grown(f"sluice_redis_{kind}_total{label}")
                for kind in ("failures", "timeouts", "refusals")
            )
            redis[found[1]] = Redis(
                up=bool(up),
                calls_per_second=calls / seconds,
                failures_per_second=failures / seconds,
                wait_seconds=waited / calls if calls else None,
            )
    return Activity(
        seconds=seconds,
        requests_per_second=(ok + over) / seconds,
        over_limit_share=over / (ok + over) if ok + over else 0.0,
        p50_seconds=quantile(0.5, buckets),
        p99_seconds=quantile(0.99, buckets),
        undecided_per_second=grown("sluice_ratelimit_store_failures_total") / seconds,
        redis=redis,
    )
