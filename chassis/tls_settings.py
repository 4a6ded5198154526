"""TLS of a server: the settings, and the files they name, read and proven to fit together.

A service takes it as a field, `tls: TlsSettings = group(TlsSettings)`, and a second port with
`prefix=("GRPC_", "ADMIN_GRPC_")`.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import fastlane
from chassis.certificates import end_of, is_encrypted, only_certificates
from chassis.settings import flag, path, setting, text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# The longest chains and bundles in use are some hundred KiB: beyond this it is another file.
MAX_FILE_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsSettings:
    """How a gRPC port speaks TLS; a field of Settings. The names are the reference's."""

    enabled: bool = setting(
        "GRPC_SERVER_USE_TLS", default=False, parse=flag, doc="speak TLS on the gRPC port"
    )
    cert: Path | None = setting(
        "GRPC_SERVER_TLS_CERT",
        None,
        parse=path,
        doc="our certificate, and those up to its authority (PEM); followed when it changes",
    )
    key: Path | None = setting(
        "GRPC_SERVER_TLS_KEY",
        None,
        parse=path,
        doc="the key of our certificate (PEM, not encrypted); followed as well",
    )
    client_ca: Path | None = setting(
        "GRPC_CLIENT_TLS_CACERT",
        None,
        parse=path,
        doc="who signs clients' certificates (PEM); with it every client must have one",
    )
    server_ca: Path | None = setting(
        "GRPC_SERVER_TLS_CA_CERT",
        None,
        parse=path,
        doc="GRPC_CLIENT_TLS_CACERT as Envoy Gateway spells it",
    )
    client_san: str = setting(
        "GRPC_CLIENT_TLS_SAN",
        "",
        parse=text,
        doc="alternative name (DNS, URI, IP, e-mail) that clients' certificates must carry",
    )

    @property
    def authorities(self) -> Path | None:
        """Who signs clients' certificates; None: clients need none."""
        return self.client_ca or self.server_ca

    def check(self) -> Iterable[tuple[str, str]]:
        """Yield what is wrong with the fields taken together."""
        if not self.enabled:
            # Half a configuration: its author believes that strangers are kept out.
            for name in ("client_ca", "server_ca", "client_san"):
                if getattr(self, name):
                    yield name, "asks for clients' certificates; set GRPC_SERVER_USE_TLS=true too"
            return
        if self.cert is None or self.key is None:
            yield "enabled", "needs a certificate; set GRPC_SERVER_TLS_CERT and GRPC_SERVER_TLS_KEY"
            return
        if self.client_ca and self.server_ca and self.client_ca != self.server_ca:
            yield "server_ca", "is not GRPC_CLIENT_TLS_CACERT, and means the same; set one of them"
        if self.client_san and self.authorities is None:
            yield "client_san", "needs a certificate to look at; set GRPC_CLIENT_TLS_CACERT as well"
        try:
            Pem.read(self).context()
        except PemError as error:
            yield error.field, str(error)


class PemError(ValueError):
    """A file that cannot be used; `field` is its field of TlsSettings."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, kw_only=True, slots=True)
class Pem:
    """What the files hold, as one: our chain and key, and the authorities of clients."""

    chain: bytes
    key: bytes
    authorities: bytes | None
    ends_at: float
    """When our certificate ends, in Unix seconds."""

    @classmethod
    def read(cls, settings: TlsSettings) -> Pem:
        """Read the files; PemError names the one that cannot be had."""
        authorities = None
        if settings.authorities is not None:
            field = "client_ca" if settings.client_ca else "server_ca"
            authorities = _certificates(settings, field)
        chain = _certificates(settings, "cert")
        try:
            ends_at = end_of(chain)
        except ValueError as error:
            raise PemError("cert", str(error)) from error
        key = _content(settings, "key")
        return cls(chain=chain, key=key, authorities=authorities, ends_at=ends_at)

    def context(self) -> ssl.SSLContext:
        """Return what speaks TLS with it; PemError if OpenSSL cannot use it."""
        if is_encrypted(self.key):
            raise PemError("key", "is encrypted and nobody is there to ask; write it decrypted")
        pairs = [(self.key, self.chain)]
        try:
            context = fastlane.ssl_server_credentials(pairs).context
        except ssl.SSLError as error:
            told = f"and its key are unusable ({error}); write two PEM files that are a pair"
            raise PemError("cert", told) from error
        if self.authorities is None:
            return context
        try:
            return fastlane.ssl_server_credentials(
                pairs, self.authorities, require_client_auth=True
            ).context
        except ssl.SSLError as error:
            raise PemError("client_ca", f"is unusable ({error}); write a PEM file") from error


def _certificates(settings: TlsSettings, field: str) -> bytes:
    try:
        return only_certificates(_content(settings, field))
    except PemError:
        raise
    except ValueError as error:
        raise PemError(field, str(error)) from error


def _content(settings: TlsSettings, field: str) -> bytes:
    file: Path | None = getattr(settings, field)
    if file is None:
        raise PemError(field, "is not set; write the path of a PEM file")
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        why = error.strerror or str(error)
        raise PemError(field, f"cannot be read ({why}); write the path of a PEM file") from error
    if len(content) > MAX_FILE_BYTES:
        raise PemError(field, f"is larger than {MAX_FILE_BYTES} bytes; write a PEM file")
    return content
