"""The mesh of a demo run: `sluice up` itself, on a free block of ports, with a state that goes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Self

from sluice.mesh.child import how_it_ended, tethered
from sluice.mesh.interpreter import module_command, module_environ
from sluice.mesh.ports import BLOCK_SIZE, why_not_free
from sluice.outcome import OperatorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

# Below the ports that Linux gives to outgoing connections (32,768 and up), which come and go.
_LOWEST: Final = 20000
_HIGHEST: Final = 32000

# Three stages of a minute each are `sluice up`'s own bound; this one is for when it hangs.
_START_SECONDS: Final = 200.0

# `sluice up` promises 15.
_STOP_SECONDS: Final = 20.0

# Its end is the end of its notes; a process it left behind may hold them open.
_RELAY_SECONDS: Final = 1.0

# Settings of the user's own shell would make the demo show another mesh than it is meant to.
_SETTINGS: Final = ("CONFIG_", "REDIS_", "RUNTIME_", "RATELIMIT_", "SLUICE_")
_SETTING: Final = ("SHADOW_MODE", "QUOTA_MODE")


class MeshProcess:
    """A running `sluice up`; leaving its context ends it, however it is doing."""

    def __init__(self) -> None:
        """Start it."""
        self._begun = time.monotonic()
        command = module_command("sluice", "up", "--ports-from", str(free_block()))
        self._process = subprocess.Popen(  # noqa: S603  our own command line
            tethered(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env=module_environ(_without_settings(os.environ)),
            # Ctrl-C is for the demo, which then stops the mesh in good order.
            start_new_session=True,
            text=True,
            errors="replace",
        )
        self._last_words = ""
        self._relay = threading.Thread(target=self._relay_notes, daemon=True)
        self._relay.start()

    def wait_until_ready(self) -> tuple[dict[str, Any], float]:
        """Relay its lines; answer the object of its `ready` line and the seconds it took.

        Raises OperatorError when it ends instead, or hangs.
        """
        late = threading.Timer(_START_SECONDS, self._process.kill)
        late.start()
        try:
            for line in self._process.stdout or ():
                if line.startswith("ready "):
                    addresses = json.loads(line.removeprefix("ready "))
                    return addresses, time.monotonic() - self._begun
                print(f"  {line}", end="", flush=True)
        finally:
            late.cancel()
        code = self._process.wait()
        self._relay.join(_RELAY_SECONDS)
        said = f", saying: {self._last_words}" if self._last_words else " without a word"
        raise OperatorError(
            f"the mesh did not come up: `sluice up` ended with {how_it_ended(code)}{said}"
        )

    def stop(self) -> float:
        """Stop it as Ctrl-C would and answer the seconds it took. Raises OperatorError."""
        begun = time.monotonic()
        self._process.terminate()
        try:
            code = self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise OperatorError(f"the mesh did not stop within {_STOP_SECONDS:g} s") from None
        if code:
            raise OperatorError(f"the mesh stopped with exit code {code}, not 0")
        return time.monotonic() - begun

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave nothing running, whatever happened. Its guardian ends the parts."""
        if self._process.stdout is not None:
            self._process.stdout.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._relay.join(_RELAY_SECONDS)

    def _relay_notes(self) -> None:
        """Pass on what it says on stderr, and keep the last of it for the reason of an end."""
        with self._process.stderr or contextlib.nullcontext(()) as notes:
            for line in notes:
                self._last_words = line.strip() or self._last_words
                # Whoever looks at neither stream any more must not stop the mesh.
                with contextlib.suppress(OSError):
                    print(f"  {line}", end="", file=sys.stderr, flush=True)


def free_block() -> int:
    """Answer the first of BLOCK_SIZE consecutive free ports."""
    for first in _candidates():
        if all(why_not_free(port) is None for port in range(first, first + BLOCK_SIZE)):
            return first
    raise OperatorError(
        f"no {BLOCK_SIZE} consecutive ports from {_LOWEST} to {_HIGHEST} are free: "
        "stop what uses them, then run the demo again"
    )


def _candidates() -> Iterator[int]:
    blocks = list(range(_LOWEST, _HIGHEST - BLOCK_SIZE, BLOCK_SIZE))
    # Two demos started at the same moment would otherwise try the same block.
    random.shuffle(blocks)
    return iter(blocks)


def _without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith(_SETTINGS) and name not in _SETTING
    }
