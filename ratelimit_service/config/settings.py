"""What `python -m ratelimit_service` reads from its environment.

The names are envoyproxy/ratelimit's wherever it has one; its defaults too, except that nothing
listens beyond this machine unless told to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from chassis.listen import split_address
from chassis.log import LogSettings
from chassis.redis_settings import RedisSettings
from chassis.server import GrpcLimits
from chassis.settings import (
    Parser,
    choice,
    duration_between,
    flag,
    group,
    path,
    port,
    ratio,
    setting,
    text,
)
from chassis.tls_settings import TlsSettings
from chassis.tracing import TracingSettings
from chassis.workers import WorkerSettings
from chassis.xds_settings import XdsSettings

if TYPE_CHECKING:
    from collections.abc import Iterable


class ConfigType(Enum):
    """Where the rules come from: files, or an xDS management server."""

    FILE = "FILE"
    GRPC_XDS_SOTW = "GRPC_XDS_SOTW"


class RateLimitMode(Enum):
    """Whose verdicts are given.

    `sluice`: by each rule's algorithm, all limits of a request charged or none. `reference`: as
    envoyproxy/ratelimit, fixed windows on unit boundaries, each descriptor charged on its own.
    """

    SLUICE = "sluice"
    REFERENCE = "reference"


def _read_mode(value: str) -> int:
    if not re.fullmatch("0?[0-7]{3}", value.strip()):
        raise ValueError("is not a mode; write three octal digits as for chmod, such as 660")
    return int(value, 8)


def _read_address(value: str) -> tuple[str, int]:
    return split_address(value)


def _read_url_path(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("is not a path; begin it with /")
    return value


def _read_header(value: str) -> str:
    # RFC 9110 section 5.6.2; Envoy refuses the answer otherwise, and with it the limit.
    if not re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}", value):
        raise ValueError("is not the name of a header; write letters, digits and dashes")
    return value


_mode: Parser[int] = Parser("octal mode", _read_mode, lambda mode: f"{mode:o}")
_address: Parser[tuple[str, int]] = Parser(
    "host:port or :port", _read_address, lambda pair: f"{pair[0]}:{pair[1]}"
)
_url_path: Parser[str] = Parser("path of a URL", _read_url_path)
_header: Parser[str] = Parser("header name", _read_header)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The settings of one process."""

    # -- where it listens ----------------------------------------------------------------------
    grpc_host: str = setting(
        "GRPC_HOST", "127.0.0.1", parse=text, doc="address of the rate-limit RPC; 0.0.0.0 for all"
    )
    grpc_port: int = setting(
        "GRPC_PORT", 8081, parse=port, doc="port of the rate-limit RPC, health and reflection"
    )
    grpc_uds: str = setting(
        "GRPC_UDS", "", parse=text, doc="Unix socket to listen on instead of GRPC_HOST:GRPC_PORT"
    )
    grpc_uds_mode: int | None = setting(
        "GRPC_UDS_MODE",
        None,
        parse=_mode,
        doc="permissions of GRPC_UDS: who may write may connect; what the umask leaves, if empty",
    )
    admin_host: str = setting(
        "RATELIMIT_ADMIN_HOST",
        "127.0.0.1",
        parse=text,
        doc="address of the admin RPCs, which can reset and grant: keep it from strangers",
    )
    admin_port: int = setting(
        "RATELIMIT_ADMIN_PORT", 8083, parse=port, doc="port of the admin RPCs"
    )
    http_host: str = setting(
        "HOST", "127.0.0.1", parse=text, doc="address of /json and /healthcheck"
    )
    http_port: int = setting("PORT", 8080, parse=port, doc="port of /json and /healthcheck")
    debug_host: str = setting("DEBUG_HOST", "127.0.0.1", parse=text, doc="address of the ops HTTP")
    debug_port: int = setting(
        "DEBUG_PORT", 6070, parse=port, doc="port of /healthz /readyz /metrics /configz /buildz"
    )
    use_prometheus: bool = setting(
        "USE_PROMETHEUS",
        default=False,
        parse=flag,
        doc="serve the metrics at PROMETHEUS_ADDR too; they are on DEBUG_PORT in any case",
    )
    prometheus_address: tuple[str, int] = setting(
        "PROMETHEUS_ADDR",
        ("0.0.0.0", 9090),  # noqa: S104  the reference's :9090, and only if asked for
        parse=_address,
        doc="where the metrics are, if USE_PROMETHEUS",
    )
    prometheus_path: str = setting(
        "PROMETHEUS_PATH", "/metrics", parse=_url_path, doc="their path there"
    )
    # -- rules ---------------------------------------------------------------------------------
    config_type: ConfigType = setting(
        "CONFIG_TYPE", ConfigType.FILE, parse=choice(ConfigType), doc="where the rules come from"
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
    runtime_ignore_dot_files: bool = setting(
        "RUNTIME_IGNOREDOTFILES",
        default=False,
        parse=flag,
        doc="whether files and folders whose names begin with a dot hold no rules",
    )
    merge_domain_config: bool = setting(
        "MERGE_DOMAIN_CONFIG",
        default=False,
        parse=flag,
        doc="whether one domain may stand in several files, whose rules are joined",
    )
    force_start_without_initial_config: bool = setting(
        "FORCE_START_WITHOUT_INITIAL_CONFIG",
        default=False,
        parse=flag,
        doc="start without waiting for rules, or with broken ones",
    )
    # -- health --------------------------------------------------------------------------------
    healthy_with_at_least_one_config_loaded: bool = setting(
        "HEALTHY_WITH_AT_LEAST_ONE_CONFIG_LOADED",
        default=False,
        parse=flag,
        doc="unhealthy until rules were loaded, if started without",
    )
    redis_health_check_active_connection: bool = setting(
        "REDIS_HEALTH_CHECK_ACTIVE_CONNECTION",
        default=False,
        parse=flag,
        doc="unhealthy whenever Redis is away, not only until it first answered",
    )
    # -- verdicts ------------------------------------------------------------------------------
    mode: RateLimitMode = setting(
        "RATELIMIT_MODE",
        RateLimitMode.SLUICE,
        parse=choice(RateLimitMode),
        doc="sluice: all or nothing, exact; reference: fixed windows, as envoyproxy/ratelimit",
    )
    shadow_mode: bool = setting(
        "SHADOW_MODE",
        default=False,
        parse=flag,
        doc="whether every request passes, and what would have been refused is only counted",
    )
    quota_mode: bool = setting(
        "QUOTA_MODE", default=False, parse=flag, doc="whether every rule is in quota mode"
    )
    near_limit_ratio: float = setting(
        "NEAR_LIMIT_RATIO", 0.8, parse=ratio, doc="share of a limit from which hits count as near"
    )
    # -- answers -------------------------------------------------------------------------------
    response_dynamic_metadata: bool = setting(
        "RESPONSE_DYNAMIC_METADATA",
        default=False,
        parse=flag,
        doc="whether answers carry descriptors and limits as dynamic metadata",
    )
    limit_response_headers_enabled: bool = setting(
        "LIMIT_RESPONSE_HEADERS_ENABLED",
        default=False,
        parse=flag,
        doc="whether answers carry the three headers that follow",
    )
    limit_limit_header: str = setting(
        "LIMIT_LIMIT_HEADER", "RateLimit-Limit", parse=_header, doc="header of the limit"
    )
    limit_remaining_header: str = setting(
        "LIMIT_REMAINING_HEADER",
        "RateLimit-Remaining",
        parse=_header,
        doc="header of what is left",
    )
    limit_reset_header: str = setting(
        "LIMIT_RESET_HEADER",
        "RateLimit-Reset",
        parse=_header,
        doc="header of the seconds until it is whole again",
    )
    # -- the rest ------------------------------------------------------------------------------
    reference_metric_names: bool = setting(
        "SLUICE_REFERENCE_METRICS",
        default=False,
        parse=flag,
        doc="also expose the metrics under envoyproxy/ratelimit's names",
    )
    sluice_key_prefix: str = setting(
        "SLUICE_KEY_PREFIX", "", parse=text, doc="stands in front of every Redis key"
    )
    cache_key_prefix: str = setting(
        "CACHE_KEY_PREFIX", "", parse=text, doc="the reference's name of SLUICE_KEY_PREFIX"
    )
    drain_seconds: float = setting(
        "SLUICE_DRAIN_SECONDS",
        3.0,
        parse=duration_between(0, 300),
        doc="how long calls may take to end after SIGTERM",
    )
    log: LogSettings = group(LogSettings)
    limits: GrpcLimits = group(GrpcLimits)
    tls: TlsSettings = group(TlsSettings)
    redis: RedisSettings = group(RedisSettings)
    persecond: RedisSettings | None = group(
        RedisSettings,
        prefix=("REDIS_", "REDIS_PERSECOND_"),
        switch="REDIS_PERSECOND",
        doc="keep limits per second in a Redis of their own, that of REDIS_PERSECOND_URL",
        required=("url",),
    )
    xds: XdsSettings = group(XdsSettings)
    tracing: TracingSettings = group(TracingSettings)
    worker: WorkerSettings = group(WorkerSettings)

    @property
    def key_prefix(self) -> str:
        """What stands in front of every Redis key."""
        return self.sluice_key_prefix or self.cache_key_prefix

    @property
    def rules_directory(self) -> Path:
        """Where the rule files are, as the reference joins it."""
        return self.runtime_root / self.runtime_subdirectory / self.runtime_appdirectory

    def check(self) -> Iterable[tuple[str, str]]:
        """Yield what is wrong with the fields taken together."""
        if self.grpc_uds and self.worker.shares_ports:
            yield "grpc_uds", "cannot be shared by --workers; leave one of the two out"
        both = self.sluice_key_prefix and self.cache_key_prefix
        if both and self.sluice_key_prefix != self.cache_key_prefix:
            yield "cache_key_prefix", "is not SLUICE_KEY_PREFIX, and means the same; set one"
