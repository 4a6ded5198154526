"""The supervisor's hold on its guardian: told of every process group, started again if it dies."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sluice.mesh import guardian

if TYPE_CHECKING:
    from sluice.mesh.state import StateFolder

_SCRIPT: Final = str(Path(guardian.__file__))

# The guardian ends at once when no group is left; six seconds is its own bound when one is.
_END_SECONDS: Final = 7.0


class Guard:
    """A pipe to the guardian process, which acts when the pipe ends."""

    def __init__(self, state: StateFolder) -> None:
        self._state = state
        self._groups: set[int] = set()
        self._process = self._start()

    def watch(self, group: int) -> None:
        """Have this process group ended when the supervisor is gone."""
        self._groups.add(group)
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """Take the group off the list: it has ended, and its number may become another's."""
        self._groups.discard(group)
        self._tell(f"-{group}\n")

    def revive(self) -> None:
        """Start the guardian again if somebody killed it."""
        if self._process.poll() is not None:
            self._process = self._start()
            for group in self._groups:
                self._tell(f"+{group}\n")

    def close(self) -> None:
        """Let the guardian do the rest and wait until it has."""
        pipe = self._process.stdin
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        folders = [str(self._state.root)] if self._state.temporary else []
        return subprocess.Popen(  # noqa: S603  our own script
            [sys.executable, "-I", "-S", _SCRIPT, *folders],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
            pass_fds=(self._state.lock,),
        )

    def _tell(self, line: str) -> None:
        pipe = self._process.stdin
        # A guardian that is gone is started again by the next revive(), and told everything then.
        with contextlib.suppress(BrokenPipeError):
            if pipe is not None:
                pipe.write(line.encode())
