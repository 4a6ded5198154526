"""Certificates for tests, made by openssl: an authority, a server, a client."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificates:
    """PEM of each."""

    authority: bytes
    server: tuple[bytes, bytes]
    client: tuple[bytes, bytes]


def has_openssl() -> bool:
    """Whether certificates can be made here."""
    return shutil.which("openssl") is not None


def make(folder: Path) -> Certificates:
    """Make all three."""
    _openssl(folder, "req", "-x509", *_key("ca"), "-out", "ca.pem", "-subj", "/CN=authority")
    for name, subject in (("server", "localhost"), ("client", "someone")):
        alternative = f"subjectAltName=DNS:{subject}"
        _openssl(
            folder,
            *("req", "-x509", *_key(name), "-out", f"{name}.pem", "-subj", f"/CN={subject}"),
            *("-addext", alternative, "-addext", "basicConstraints=CA:FALSE"),
            *("-CA", "ca.pem", "-CAkey", "ca.key"),
        )

    def pair(name: str) -> tuple[bytes, bytes]:
        return (folder / f"{name}.key").read_bytes(), (folder / f"{name}.pem").read_bytes()

    authority = (folder / "ca.pem").read_bytes()
    return Certificates(authority=authority, server=pair("server"), client=pair("client"))


def _key(name: str) -> list[str]:
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    return [*curve, "-nodes", "-keyout", f"{name}.key", "-days", "2"]


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ["openssl", *arguments],  # noqa: S607 - whichever openssl the machine has
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=30,
    )
