"""Certificates for tests, made by openssl: an authority that issues them into files."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.servers import needed_program

if TYPE_CHECKING:
    from pathlib import Path

_KEYS = {
    "ec": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
    "rsa": ("-newkey", "rsa:2048"),
}


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as files and as bytes."""

    cert: Path
    key: Path

    @property
    def pem(self) -> tuple[bytes, bytes]:
        return self.key.read_bytes(), self.cert.read_bytes()

    def not_after(self) -> str:
        """Return the end of the certificate, as openssl writes it."""
        openssl = needed_program("openssl", "openssl")
        command = [openssl, "x509", "-in", str(self.cert), "-noout", "-enddate"]
        shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
        return shown.stdout.strip().removeprefix("notAfter=")


class Authority:
    """A certificate authority in a folder of its own."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._openssl = needed_program("openssl", "openssl")
        self._folder = folder / name
        self._folder.mkdir()
        self.cert = self._folder / "ca.pem"
        subject = ("-subj", f"/CN={name}", "-days", "2")
        self._run("req", "-x509", *_KEYS["ec"], "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
                  *subject)  # fmt: skip

    def issue(self, name: str, san: str, kind: str = "ec", days: int = 2) -> Pair:
        """Make a certificate with one alternative name, such as DNS:localhost."""
        files = ("-keyout", f"{name}.key", "-out", f"{name}.pem")
        self._run(
            *("req", "-x509", *_KEYS[kind], "-nodes", *files, "-days", str(days)),
            *("-subj", f"/CN={name}", "-addext", f"subjectAltName={san}"),
            *("-addext", "basicConstraints=CA:FALSE", "-CA", "ca.pem", "-CAkey", "ca.key"),
        )
        return Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")

    def _run(self, *words: str) -> None:
        subprocess.run(
            [self._openssl, *words], cwd=self._folder, check=True, capture_output=True, timeout=30
        )
