"""Settings that only make sense together, and values that make none."""

from __future__ import annotations

import pytest

from chassis.log import LogFormat, LogLevel
from chassis.settings import SettingsError, load
from ratelimit_service.config import ConfigType, RateLimitMode, Settings


def refusal(**environ: str) -> str:
    with pytest.raises(SettingsError) as raised:
        load(Settings, environ)
    return str(raised.value)


def test_nothing_listens_beyond_this_machine_unless_told_to() -> None:
    settings = load(Settings, {})
    hosts = (settings.grpc_host, settings.http_host, settings.debug_host, settings.admin_host)
    assert set(hosts) == {"127.0.0.1"}
    assert not settings.use_prometheus
    assert settings.grpc_uds == ""


def test_the_references_defaults_hold() -> None:
    settings = load(Settings, {})
    assert settings.near_limit_ratio == 0.8
    assert settings.config_type is ConfigType.FILE
    assert settings.mode is RateLimitMode.SLUICE
    headers = (
        settings.limit_limit_header, settings.limit_remaining_header, settings.limit_reset_header,
    )  # fmt: skip
    assert headers == ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
    assert settings.tracing.service_name == "RateLimit"
    assert settings.prometheus_address[1] == 9090


@pytest.mark.parametrize("level", ["WARN", "warn", "warning", "info", "DEBUG", "panic", "trace"])
def test_log_levels_are_spelt_as_the_reference_spells_them(level: str) -> None:
    assert load(Settings, {"LOG_LEVEL": level}).log.level is LogLevel(level.lower())
    assert load(Settings, {"LOG_FORMAT": "JSON"}).log.format is LogFormat.JSON


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"NEAR_LIMIT_RATIO": "1.1"}, "NEAR_LIMIT_RATIO=1.1: is out of bounds"),
        ({"CONFIG_TYPE": "HTTP"}, "write FILE or GRPC_XDS_SOTW"),
        ({"RATELIMIT_MODE": "exact"}, "write sluice or reference"),
        ({"LIMIT_RESET_HEADER": "two words"}, "is not the name of a header"),
        ({"LIMIT_RESET_HEADER": 'a"b'}, "is not the name of a header"),
        ({"PROMETHEUS_ADDR": "9090"}, "write host:port, or :port"),
        ({"PROMETHEUS_PATH": "metrics"}, "begin it with /"),
        ({"GRPC_UDS_MODE": "rw"}, "write three octal digits"),
        ({"GRPC_UDS_MODE": "999"}, "write three octal digits"),
        ({"TRACING_SAMPLING_RATE": "90"}, "TRACING_SAMPLING_RATE=90: is out of bounds"),
        ({"TRACING_EXPORTER_PROTOCOL": "udp"}, "write http or grpc"),
        ({"GRPC_UDS": "/run/s", "SLUICE_WORKER": "0"}, "cannot be shared by --workers"),
        ({"REDIS_PERSECOND": "true"}, "REDIS_PERSECOND_URL is not set"),
        ({"SLUICE_KEY_PREFIX": "a", "CACHE_KEY_PREFIX": "b"}, "means the same; set one"),
        ({"GRPC_SERVER_USE_TLS": "true"}, "needs a certificate; set GRPC_SERVER_TLS_CERT"),
        ({"GRPC_CLIENT_TLS_CACERT": "/c"}, "set GRPC_SERVER_USE_TLS=true too"),
        ({"GRPC_SERVER_TLS_CA_CERT": "/c"}, "set GRPC_SERVER_USE_TLS=true too"),
        ({"GRPC_CLIENT_TLS_SAN": "envoy"}, "set GRPC_SERVER_USE_TLS=true too"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(environ: dict[str, str], told: str) -> None:
    said = refusal(**environ)
    assert told in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("environ", "prefix"),
    [
        ({"CACHE_KEY_PREFIX": "a:"}, "a:"),
        ({"SLUICE_KEY_PREFIX": "b:"}, "b:"),
        ({"SLUICE_KEY_PREFIX": "c:", "CACHE_KEY_PREFIX": "c:"}, "c:"),
        ({}, ""),
    ],
)
def test_keys_take_the_references_prefix_too(environ: dict[str, str], prefix: str) -> None:
    assert load(Settings, environ).key_prefix == prefix


def test_the_second_redis_has_its_own_address_if_there_is_one() -> None:
    environ = {"REDIS_URL": "one:1", "REDIS_PERSECOND_URL": "two:2", "REDIS_PERSECOND": "true"}
    settings = load(Settings, environ)
    assert settings.persecond is not None
    assert (settings.redis.url, settings.persecond.url) == ("one:1", "two:2")
    assert load(Settings, {}).persecond is None


def test_modes_of_a_socket_are_octal() -> None:
    assert load(Settings, {"GRPC_UDS_MODE": "660"}).grpc_uds_mode == 0o660
    assert load(Settings, {"GRPC_UDS_MODE": "0660"}).grpc_uds_mode == 0o660
    assert load(Settings, {}).grpc_uds_mode is None
