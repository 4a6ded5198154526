"""What certificates say, whoever made them."""

from __future__ import annotations

from typing import Any

import pytest

from chassis.certificates import end_of, is_encrypted, names_it, only_certificates

# Made by OpenSSL: CN=sluice, valid until 2049-12-31 (two digits of year) and 2050-01-01 (four).
UNTIL_2049 = b"""\
-----BEGIN CERTIFICATE-----
MIIBCDCBsAIBATAKBggqhkjOPQQDAjARMQ8wDQYDVQQDDAZzbHVpY2UwHhcNMjYw
MTAxMDAwMDAwWhcNNDkxMjMxMjM1OTU5WjARMQ8wDQYDVQQDDAZzbHVpY2UwWTAT
BgcqhkjOPQIBBggqhkjOPQMBBwNCAASMo8YmmpQW5vvpyg0uo0ZpHe8xPuDa9bd7
tnOmI4sgxDVCKt0Hs0Mwrt2B5c1FGHKY8CpkNcEFc+KAAb7qUT7sMAoGCCqGSM49
BAMCA0cAMEQCIAdbjpKlb4xc70N3YIaOnjv3oeQ+KEhhBnXQ/3eb/naEAiBzePJB
ZDFZm3Jl3Qhvjggly9iTHYEZ9GIivMDBSMbuMQ==
-----END CERTIFICATE-----
"""
UNTIL_2050 = b"""\
-----BEGIN CERTIFICATE-----
MIIBCzCBsgIBAjAKBggqhkjOPQQDAjARMQ8wDQYDVQQDDAZzbHVpY2UwIBcNMjYw
MTAxMDAwMDAwWhgPMjA1MDAxMDEwMDAwMDBaMBExDzANBgNVBAMMBnNsdWljZTBZ
MBMGByqGSM49AgEGCCqGSM49AwEHA0IABIyjxiaalBbm++nKDS6jRmkd7zE+4Nr1
t3u2c6YjiyDENUIq3QezQzCu3YHlzUUYcpjwKmQ1wQVz4oABvupRPuwwCgYIKoZI
zj0EAwIDSAAwRQIhAIL3rHPnuykAp1XRn/AH1oLX5i7WyAVXyGmBrp1Ij8TkAiBj
60OUSNjJtHb5WNDvx4RoGSPGeoueyvFVFjjUmdyN2Q==
-----END CERTIFICATE-----
"""


def certificate(*names: tuple[str, str]) -> dict[str, Any]:
    return {"subject": ((("commonName", "subject.example"),),), "subjectAltName": names}


@pytest.mark.parametrize(
    ("names", "expected", "named"),
    [
        ([("DNS", "envoy.mesh")], "envoy.mesh", True),
        ([("DNS", "Envoy.Mesh")], "envoy.mesh.", True),
        ([("DNS", "other"), ("DNS", "envoy.mesh")], "envoy.mesh", True),
        ([("DNS", "*.mesh.example")], "envoy.mesh.example", True),
        ([("DNS", "*.mesh.example")], "a.envoy.mesh.example", False),
        ([("DNS", "*.mesh.example")], "mesh.example", False),
        ([("DNS", "*.mesh.example")], ".mesh.example", False),
        ([("DNS", "envoy.mesh")], "*.mesh", False),
        ([("DNS", "*")], "envoy", False),
        ([("IP Address", "10.0.0.1")], "10.0.0.1", True),
        ([("IP Address", "2001:DB8:0:0:0:0:0:1\n")], "2001:db8::1", True),
        ([("IP Address", "10.0.0.1")], "ten", False),
        ([("DNS", "10.0.0.1")], "10.0.0.2", False),
        ([("URI", "spiffe://mesh/ns/a/sa/envoy")], "spiffe://mesh/ns/a/sa/envoy", True),
        ([("URI", "spiffe://mesh/ns/a/sa/envoy")], "spiffe://MESH/ns/a/sa/envoy", False),
        ([("email", "ops@mesh.example")], "ops@mesh.example", True),
        ([], "subject.example", False),
    ],
)
def test_whom_a_certificate_names(names: list[tuple[str, str]], expected: str, named: bool) -> None:
    assert names_it(certificate(*names), expected) is named


def test_a_certificate_without_names_names_nobody() -> None:
    assert not names_it({}, "envoy")


@pytest.mark.parametrize(
    ("pem", "end"),
    [(UNTIL_2049, 2524607999), (UNTIL_2050, 2524608000)],
    ids=["2049", "2050"],
)
def test_when_it_ends_on_either_side_of_the_change_of_form(pem: bytes, end: int) -> None:
    assert end_of(pem) == end


def test_the_first_certificate_of_a_chain_is_ours() -> None:
    assert end_of(b"a comment\n" + UNTIL_2050 + UNTIL_2049) == 2524608000


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nMIICMA==\n-----END CERTIFICATE-----\n",
        UNTIL_2049[:400] + UNTIL_2049[-30:],
    ],
)
def test_what_is_none_is_a_value_error(pem: bytes) -> None:
    with pytest.raises(ValueError, match=r"PEM|padding|base64"):
        end_of(pem)


def test_only_certificates_are_kept_of_a_bundle() -> None:
    bundle = "# Größe\n".encode() + UNTIL_2049 + b"\n# and\n" + UNTIL_2050 + b"# end"
    assert only_certificates(bundle).count(b"BEGIN CERTIFICATE") == 2
    assert b"#" not in only_certificates(bundle)


@pytest.mark.parametrize(
    ("key", "encrypted"),
    [
        (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA", True),
        (b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n", True),
        (b"-----BEGIN PRIVATE KEY-----\nAA", False),
    ],
)
def test_a_key_that_asks_for_a_pass_phrase(key: bytes, encrypted: bool) -> None:
    assert is_encrypted(key) is encrypted
