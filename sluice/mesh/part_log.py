"""The file a part's output goes to: bounded, and asked for its last lines when the part fails.

The part writes into the file itself, opened for appending, so that a supervisor that hangs or ends
never makes a part wait on a full pipe.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

# Envoy's access log grows by about 400 bytes a call: this holds some 40,000 calls, and the older
# file as many again. Ten parts stay within 320 MiB of disk.
LIMIT_BYTES: Final = 16 * 1024 * 1024

# Enough for a configuration file's errors, little enough to read.
TAIL_LINES: Final = 20
_TAIL_BYTES: Final = 16 * 1024


class PartLog:
    """The log of one part, `NAME.log`, and the older `NAME.log.1`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start = 0

    def open(self) -> int:
        """Open the file for a process about to start, and remember that its lines begin here."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._start = os.fstat(descriptor).st_size
        return descriptor

    def tail(self) -> list[str]:
        """Answer the last lines that the process which started last has written."""
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._start if self._start <= size else 0, size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
        return [line for line in text.splitlines() if line.strip()][-TAIL_LINES:]

    def trim(self) -> None:
        """Move the content aside when there is too much of it.

        Copied and cut, not renamed: the part holds the file open and would go on writing into the
        renamed one. What it writes between the two steps is lost, some lines of a log in ten MiB.
        Raises OSError when the content could not be kept; the file is cut all the same, because a
        disk that is full is what this guards against.
        """
        if not self.path.exists() or self.path.stat().st_size <= LIMIT_BYTES:
            return
        try:
            shutil.copyfile(self.path, self.path.with_name(self.path.name + ".1"))
        finally:
            os.truncate(self.path, 0)
