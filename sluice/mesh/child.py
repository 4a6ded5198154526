"""One process of a part: started on the tether, waited for, ended with all it started itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sluice.mesh import tether

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TETHER: Final = str(Path(tether.__file__))


def tethered(argv: Sequence[str]) -> list[str]:
    """Answer the command that runs a program so that it dies with us. `argv[0]` is its path."""
    return [sys.executable, "-I", "-S", _TETHER, str(os.getpid()), *argv]


class Child:
    """A running process in a session of its own, so that a terminal's Ctrl-C passes it by.

    Started synchronously and by the main thread: the tether holds to the starting thread, and a
    start that cannot be cancelled half-way cannot leave a process that nobody knows.
    """

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str], *, output: int) -> None:
        """Start the program with its output going to a descriptor. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = loop.create_future()
        self._swept = False
        self._process = subprocess.Popen(  # noqa: S603  the parts are ours or the user's choice
            tethered(argv),
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        # A thread each: asyncio's own pool has six threads on two cores, and all would be waiting.
        threading.Thread(target=self._wait, args=(loop,), daemon=True).start()

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        code = self._process.wait()
        # The loop may be closed by now: the whole program is ending, and nobody waits any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._ended.set_result, code)

    @property
    def group(self) -> int:
        """The process id, which is also that of the group of all it starts."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone; others of its group may still be there."""
        return self._ended.done()

    async def ended(self) -> int:
        """Wait for the end and answer the exit code, or minus the signal that ended it."""
        return await asyncio.shield(self._ended)

    async def ended_within(self, seconds: float) -> bool:
        """Wait for the end, at most so long."""
        await asyncio.wait({self._ended}, timeout=seconds)
        return self.has_ended

    def terminate(self) -> None:
        """Ask the process to end. It tells those it started."""
        self._send(signal.SIGTERM)
        self._send(signal.SIGCONT)  # a stopped process gets the SIGTERM only when it goes on

    def kill_group(self) -> None:
        """End the process, if it is there, and everything it started in its group.

        Once the process is gone this works one last time: afterwards its number may be another's.
        """
        if self._swept:
            return
        self._swept = self.has_ended
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.group, signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if not self.has_ended:
            self._process.send_signal(number)


def how_it_ended(code: int) -> str:
    """Say an exit code as people do."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"
