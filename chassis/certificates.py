"""What certificates in PEM say: which bytes are theirs, when one ends, whom one names.

Python's ssl module checks certificates, but tells nothing of our own. The few fields an operator
wants are read here, by the grammar of RFC 5280 section 4.1.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_BLOCK: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----"
)
_SEQUENCE: Final = 0x30
_EXPLICIT_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17


def only_certificates(pem: bytes) -> bytes:
    """Return the certificates of a PEM file without what stands between them.

    Bundles carry comments, in any alphabet, that OpenSSL's reader of texts refuses. ValueError if
    there is no certificate.
    """
    blocks = _BLOCK.findall(pem)
    if not blocks:
        raise ValueError("holds no certificate; write a PEM file")
    return b"\n".join(blocks) + b"\n"


def is_encrypted(key: bytes) -> bool:
    """Tell whether a private key asks for a pass phrase, in PKCS #8's or the older form."""
    return b"ENCRYPTED" in key


def end_of(chain: bytes) -> float:
    """Return when the first certificate of a PEM file ends, in Unix seconds.

    ValueError if there is none, or it is not X.509.
    """
    first = only_certificates(chain).decode("ascii").partition("-----END")[0]
    der = ssl.PEM_cert_to_DER_cert(first + "-----END CERTIFICATE-----\n")
    try:
        return _end(der)
    except (IndexError, UnicodeDecodeError) as error:
        raise ValueError("is not an X.509 certificate; write a PEM file") from error


def names_it(certificate: Mapping[str, Any], expected: str) -> bool:
    """Tell whether `expected` is an alternative name of a certificate as `getpeercert` gives it.

    A DNS name matches in any case and by a wildcard in the certificate's first label (RFC 6125
    section 6.4.3); an IP address however it is written; URIs (SPIFFE ids) and e-mail addresses
    as they are.
    """
    return any(
        _names_it(kind, str(value), expected)
        for kind, value in certificate.get("subjectAltName", ())
    )


def _names_it(kind: str, value: str, expected: str) -> bool:
    if kind == "DNS":
        host, wanted = value.lower().rstrip("."), expected.lower().rstrip(".")
        first, _, rest = wanted.partition(".")
        return host == wanted or bool(first and rest and host == f"*.{rest}")
    if kind == "IP Address":
        try:
            return ipaddress.ip_address(value.strip()) == ipaddress.ip_address(expected)
        except ValueError:
            return False
    return value == expected


def _end(der: bytes) -> float:
    """Walk Certificate { tbs { [version] serial signature issuer validity { from, to } ..."""
    _, at, _ = _element(der, 0, _SEQUENCE)
    _, at, _ = _element(der, at, _SEQUENCE)
    tag, _, end = _element(der, at)
    if tag == _EXPLICIT_VERSION:
        at = end
    for _ in ("serial", "signature", "issuer"):
        _, _, at = _element(der, at)
    _, at, _ = _element(der, at, _SEQUENCE)
    _, _, at = _element(der, at)
    tag, start, end = _element(der, at)
    # Years have two digits until 2049 and four from 2050 on (RFC 5280 section 4.1.2.5).
    form = "%y%m%d%H%M%SZ" if tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(der[start:end].decode("ascii"), form).replace(tzinfo=UTC).timestamp()


def _element(der: bytes, at: int, wanted: int | None = None) -> tuple[int, int, int]:
    """Return the tag, the start and the end of the content of the DER element at `at`."""
    tag, length, at = der[at], der[at + 1], at + 2
    if wanted is not None and tag != wanted:
        raise ValueError("is not an X.509 certificate; write a PEM file")
    if length & 0x80:
        size = length & 0x7F
        length, at = int.from_bytes(der[at : at + size], "big"), at + size
    return tag, at, at + length
