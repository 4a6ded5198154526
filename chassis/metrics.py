"""Metrics: plain numbers that parts keep anyway, read by OpenTelemetry when Prometheus asks.

Nothing here runs per request. A part counts in an int of its own and hands over a function that
reads it; the instruments are observable ones. `Metrics` is given by injection and has its own
registry, so two services (or two tests) in one process do not share numbers.

    metrics.observe_counter("redis_calls", "Commands sent to Redis.", read=lambda: door.stats.calls)
    metrics.observe_gauge("rules", "Rules loaded, by domain.",
                          read=lambda: [(len(d.rules), {"domain": d.name}) for d in domains])
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client.registry import Collector
    from prometheus_client.samples import Sample

    from chassis.build import Build

    Number = int | float
    Reading = Number | Iterable[tuple[Number, Mapping[str, str]]]

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
_PREFIX: Final = "sluice_"


class Metrics:
    """The instruments of one process, and their text for Prometheus."""

    def __init__(self, build: Build) -> None:
        self._registry = CollectorRegistry()
        # CPU, memory, open files and start time of the process, read from /proc.
        ProcessCollector(registry=self._registry)
        reader = PrometheusMetricReader(scope_info_enabled=False, registry=self._registry)
        provider = MeterProvider(
            metric_readers=[reader],
            resource=Resource.create(
                {
                    "service.name": build.service,
                    "service.namespace": "sluice",
                    "service.version": build.version,
                }
            ),
            shutdown_on_exit=False,
        )
        self._meter = provider.get_meter("sluice", build.version)
        self._names: set[str] = set()
        self._before: list[Callable[[], None]] = []

    def observe_counter(
        self, name: str, description: str, unit: str = "", *, read: Callable[[], Reading]
    ) -> None:
        """Expose a number that only grows, as `sluice_<name>_total`.

        `read` returns the number, or (number, labels) pairs with the same label names in each.
        `unit` is a UCUM unit (`s`, `By`) and becomes part of the exposed name.
        """
        self._meter.create_observable_counter(
            self._claim(name), [_observe(read)], unit=unit, description=description
        )

    def observe_gauge(
        self, name: str, description: str, unit: str = "", *, read: Callable[[], Reading]
    ) -> None:
        """Expose a number that goes up and down, as `sluice_<name>`."""
        self._meter.create_observable_gauge(
            self._claim(name), [_observe(read)], unit=unit, description=description
        )

    def add(self, collector: Collector) -> None:
        """Expose what a collector of prometheus_client's own has, under its own names."""
        self._registry.register(collector)

    def prepare(self, ready: Callable[[], None]) -> None:
        """Have `ready` called, in the event loop, before everything is read."""
        self._before.append(ready)

    def render(self) -> bytes:
        """Read everything now and return it in Prometheus's text format."""
        self._make_ready()
        return generate_latest(self._registry)

    async def rendered(self) -> bytes:
        """Return what `render` does, in a thread.

        Ten thousand series take half a second, and calls must go on meanwhile. What is read is
        plain numbers: the worst that may be seen is one that was counted a moment later.
        """
        self._make_ready()
        return await asyncio.to_thread(generate_latest, self._registry)

    def numbers(self) -> dict[str, float]:
        """Read everything now and return it by name and labels, as Prometheus writes them."""
        self._make_ready()
        return self._numbers()

    async def numbered(self) -> dict[str, float]:
        """Return what `numbers` does, in a thread, as `rendered` does."""
        self._make_ready()
        return await asyncio.to_thread(self._numbers)

    def _make_ready(self) -> None:
        for ready in self._before:
            ready()

    def _numbers(self) -> dict[str, float]:
        return {
            _name(sample): sample.value
            for family in self._registry.collect()
            for sample in family.samples
        }

    def _claim(self, name: str) -> str:
        full = _PREFIX + name.removeprefix(_PREFIX)
        # OpenTelemetry would only warn in its log, and expose both under one name.
        if full in self._names:
            raise ValueError(f"the metric {full} exists already")
        self._names.add(full)
        return full


def _name(sample: Sample) -> str:
    labels = ",".join(f'{key}="{value}"' for key, value in sample.labels.items())
    return f"{sample.name}{{{labels}}}" if labels else sample.name


def _observe(
    read: Callable[[], Reading],
) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def callback(_: CallbackOptions) -> Iterable[Observation]:
        reading = read()
        if isinstance(reading, int | float):
            return [Observation(reading)]
        return [Observation(value, dict(labels)) for value, labels in reading]

    return callback
