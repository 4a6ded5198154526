"""What the Redis stores count, as plain integers, and the names under which metrics show it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chassis.metrics import Metrics


@dataclass(slots=True)
class StoreCounts:
    """What a store has done since the start."""

    takes: int = 0
    batches: int = 0
    largest_batch: int = 0
    failed_batches: int = 0
    expired: int = 0
    refused_full: int = 0
    scattered: int = 0
    taken_back: int = 0
    refunds_lost: int = 0


_COUNTERS: Final = (
    ("takes", "Requests charged in Redis; of one scattered over slots, each part."),
    ("batches", "Script calls those requests shared."),
    ("failed_batches", "Script calls that failed."),
    ("expired", "Requests answered because the caller's deadline came first."),
    ("refused_full", "Requests refused because too many waited."),
    ("scattered", "Requests whose buckets were in several cluster slots or servers."),
    ("taken_back", "Parts of those that were charged, and refunded as another did not fit."),
    ("refunds_lost", "Such refunds that Redis did not take: charged for a refused request."),
)


def observe(metrics: Metrics, stores: Sequence[StoreCounts]) -> None:
    """Expose the counts of all stores of a limiter, added up."""

    def total(name: str) -> int:
        return sum(getattr(counts, name) for counts in stores)

    for name, description in _COUNTERS:
        metrics.observe_counter(f"ratelimit_store_{name}", description, read=partial(total, name))
    metrics.observe_gauge(
        "ratelimit_store_largest_batch",
        "Most requests that shared one script call.",
        read=lambda: max(counts.largest_batch for counts in stores),
    )
