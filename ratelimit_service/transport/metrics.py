"""The limiter's plain numbers under the names that Prometheus sees.

By rule and not by value: a rule's numbers have one label whatever its callers send, unless the
rule itself asks for more (`detailed_metric`, `value_to_metric`), and then within a bound. Who is
greedy is told by ListHotKeys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.metrics_core import CounterMetricFamily

from chassis.latency import LatencyHistogram
from ratelimit_service.core.tally import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    metrics.prepare(books.bring_up)
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
    metrics.add(_Rules(books))


class _Rules:
    """The tallies as a collector of prometheus_client's.

    Not as OpenTelemetry's instruments: those keep 2,000 series apart and take the rest for one.
    """

    def __init__(self, books: Books) -> None:
        self._books = books

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the five numbers of every rule, as they were when the books were brought up."""
        tallies = list(self._books.tallies.by_key.items())
        for number in NUMBERS:
            family = CounterMetricFamily(
                f"sluice_ratelimit_rule_{number}", _OF_A_RULE[number], labels=["rule"]
            )
            for key, tally in tallies:
                family.add_metric([key], getattr(tally, number))
            yield family
