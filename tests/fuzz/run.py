"""Starting a target: its seeds, and what is said of what is found."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import atheris

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def fuzz(target: Callable[[bytes], None], seeds: Iterable[bytes]) -> None:
    """Fuzz until told to stop; whatever `target` raises is a finding and ends the process."""
    arguments = list(sys.argv)
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds):
            Path(folder, str(number)).write_bytes(seed)
        if not any(Path(one).is_dir() for one in arguments[1:]):
            arguments.append(folder)
        atheris.Setup(arguments, target)
        atheris.Fuzz()


def pieces(data: bytes, size: int) -> list[bytes]:
    """Cut `data` into pieces of `size` bytes."""
    return [data[at : at + size] for at in range(0, len(data), size)]
