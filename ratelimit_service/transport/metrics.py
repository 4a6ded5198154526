"""The limiter's plain numbers under the names that Prometheus sees.

By rule and not by value: a rule's numbers have one label whatever its callers send, unless the
rule itself asks for more (`detailed_metric`, `value_to_metric`), and then within a bound. Who is
greedy is told by ListHotKeys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chassis.latency import LatencyHistogram
from ratelimit_service.core.tally import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chassis.latency import Latency
    from chassis.metrics import Metrics
    from ratelimit_service.service.books import Books

_OF_A_RULE = {
    "total_hits": "Hits asked for, by rule.",
    "over_limit": "Hits that did not fit, by rule.",
    "near_limit": "Hits that passed close to the limit, by rule.",
    "within_limit": "Hits that passed, by rule.",
    "shadow_mode": "Hits that passed though they did not fit, by rule.",
}


def observe(metrics: Metrics, books: Books, latency: Latency) -> None:
    """Expose what was decided, and how long it took."""
    metrics.add(
        LatencyHistogram(
            "sluice_ratelimit_call_duration_seconds",
            "ShouldRateLimit and /json, from arrival to answer.",
            latency,
        )
    )
    counts = books.counts
    metrics.observe_counter(
        "ratelimit_decisions",
        "Requests decided, by verdict.",
        read=lambda: [(counts.ok, {"code": "ok"}), (counts.over_limit, {"code": "over_limit"})],
    )
    metrics.observe_counter(
        "ratelimit_decisions_without_store",
        "Requests that a rule's on_store_failure decided, by verdict.",
        read=lambda: [
            (counts.allowed_without_store, {"code": "ok"}),
            (counts.denied_without_store, {"code": "over_limit"}),
        ],
    )
    metrics.observe_counter(
        "ratelimit_store_failures",
        "Requests that Redis did not decide.",
        read=lambda: counts.store_failures,
    )
    metrics.observe_counter(
        "ratelimit_unknown_domains",
        "Requests planned for a domain that no rule file has.",
        read=lambda: counts.unknown_domain,
    )
    metrics.observe_counter(
        "ratelimit_shadowed_requests",
        "Requests that SHADOW_MODE let pass.",
        read=lambda: counts.global_shadow_mode,
    )
    for number in NUMBERS:
        metrics.observe_counter(
            f"ratelimit_rule_{number}", _OF_A_RULE[number], read=_by_rule(books, number)
        )


def _by_rule(books: Books, number: str) -> Callable[[], Iterator[tuple[int, dict[str, str]]]]:
    def read() -> Iterator[tuple[int, dict[str, str]]]:
        books.bring_up()
        for key, tally in books.tallies.by_key.items():
            yield getattr(tally, number), {"rule": key}

    return read
