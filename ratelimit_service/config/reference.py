"""envoyproxy/ratelimit's variables that this service does not read, and what becomes of each.

A variable is honoured if it is a field of Settings. The others stand in one table here, which
drives three things: what asks for the impossible is refused at start, what has no effect is named
in the log, and `sluice check --env` says of each what replaces it, or why nothing has to.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from chassis.masking import mask_value
from chassis.settings import SettingsError, describe
from ratelimit_service.config.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping


class Standing(Enum):
    """What becomes of a variable that is set."""

    HONOURED = "honoured"
    REPLACED = "replaced"
    WITHOUT_EFFECT = "no effect"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One variable that is set: its standing, and the half sentence that explains it."""

    variable: str
    standing: Standing
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """A variable of the reference. `nothing`: values in lower case that ask for nothing."""

    standing: Standing
    why: str
    nothing: tuple[str, ...] = ()


_FALSE: Final = ("false", "f", "0")


def _rows(standing: Standing, why: str, *names: str, nothing: tuple[str, ...] = ()) -> _Table:
    return {name: _Row(standing=standing, why=why, nothing=nothing) for name in names}


_Table = dict[str, _Row]

_STATSD: Final = (
    "nothing is sent from here; an OpenTelemetry Collector or Vector reads /metrics and passes it "
    "on (docs/how-to/statsd.md)"
)
_MEMCACHED: Final = "only BACKEND_TYPE=memcache would read it, and that is refused"
_PIPELINE: Final = (
    "requests that arrive together always share one call to Redis, without waiting for each other"
)
_STARTUP: Final = (
    "the service starts without Redis, and connects when it comes; /readyz says so meanwhile"
)

_TABLE: Final[_Table] = {
    **_rows(
        Standing.REFUSED,
        "memcached cannot charge several limits in one step, all or none, so they would leak; "
        "use Redis or Valkey, and leave BACKEND_TYPE unset",
        "BACKEND_TYPE",
        nothing=("redis",),
    ),
    **_rows(
        Standing.WITHOUT_EFFECT,
        _MEMCACHED,
        "MEMCACHE_HOST_PORT",
        "MEMCACHE_MAX_IDLE_CONNS",
        "MEMCACHE_SRV",
        "MEMCACHE_SRV_REFRESH",
        "MEMCACHE_TLS",
        "MEMCACHE_TLS_CACERT",
        "MEMCACHE_TLS_CLIENT_CERT",
        "MEMCACHE_TLS_CLIENT_KEY",
        "MEMCACHE_TLS_SKIP_HOSTNAME_VERIFICATION",
    ),
    **_rows(Standing.REPLACED, _STATSD, "USE_STATSD", "USE_DOG_STATSD", nothing=_FALSE),
    **_rows(
        Standing.REPLACED,
        _STATSD,
        "STATSD_HOST",
        "STATSD_PORT",
        "STATS_FLUSH_INTERVAL",
        "USE_DOG_STATSD_MOGRIFIERS",
    ),
    **_rows(
        Standing.REPLACED,
        "tags are put on by who reads /metrics: Prometheus, an OpenTelemetry "
        "Collector or Vector (docs/how-to/statsd.md)",
        "EXTRA_TAGS",
    ),
    **_rows(
        Standing.WITHOUT_EFFECT,
        "metrics are plain integers that cost nothing until somebody reads them",
        "DISABLE_STATS",
        nothing=_FALSE,
    ),
    **_rows(
        Standing.REPLACED,
        "metrics have labels of their own, no names to be taken apart; SLUICE_REFERENCE_METRICS="
        "true adds the reference's names",
        "PROMETHEUS_MAPPER_YAML",
    ),
    **_rows(
        Standing.WITHOUT_EFFECT,
        "times are in seconds, as Prometheus asks for",
        "PROMETHEUS_RESPONSE_TIME_AS_MILLISECONDS",
        nothing=_FALSE,
    ),
    **_rows(
        Standing.WITHOUT_EFFECT,
        "a key expires when its bucket is full again, which is another moment for each key anyway",
        "EXPIRATION_JITTER_MAX_SECONDS",
    ),
    **_rows(
        Standing.REPLACED,
        "a refused request writes nothing to Redis; for keys so hot that asking is too much, "
        "give their rule a lease",
        "LOCAL_CACHE_SIZE_IN_BYTES",
        nothing=("0",),
    ),
    **_rows(
        Standing.WITHOUT_EFFECT,
        "a refused request never counts",
        "STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT",
        nothing=_FALSE,
    ),
    **_rows(
        Standing.WITHOUT_EFFECT,
        _PIPELINE,
        "REDIS_PIPELINE_WINDOW",
        "REDIS_PIPELINE_LIMIT",
        "REDIS_PERSECOND_PIPELINE_WINDOW",
        "REDIS_PERSECOND_PIPELINE_LIMIT",
        nothing=("0", "0s"),
    ),
    **_rows(
        Standing.WITHOUT_EFFECT,
        "the nodes of a cluster are always asked at the same time",
        "REDIS_CLUSTER_PIPELINE_PARALLELISM",
        "REDIS_PERSECOND_CLUSTER_PIPELINE_PARALLELISM",
    ),
    **_rows(
        Standing.WITHOUT_EFFECT,
        "connections are shared and never run out; a full queue answers RESOURCE_EXHAUSTED",
        "REDIS_POOL_ON_EMPTY_BEHAVIOR",
        "REDIS_PERSECOND_POOL_ON_EMPTY_BEHAVIOR",
    ),
    **_rows(
        Standing.WITHOUT_EFFECT,
        _STARTUP,
        "REDIS_STARTUP_INITIAL_INTERVAL",
        "REDIS_STARTUP_MAX_INTERVAL",
        "REDIS_STARTUP_MAX_ELAPSED_TIME",
    ),
}
# The reference makes names of these: DOG_STATSD_MOGRIFIER_<name>_PATTERN and the like.
_STATSD_PREFIX: Final = "DOG_STATSD_MOGRIFIER"
# Read by the exporter's own library: headers, certificates, timeouts.
_EXPORTER_PREFIXES: Final = ("OTEL_EXPORTER_OTLP_", "OTEL_RESOURCE_ATTRIBUTES")

# How alike two names must be (difflib's ratio) for one to be a slip of the other: one letter in
# seven where the name begins as ours do, one in eight anywhere.
_ALIKE: Final = 0.86
_ALIKE_ANYWHERE: Final = 0.88

KNOWN: Final = frozenset(row.env for row in describe(Settings))


def judge(environ: Mapping[str, str], *, known: Collection[str] = ()) -> tuple[Finding, ...]:
    """Say what becomes of each variable that is set and is the reference's, ours, or nearly so.

    `known` are other names that are no mistakes. Values are not judged: `load(Settings, ...)` is.
    """
    return tuple(_findings(environ, known))


def refuse_unbuilt(environ: Mapping[str, str]) -> None:
    """Raise SettingsError naming every variable that asks for what is not to be had."""
    refused = [
        f"{finding.variable}={mask_value(environ[finding.variable])}: {finding.why}"
        for finding in judge(environ)
        if finding.standing is Standing.REFUSED
    ]
    if refused:
        raise SettingsError(refused)


def without_effect(environ: Mapping[str, str]) -> list[str]:
    """Return the variables of the reference that are set to something and change nothing here."""
    idle = {Standing.REPLACED, Standing.WITHOUT_EFFECT}
    return [finding.variable for finding in judge(environ) if finding.standing in idle]


def _findings(environ: Mapping[str, str], known: Collection[str]) -> Iterator[Finding]:
    for name in sorted(name for name, value in environ.items() if value):
        row = _TABLE.get(name)
        if name in KNOWN or name.startswith(_EXPORTER_PREFIXES):
            yield Finding(variable=name, standing=Standing.HONOURED)
        elif row is not None:
            if environ[name].strip().lower() in row.nothing:
                yield Finding(variable=name, standing=Standing.HONOURED)
            else:
                yield Finding(variable=name, standing=row.standing, why=row.why)
        elif name.startswith(_STATSD_PREFIX):
            yield Finding(variable=name, standing=Standing.REPLACED, why=_STATSD)
        elif name not in known:
            meant = _meant(name, known)
            if meant:
                why = f"is read by nobody; did you mean {meant}?"
                yield Finding(variable=name, standing=Standing.UNKNOWN, why=why)


def _meant(name: str, known: Collection[str]) -> str:
    """Return the variable that this is a slip of the keyboard for, or nothing."""
    names = {*KNOWN, *_TABLE, *known}
    beginnings = {known.partition("_")[0] for known in names if "_" in known}
    enough = _ALIKE if name.partition("_")[0] in beginnings else _ALIKE_ANYWHERE
    return next(iter(difflib.get_close_matches(name, names, 1, enough)), "")
