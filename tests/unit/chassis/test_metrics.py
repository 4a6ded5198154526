"""What Prometheus reads."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from chassis.build import Build
from chassis.metrics import Metrics

BUILD = Build(service="demo", version="1.2.3", python="p", platform="l")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(BUILD)


def samples(metrics: Metrics) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        sample.name + str(sample.labels or ""): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_counter_is_read_when_asked_and_named_total(metrics: Metrics) -> None:
    count = 3
    metrics.observe_counter("redis_calls", "Commands sent.", read=lambda: count)
    assert samples(metrics)["sluice_redis_calls_total"] == 3
    count = 8
    assert samples(metrics)["sluice_redis_calls_total"] == 8


def test_a_gauge_with_labels_and_a_unit(metrics: Metrics) -> None:
    metrics.observe_gauge(
        "cache_size", "Bytes held.", "By", read=lambda: [(1, {"tier": "a"}), (2.5, {"tier": "b"})]
    )
    found = samples(metrics)
    assert found["sluice_cache_size_bytes{'tier': 'a'}"] == 1
    assert found["sluice_cache_size_bytes{'tier': 'b'}"] == 2.5


def test_a_counter_of_seconds_carries_its_unit_before_total(metrics: Metrics) -> None:
    metrics.observe_counter("redis_wait", "Time spent waiting.", "s", read=lambda: 1.5)
    assert samples(metrics)["sluice_redis_wait_seconds_total"] == 1.5


def test_the_prefix_is_not_doubled(metrics: Metrics) -> None:
    metrics.observe_gauge("sluice_rules", "Rules.", read=lambda: 1)
    assert "sluice_rules" in samples(metrics)


def test_a_name_taken_twice_is_refused(metrics: Metrics) -> None:
    metrics.observe_gauge("rules", "Rules.", read=lambda: 1)
    with pytest.raises(ValueError, match="sluice_rules exists already"):
        metrics.observe_gauge("rules", "Rules.", read=lambda: 2)


def test_a_reader_that_fails_does_not_hide_the_others(metrics: Metrics) -> None:
    metrics.observe_gauge("broken", "Broken.", read=lambda: 1 // 0)
    metrics.observe_gauge("fine", "Fine.", read=lambda: 1)
    assert samples(metrics)["sluice_fine"] == 1


def test_the_process_and_the_service_are_described(metrics: Metrics) -> None:
    metrics.observe_gauge("rules", "Rules.", read=lambda: 1)
    text = metrics.render().decode()
    assert "process_cpu_seconds_total" in text
    assert 'service_name="demo"' in text
    assert 'service_version="1.2.3"' in text


def test_two_of_them_share_no_numbers(metrics: Metrics) -> None:
    other = Metrics(BUILD)
    other.observe_gauge("only_there", "Only there.", read=lambda: 1)
    assert "sluice_only_there" not in samples(metrics)
