"""Foreign clients that are built with Go, where the machine has it."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def has_go() -> bool:
    """Return whether Go is installed."""
    return shutil.which("go") is not None


def install(package: str, folder: Path) -> Path:
    """Build `package@version` into `folder` and return the program."""
    environment = {**os.environ, "GOBIN": str(folder), "GOFLAGS": "-buildvcs=false"}
    done = subprocess.run(
        ["go", "install", package],  # noqa: S607  whichever Go the machine has
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / package.partition("@")[0].rpartition("/")[2]
