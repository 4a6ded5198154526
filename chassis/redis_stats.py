"""What a door to Redis counts: plain numbers, added to by each call, read when somebody asks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chassis.metrics import Metrics

# Field, exposed name after `sluice_redis_`, unit, description.
_COUNTERS: Final = (
    ("calls", "calls", "", "Commands and scripts sent."),
    ("failures", "failures", "", "Calls that ended with an error of the store."),
    ("timeouts", "timeouts", "", "Calls that were not answered in time."),
    ("refusals", "refusals", "", "Calls refused without asking, as Redis was known to be away."),
    ("outages", "outages", "", "Times Redis went away."),
    ("wait_seconds", "wait", "s", "Time spent waiting for answers, all calls together."),
)


@dataclass(slots=True)
class RedisStats:
    """The counters of one door."""

    calls: int = 0
    failures: int = 0
    timeouts: int = 0
    refusals: int = 0
    outages: int = 0
    wait_seconds: float = 0.0


def observe(metrics: Metrics, doors: Mapping[str, RedisStats]) -> None:
    """Expose every counter as `sluice_redis_..._total`, labelled with the door's name."""
    for field, name, unit, description in _COUNTERS:
        metrics.observe_counter(
            f"redis_{name}", description, unit, read=partial(_read, field, doors)
        )


def _read(field: str, doors: Mapping[str, RedisStats]) -> list[tuple[float, dict[str, str]]]:
    return [(getattr(stats, field), {"redis": name}) for name, stats in doors.items()]
