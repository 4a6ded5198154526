"""Settings of the rate limiter. The names are envoyproxy/ratelimit's wherever it has one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chassis.log import LogSettings
from chassis.redis_settings import RedisSettings
from chassis.server import GrpcLimits
from chassis.settings import SettingsError, duration_between, flag, group, path, port, setting, text
from chassis.workers import WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Settings", "refuse_unbuilt", "without_effect"]

_FALSE: Final = ("false", "f", "0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What `python -m ratelimit_service` reads from its environment."""

    grpc_host: str = setting(
        "GRPC_HOST", "127.0.0.1", parse=text, doc="address of the rate-limit RPC; 0.0.0.0 for all"
    )
    grpc_port: int = setting(
        "GRPC_PORT", 8081, parse=port, doc="port of the rate-limit RPC, health and reflection"
    )
    http_host: str = setting(
        "HOST", "127.0.0.1", parse=text, doc="address of /json and /healthcheck"
    )
    http_port: int = setting("PORT", 8080, parse=port, doc="port of /json and /healthcheck")
    debug_host: str = setting("DEBUG_HOST", "127.0.0.1", parse=text, doc="address of the ops HTTP")
    debug_port: int = setting(
        "DEBUG_PORT", 6070, parse=port, doc="port of /healthz /readyz /metrics /configz /buildz"
    )
    runtime_root: Path = setting(
        "RUNTIME_ROOT",
        Path("/srv/runtime_data/current"),
        parse=path,
        doc="where configuration lives; rules are in ROOT/SUBDIRECTORY/APPDIRECTORY",
    )
    runtime_subdirectory: str = setting(
        "RUNTIME_SUBDIRECTORY", "", parse=text, doc="the folder of this application below it"
    )
    runtime_appdirectory: str = setting(
        "RUNTIME_APPDIRECTORY",
        "config",
        parse=text,
        doc="the folder with the rule files, below that",
    )
    runtime_watch_root: bool = setting(
        "RUNTIME_WATCH_ROOT",
        default=True,
        parse=flag,
        doc="whether a swap of RUNTIME_ROOT, a symlink, is noticed at once; else in a second",
    )
    key_prefix: str = setting(
        "SLUICE_KEY_PREFIX", "", parse=text, doc="stands in front of every Redis key"
    )
    drain_seconds: float = setting(
        "SLUICE_DRAIN_SECONDS",
        3.0,
        parse=duration_between(0, 300),
        doc="how long calls may take to end after SIGTERM",
    )
    log: LogSettings = group(LogSettings)
    limits: GrpcLimits = group(GrpcLimits)
    redis: RedisSettings = group(RedisSettings)
    worker: WorkerSettings = group(WorkerSettings)

    @property
    def rules_directory(self) -> Path:
        """Where the rule files are, as the reference joins it."""
        return self.runtime_root / self.runtime_subdirectory / self.runtime_appdirectory


# Variables of envoyproxy/ratelimit that change who is let through or who may listen in, with the
# values that ask for nothing. What they ask for is not built, and a limiter that is silently laxer
# than its operator believes is worse than one that does not start.
_ASKS_FOR_NOTHING: Final = {
    "BACKEND_TYPE": ("redis",),
    "CONFIG_TYPE": ("file",),
    "GRPC_CLIENT_TLS_CACERT": (),
    "GRPC_CLIENT_TLS_SAN": (),
    "GRPC_SERVER_USE_TLS": _FALSE,
    "GRPC_UDS": (),
    "MERGE_DOMAIN_CONFIG": _FALSE,
    "QUOTA_MODE": _FALSE,
    "RATELIMIT_MODE": ("sluice",),
    "REDIS_PERSECOND": _FALSE,
    "SHADOW_MODE": _FALSE,
}
# Those without which every verdict is the same: headers, metadata, tuning, statistics, traces.
_WITHOUT_EFFECT: Final = (
    "CACHE_KEY_PREFIX",
    "EXPIRATION_JITTER_MAX_SECONDS",
    "LIMIT_RESPONSE_HEADERS_ENABLED",
    "LOCAL_CACHE_SIZE_IN_BYTES",
    "NEAR_LIMIT_RATIO",
    "REDIS_PIPELINE_LIMIT",
    "REDIS_PIPELINE_WINDOW",
    "RESPONSE_DYNAMIC_METADATA",
    "STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT",
    "TRACING_ENABLED",
    "USE_PROMETHEUS",
    "USE_STATSD",
)


def refuse_unbuilt(environ: Mapping[str, str]) -> None:
    """Raise SettingsError naming every variable that asks for what is not built."""
    asked = [
        f"{name}={value}: is not supported yet; leave it unset"
        for name, nothing in _ASKS_FOR_NOTHING.items()
        if (value := environ.get(name, "")) and value.lower() not in nothing
    ]
    if asked:
        raise SettingsError(asked)


def without_effect(environ: Mapping[str, str]) -> list[str]:
    """Return the variables of the reference that are set and change nothing here."""
    return [name for name in _WITHOUT_EFFECT if environ.get(name)]
