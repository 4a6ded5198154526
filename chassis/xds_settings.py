"""Where the xDS management server is and how to speak to it; the names are the reference's.

    CONFIG_GRPC_XDS_SERVER_URL=envoy-gateway:18001   a gRPC target: host:port, dns:///, unix:
    CONFIG_GRPC_XDS_NODE_METADATA={"zone": "a"}      JSON, or zone=a,rack=7 as the reference does

A service takes it as a field: `xds: XdsSettings = group(XdsSettings)`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chassis.backoff import Backoff
from chassis.settings import (
    Parser,
    duration_between,
    flag,
    mapping,
    number,
    path,
    setting,
    text,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_DEFAULT_MESSAGE_BYTES = 4 * 1024 * 1024  # gRPC's own; some 40,000 rules
_DAY = 86_400.0
_HEADER_NAME = re.compile(r"[0-9a-z_.-]+")
# Spread of the waits where XDS_CLIENT_BACKOFF_RANDOM_FACTOR says by how much they grow instead.
_SPREAD = 0.5
_GROWTH = 2.0


def _read_metadata(value: str) -> Mapping[str, Any]:
    stripped = value.strip()
    if stripped.startswith("{"):
        try:
            found = json.loads(stripped, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"is not JSON ({error}); write an object, or key=value") from None
        return dict(found)
    pairs: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in stripped.split(","))):
        key, sign, item = part.partition("=")
        if not sign or not key.strip():
            raise ValueError(f"has a part without a key, {part!r}; write key=value,key=value")
        pairs[key.strip()] = item.strip()
    return pairs


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


_metadata: Parser[Mapping[str, Any]] = Parser(
    "JSON object or list: k=v,k=v",
    _read_metadata,
    lambda pairs: json.dumps(pairs) if pairs else "",
)


def _read_target(value: str) -> str:
    stripped = value.strip()
    if stripped.lower().startswith(("http://", "https://", "grpc://")):
        raise ValueError("is a URL with a scheme that gRPC does not know; write host:port")
    return stripped


@dataclass(frozen=True, kw_only=True, slots=True)
class XdsSettings:
    """How to reach the management server, as whom, and how patiently."""

    target: str = setting(
        "CONFIG_GRPC_XDS_SERVER_URL",
        "localhost:18000",
        parse=Parser("host:port", _read_target),
        doc="the xDS management server, if CONFIG_TYPE is GRPC_XDS_SOTW",
    )
    node_id: str = setting(
        "CONFIG_GRPC_XDS_NODE_ID",
        "default",
        parse=text,
        doc="the name by which the management server finds what is meant for us",
    )
    node_metadata: Mapping[str, Any] = setting(
        "CONFIG_GRPC_XDS_NODE_METADATA", {}, parse=_metadata, doc="what else it is told of us"
    )
    headers: Mapping[str, str] = setting(
        "CONFIG_GRPC_XDS_CLIENT_ADDITIONAL_HEADERS",
        {},
        parse=mapping,
        doc="headers of the stream to it, for instance an authorization",
        secret=True,
    )
    tls: bool = setting(
        "CONFIG_GRPC_XDS_SERVER_USE_TLS", default=False, parse=flag, doc="whether it speaks TLS"
    )
    client_certificate: Path | None = setting(
        "CONFIG_GRPC_XDS_CLIENT_TLS_CERT",
        None,
        parse=path,
        doc="PEM file of our certificate and its chain; read anew for each connection",
    )
    client_key: Path | None = setting(
        "CONFIG_GRPC_XDS_CLIENT_TLS_KEY", None, parse=path, doc="PEM file of its key"
    )
    authorities: Path | None = setting(
        "CONFIG_GRPC_XDS_SERVER_TLS_CACERT",
        None,
        parse=path,
        doc="PEM file of who may vouch for the server; unset: the system's authorities",
    )
    server_name: str = setting(
        "CONFIG_GRPC_XDS_SERVER_TLS_SAN",
        "",
        parse=text,
        doc="the name its certificate must be for; unset: the host of the URL",
    )
    connect_retry_seconds: float = setting(
        "CONFIG_GRPC_XDS_SERVER_CONNECT_RETRY_INTERVAL",
        3.0,
        parse=duration_between(0.01, _DAY),
        doc="the first wait after connecting failed; then it grows",
    )
    backoff_first_seconds: float = setting(
        "XDS_CLIENT_BACKOFF_INITIAL_INTERVAL",
        10.0,
        parse=duration_between(0.01, _DAY),
        doc="the first wait after a stream broke; then it grows",
    )
    backoff_longest_seconds: float = setting(
        "XDS_CLIENT_BACKOFF_MAX_INTERVAL",
        60.0,
        parse=duration_between(0.01, _DAY),
        doc="the longest wait of either kind",
    )
    backoff_factor: float = setting(
        "XDS_CLIENT_BACKOFF_RANDOM_FACTOR",
        0.5,
        parse=number(0, 100),
        doc="up to 1: how far waits are off either way, as a share; above 1: by how much they grow",
    )
    backoff_jitter: bool = setting(
        "XDS_CLIENT_BACKOFF_JITTER",
        default=True,
        parse=flag,
        doc="whether waits are off at all; off, replicas come back together",
    )
    max_message_bytes: int = setting(
        "XDS_CLIENT_MAX_MSG_SIZE_IN_BYTES",
        _DEFAULT_MESSAGE_BYTES,
        parse=whole(0, 2**31 - 1),
        doc="the largest response taken; 0 means the default",
    )
    keepalive_seconds: float = setting(
        "SLUICE_XDS_KEEPALIVE_SECONDS",
        # Finds a server that vanished. Servers in Go take pings that come more often than every
        # five minutes for an attack, unless told otherwise.
        330.0,
        parse=duration_between(10, 7200),
        doc="how often a silent connection to it is pinged",
    )

    def check(self) -> Iterable[tuple[str, str]]:
        """Say what is wrong with several settings together."""
        if (self.client_certificate is None) != (self.client_key is None):
            lonely = "CERT" if self.client_key is None else "KEY"
            yield (
                f"CONFIG_GRPC_XDS_CLIENT_TLS_{lonely}",
                "stands alone; set CONFIG_GRPC_XDS_CLIENT_TLS_CERT and _KEY, or neither",
            )
        for name, value in self.headers.items():
            fault = _fault(name.lower(), value)
            if fault:
                yield "CONFIG_GRPC_XDS_CLIENT_ADDITIONAL_HEADERS", f"header {name!r} {fault}"

    @property
    def message_limit(self) -> int:
        """The largest response taken, in bytes."""
        return self.max_message_bytes or _DEFAULT_MESSAGE_BYTES

    def connect_backoff(self) -> Backoff:
        """Return the waits between attempts to connect."""
        return self._backoff(self.connect_retry_seconds)

    def stream_backoff(self) -> Backoff:
        """Return the waits after streams that broke.

        The reference multiplies by its factor, 0.5 by default, so its waits shrink; what its name
        and every other library say it is, is how far a wait is off.
        """
        return self._backoff(self.backoff_first_seconds)

    def _backoff(self, first: float) -> Backoff:
        grows = self.backoff_factor > 1
        spread = _SPREAD if grows else self.backoff_factor
        return Backoff(
            first=first,
            longest=self.backoff_longest_seconds,
            growth=self.backoff_factor if grows else _GROWTH,
            spread=spread if self.backoff_jitter else 0.0,
        )


def _fault(name: str, value: str) -> str:
    """Return what makes a header impossible, or nothing."""
    if not _HEADER_NAME.fullmatch(name):
        return "has a name that is no header's; use letters, digits and -_."
    if name.startswith("grpc-") or name in {"te", "content-type", "user-agent"}:
        return "is gRPC's own; leave it out"
    if name.endswith("-bin"):
        return "is binary (its name ends in -bin), which cannot be written here; leave it out"
    if not value.isascii() or not value.isprintable():
        return "has a value that is not printable ASCII; leave such characters out"
    return ""
