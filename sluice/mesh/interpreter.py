"""How our own modules are run as processes: found where we were found, and nowhere else."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import sluice

if TYPE_CHECKING:
    from collections.abc import Mapping


def module_command(module: str, *arguments: str) -> list[str]:
    """Answer the command that runs a module of ours."""
    # -P: the folder we were started in is the user's, and a redis.py in it is not ours.
    return [sys.executable, "-P", "-m", module, *arguments]


def module_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Answer the environment with which module_command finds our packages.

    A checkout is no place Python looks by itself. And what a module prints is in its log when it
    dies, not in a buffer.
    """
    root = str(Path(sluice.__file__).parent.parent)
    known = root in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    paths = [path for path in (None if known else root, environ.get("PYTHONPATH")) if path]
    return {**environ, "PYTHONPATH": ":".join(paths), "PYTHONUNBUFFERED": "1"}
