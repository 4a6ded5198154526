"""What becomes of envoyproxy/ratelimit's variables, one by one."""

from __future__ import annotations

import pytest

from chassis.settings import SettingsError, load
from ratelimit_service.config import Settings, Standing, judge, refuse_unbuilt, without_effect
from ratelimit_service.config.reference import KNOWN

# Every variable that the reference reads, each with a value that asks for something.
REFERENCE = """
HOST=0.0.0.0 PORT=8080 DEBUG_HOST=0.0.0.0 DEBUG_PORT=6070 GRPC_UDS=/run/r.sock GRPC_HOST=0.0.0.0
GRPC_PORT=8081 GRPC_MAX_CONNECTION_AGE=24h GRPC_MAX_CONNECTION_AGE_GRACE=1h
GRPC_SERVER_USE_TLS=false GRPC_SERVER_TLS_CERT=/c GRPC_SERVER_TLS_KEY=/k GRPC_CLIENT_TLS_CACERT=
GRPC_CLIENT_TLS_SAN= LOG_LEVEL=WARN LOG_FORMAT=text
CONFIG_TYPE=FILE FORCE_START_WITHOUT_INITIAL_CONFIG=false RUNTIME_ROOT=/srv RUNTIME_SUBDIRECTORY=r
RUNTIME_APPDIRECTORY=config RUNTIME_IGNOREDOTFILES=true RUNTIME_WATCH_ROOT=false
MERGE_DOMAIN_CONFIG=true
CONFIG_GRPC_XDS_NODE_ID=default CONFIG_GRPC_XDS_NODE_METADATA=a=b
CONFIG_GRPC_XDS_SERVER_URL=localhost:18000 CONFIG_GRPC_XDS_SERVER_CONNECT_RETRY_INTERVAL=3s
CONFIG_GRPC_XDS_CLIENT_ADDITIONAL_HEADERS=a:b CONFIG_GRPC_XDS_SERVER_USE_TLS=false
CONFIG_GRPC_XDS_CLIENT_TLS_CERT=/c CONFIG_GRPC_XDS_CLIENT_TLS_KEY=/k
CONFIG_GRPC_XDS_SERVER_TLS_CACERT=/c CONFIG_GRPC_XDS_SERVER_TLS_SAN=s
XDS_CLIENT_BACKOFF_INITIAL_INTERVAL=10s XDS_CLIENT_BACKOFF_MAX_INTERVAL=60s
XDS_CLIENT_BACKOFF_RANDOM_FACTOR=0.5 XDS_CLIENT_BACKOFF_JITTER=true
XDS_CLIENT_MAX_MSG_SIZE_IN_BYTES=1000000
NEAR_LIMIT_RATIO=0.8 CACHE_KEY_PREFIX=p SHADOW_MODE=true QUOTA_MODE=true
RESPONSE_DYNAMIC_METADATA=true
LIMIT_RESPONSE_HEADERS_ENABLED=true LIMIT_LIMIT_HEADER=a LIMIT_REMAINING_HEADER=b
LIMIT_RESET_HEADER=c HEALTHY_WITH_AT_LEAST_ONE_CONFIG_LOADED=true
REDIS_HEALTH_CHECK_ACTIVE_CONNECTION=true
REDIS_PERSECOND=true REDIS_SOCKET_TYPE=tcp REDIS_TYPE=SINGLE REDIS_URL=h:1 REDIS_POOL_SIZE=10
REDIS_AUTH=a REDIS_SENTINEL_AUTH=a REDIS_TLS=false REDIS_TLS_CLIENT_CERT= REDIS_TLS_CLIENT_KEY=
REDIS_TLS_CACERT= REDIS_TLS_SKIP_HOSTNAME_VERIFICATION=false REDIS_TIMEOUT=10s
REDIS_PERSECOND_SOCKET_TYPE=tcp REDIS_PERSECOND_TYPE=SINGLE REDIS_PERSECOND_URL=h:2
REDIS_PERSECOND_POOL_SIZE=10 REDIS_PERSECOND_AUTH=a REDIS_PERSECOND_SENTINEL_AUTH=a
REDIS_PERSECOND_TLS=false REDIS_PERSECOND_TIMEOUT=10s
USE_PROMETHEUS=true PROMETHEUS_ADDR=:19001 PROMETHEUS_PATH=/metrics
TRACING_ENABLED=true TRACING_SERVICE_NAME=RateLimit TRACING_SERVICE_NAMESPACE=n
TRACING_SERVICE_INSTANCE_ID=i TRACING_EXPORTER_PROTOCOL=http TRACING_SAMPLING_RATE=0.9
OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318
"""
IDLE = """
USE_STATSD=true USE_DOG_STATSD=true USE_DOG_STATSD_MOGRIFIERS=a STATSD_HOST=h STATSD_PORT=1
DOG_STATSD_MOGRIFIER_A_PATTERN=x EXTRA_TAGS=a:b STATS_FLUSH_INTERVAL=10s DISABLE_STATS=true
PROMETHEUS_MAPPER_YAML=/m PROMETHEUS_RESPONSE_TIME_AS_MILLISECONDS=true
EXPIRATION_JITTER_MAX_SECONDS=300 LOCAL_CACHE_SIZE_IN_BYTES=1000
STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT=true
REDIS_PIPELINE_WINDOW=1ms REDIS_PIPELINE_LIMIT=8 REDIS_CLUSTER_PIPELINE_PARALLELISM=2
REDIS_POOL_ON_EMPTY_BEHAVIOR=WAIT REDIS_PERSECOND_PIPELINE_WINDOW=1ms
REDIS_PERSECOND_PIPELINE_LIMIT=8 REDIS_PERSECOND_CLUSTER_PIPELINE_PARALLELISM=2
REDIS_PERSECOND_POOL_ON_EMPTY_BEHAVIOR=WAIT REDIS_STARTUP_INITIAL_INTERVAL=1s
REDIS_STARTUP_MAX_INTERVAL=30s REDIS_STARTUP_MAX_ELAPSED_TIME=1m
MEMCACHE_HOST_PORT=h:1 MEMCACHE_MAX_IDLE_CONNS=2 MEMCACHE_SRV=s MEMCACHE_SRV_REFRESH=1s
MEMCACHE_TLS=true MEMCACHE_TLS_CLIENT_CERT=/c MEMCACHE_TLS_CLIENT_KEY=/k MEMCACHE_TLS_CACERT=/c
MEMCACHE_TLS_SKIP_HOSTNAME_VERIFICATION=true
"""


def pairs(text: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in text.split())


@pytest.mark.parametrize("name", sorted(pairs(REFERENCE)))
def test_most_are_honoured(name: str) -> None:
    assert name in KNOWN
    (finding,) = judge({name: pairs(REFERENCE)[name] or "x"})
    assert (finding.variable, finding.standing) == (name, Standing.HONOURED)


@pytest.mark.parametrize(("name", "value"), sorted(pairs(IDLE).items()))
def test_the_others_say_what_replaces_them_or_why_nothing_has_to(name: str, value: str) -> None:
    (finding,) = judge({name: value})
    assert finding.standing in {Standing.REPLACED, Standing.WITHOUT_EFFECT}
    assert len(finding.why) > 20
    assert without_effect({name: value}) == [name]
    refuse_unbuilt({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("USE_STATSD", "false"),
        ("USE_STATSD", "F"),
        ("DISABLE_STATS", "0"),
        ("LOCAL_CACHE_SIZE_IN_BYTES", "0"),
        ("REDIS_PIPELINE_WINDOW", "0s"),
        ("BACKEND_TYPE", "redis"),
        ("STATSD_HOST", ""),
    ],
)
def test_what_asks_for_nothing_is_not_worth_a_word(name: str, value: str) -> None:
    assert without_effect({name: value}) == []
    refuse_unbuilt({name: value})


def test_memcached_is_refused_with_the_reason() -> None:
    with pytest.raises(SettingsError) as raised:
        refuse_unbuilt({"BACKEND_TYPE": "memcache", "GRPC_PORT": "1"})
    assert raised.value.exit_code == 2
    (told,) = raised.value.problems
    assert told.startswith("BACKEND_TYPE=memcache: ")
    assert "use Redis or Valkey" in told


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("GRCP_PORT", "GRPC_PORT"),
        ("SHADOWMODE", "SHADOW_MODE"),
        ("LIMIT_RESPONSE_HEADER_ENABLED", "LIMIT_RESPONSE_HEADERS_ENABLED"),
        ("REDIS_PER_SECOND_URL", "REDIS_PERSECOND_URL"),
        ("SLUICE_KEYPREFIX", "SLUICE_KEY_PREFIX"),
        ("MEMCACHE_HOSTPORT", "MEMCACHE_HOST_PORT"),
        ("SLUICE_ENVY_PORT", "SLUICE_ENVOY_PORT"),
    ],
)
def test_a_slip_of_the_keyboard_is_told_what_was_meant(name: str, meant: str) -> None:
    (finding,) = judge({name: "1"}, known=["SLUICE_ENVOY_PORT"])
    assert finding.standing is Standing.UNKNOWN
    assert f"did you mean {meant}?" in finding.why


@pytest.mark.parametrize(
    "name",
    [
        # What shells, containers and Kubernetes put into everybody's environment.
        "PATH", "HOME", "HOSTNAME", "LANG", "SHELL", "USER", "TERM", "POD_NAME", "NODE_NAME",
        "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "REDIS_PORT", "REDIS_SERVICE_HOST",
        "REDIS_SERVICE_PORT", "REDIS_PORT_6379_TCP_ADDR", "RATELIMIT_PORT", "GRPC_VERBOSITY",
        "GRPC_TRACE", "GOMEMLIMIT", "HTTP_PROXY", "SSL_CERT_FILE", "LOGNAME", "SLUICE_ENVOY_PORT",
        "PREFS_GRPC_PORT", "CACHE_PORT", "AUDIT_OPS_PORT",
    ],
)  # fmt: skip
def test_other_peoples_variables_are_let_be(name: str) -> None:
    assert judge({name: "1"}, known=["SLUICE_ENVOY_PORT"]) == ()


def test_findings_come_by_name() -> None:
    found = judge({"USE_STATSD": "true", "GRPC_PORT": "1", "BACKEND_TYPE": "memcache"})
    assert [one.variable for one in found] == ["BACKEND_TYPE", "GRPC_PORT", "USE_STATSD"]


def test_what_envoy_gateway_sets_is_read_without_a_word(tmp_path: object) -> None:
    environ = {
        "REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": "redis.example:6379",
        "RUNTIME_ROOT": "/data", "RUNTIME_SUBDIRECTORY": "ratelimit",
        "RUNTIME_IGNOREDOTFILES": "true", "RUNTIME_WATCH_ROOT": "false", "LOG_LEVEL": "info",
        "USE_STATSD": "false", "FORCE_START_WITHOUT_INITIAL_CONFIG": "true",
        "CONFIG_TYPE": "GRPC_XDS_SOTW", "CONFIG_GRPC_XDS_SERVER_URL": "envoy-gateway:18001",
        "CONFIG_GRPC_XDS_NODE_ID": "envoy-ratelimit", "USE_PROMETHEUS": "true",
        "PROMETHEUS_ADDR": ":19001", "PROMETHEUS_PATH": "/metrics", "TRACING_ENABLED": "true",
        "TRACING_SERVICE_NAME": "ratelimit", "TRACING_SERVICE_NAMESPACE": "envoy-gateway-system",
        "TRACING_SERVICE_INSTANCE_ID": "pod-1", "TRACING_SAMPLING_RATE": "0.9",
        "TRACING_EXPORTER_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317",
    }  # fmt: skip
    settings = load(Settings, environ)
    refuse_unbuilt(environ)
    assert without_effect(environ) == []
    assert settings.prometheus_address[1] == 19001
    assert settings.tracing.sampling_rate == 0.9
    assert str(settings.rules_directory) == "/data/ratelimit/config"
