"""TLS: certificates in, `ssl.SSLContext` out, and what a client's certificate says of it.

grpc's own `ServerCredentials` cannot be read from Python, so secure ports take the object of
`ssl_server_credentials` here, which has the signature of `grpc.ssl_server_credentials`.
"""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import Sequence

# RFC 9113 section 9.2.2 forbids the older suites; these are what is left of TLS 1.2, and 1.3 has
# nothing else.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class ServerCredentials(grpc.ServerCredentials):
    """Credentials for `add_secure_port`."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(None)
        self.context = context


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Who a client's certificate says it is."""

    key: str
    names: list[bytes]


def ssl_server_credentials(
    private_key_certificate_chain_pairs: Sequence[tuple[bytes, bytes]],
    root_certificates: bytes | None = None,
    require_client_auth: bool = False,  # noqa: FBT001, FBT002 - grpc's signature
) -> ServerCredentials:
    """Return TLS credentials from PEM: (private key, certificate chain) pairs.

    Raises ValueError without a pair, or if client certificates are required without roots to check
    them by; ssl.SSLError if the PEM is wrong.
    """
    if not private_key_certificate_chain_pairs:
        raise ValueError("At least one private key-certificate chain pair is required!")
    if require_client_auth and root_certificates is None:
        raise ValueError("Illegal to require client auth without providing root certificates!")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["h2"])
    for private_key, chain in private_key_certificate_chain_pairs:
        _load(context, private_key, chain)
    if root_certificates is not None:
        context.load_verify_locations(cadata=root_certificates.decode("ascii"))
        context.verify_mode = ssl.CERT_REQUIRED if require_client_auth else ssl.CERT_OPTIONAL
    return ServerCredentials(context)


def context_of(credentials: Any) -> ssl.SSLContext:
    """Return the SSLContext of our credentials, or one given as such."""
    if isinstance(credentials, ServerCredentials):
        return credentials.context
    if isinstance(credentials, ssl.SSLContext):
        credentials.set_alpn_protocols(["h2"])
        return credentials
    raise TypeError(
        "credentials of grpc cannot be read: make them with fastlane.ssl_server_credentials"
    )


def identity_of(tls: Any) -> Identity | None:
    """Return the identity in the client's certificate: its alternative names, or its name."""
    properties = _properties(tls)
    for key in ("x509_subject_alternative_name", "x509_common_name"):
        if properties.get(key):
            return Identity(key=key, names=properties[key])
    return None


def auth_context_of(tls: Any, identity: Identity | None) -> dict[str, list[bytes]]:
    """Return the auth context of a TLS connection, in grpc's names."""
    context = {
        "transport_security_type": [b"ssl"],
        "security_level": [b"TSI_PRIVACY_AND_INTEGRITY"],
    }
    if identity is not None:
        context |= _properties(tls)
    return context


def _properties(tls: Any) -> dict[str, list[bytes]]:
    certificate = tls.getpeercert() or {}
    names = [
        value.encode()
        for part in certificate.get("subject", ())
        for key, value in part
        if key == "commonName"
    ]
    alternatives = [value.encode() for _kind, value in certificate.get("subjectAltName", ())]
    properties = {
        "x509_common_name": names,
        "x509_subject_alternative_name": alternatives,
    }
    return {key: values for key, values in properties.items() if values}


def _load(context: ssl.SSLContext, private_key: bytes, chain: bytes) -> None:
    """Load a pair; OpenSSL reads files only, so the key lies in one for a moment, ours alone."""
    with tempfile.TemporaryDirectory(prefix="fastlane-") as folder:
        path = Path(folder) / "pair.pem"
        path.touch(mode=0o600)
        path.write_bytes(private_key + b"\n" + chain)
        context.load_cert_chain(path)
