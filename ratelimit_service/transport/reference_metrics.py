"""The limiter's numbers under the names that envoyproxy/ratelimit's dashboards ask for.

Those are what its mapping for the statsd exporter makes (src/stats/prom/default_mapper.yaml):
counters without `_total`, labels `domain`, `key1` and, for deeper rules, `key2`, whose value is one
level of the rule, `key_value`. What lies deeper than two levels is added up, as there.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client.metrics_core import Metric

from ratelimit_service.core.tally import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ratelimit_service.service.books import Books

_RULE = "ratelimit_service_rate_limit_"
_MAX_LABELS = 2


class ReferenceMetrics:
    """A collector of prometheus_client's. `loads` returns how many loads went well, and badly."""

    def __init__(self, books: Books, loads: Callable[[], tuple[int, int]]) -> None:
        self._books = books
        self._loads = loads

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they are now."""
        yield from self._rules()
        counts = self._books.counts
        success, error = self._loads()
        for name, value in (
            ("ratelimit_service_config_load_success", success),
            ("ratelimit_service_config_load_error", error),
            ("ratelimit_service_global_shadow_mode", counts.global_shadow_mode),
            ("ratelimit_service_domain_not_found", counts.unknown_domain),
        ):
            yield _metric(name, [({}, value)])
        yield _metric(
            "ratelimit_service_should_rate_limit_error",
            [({"err_type": "redis_error"}, counts.store_failures)],
        )
        yield _metric(
            "ratelimit_service_total_requests",
            [({"grpc_method": "ShouldRateLimit"}, counts.ok + counts.over_limit)],
        )

    def _rules(self) -> Iterator[Metric]:
        for number in NUMBERS:
            sums: Counter[tuple[tuple[str, str], ...]] = Counter()
            for key, tally in list(self._books.tallies.by_key.items()):
                sums[_labels(key)] += getattr(tally, number)
            yield _metric(_RULE + number, [(dict(labels), value) for labels, value in sums.items()])


def _labels(key: str) -> tuple[tuple[str, str], ...]:
    domain, *levels = key.split(".")
    named = [(f"key{index}", level) for index, level in enumerate(levels[:_MAX_LABELS], start=1)]
    return (("domain", domain), *named)


def _metric(name: str, samples: list[tuple[dict[str, str], int]]) -> Metric:
    # Not as a counter: Prometheus's own library would put `_total` behind the name.
    metric = Metric(name, "As envoyproxy/ratelimit counts it.", "unknown")
    for labels, value in samples:
        metric.add_sample(name, labels, value)
    return metric
