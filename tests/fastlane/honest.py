"""A client that has nothing to do with an attack, in a process of its own, and how long it waits.

How long: on the clock, or in CPU time of the server where that is less. An attacked server is busy
all the time, so both are the same unless other programs keep it from running. What this client had
to wait for a CPU itself does not count either: its answer was there.

`python -m tests.fastlane.honest PORT PID` calls without a pause worth speaking of, in turn on one
connection kept all along and on a fresh one, and prints for each call when it began, how long it
took and which of the two it was. `Honest` runs that and judges.
"""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from tests.fastlane.attacker import UNARY, Attacker

if TYPE_CHECKING:
    from types import TracebackType

ROOT: Final = Path(__file__).parents[2]
_PATIENCE: Final = 20.0
_PAUSE: Final = 0.01
_SELF: Final = Path("/proc/self/schedstat")
_CALL: Final = tuple(
    (name, b"/grpc.testing.TestService/EmptyCall" if name == b":path" else value)
    for name, value in UNARY
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """One call: when it began and ended, on the system's monotonic clock, and how it went."""

    began: float
    ended: float
    worked: float
    """CPU seconds of the server meanwhile."""
    queued: float
    """Seconds that the client was ready to run meanwhile, and did not."""
    fresh: bool
    answered: bool

    @property
    def seconds(self) -> float:
        """How long it took; without end if it was not answered."""
        if not self.answered:
            return math.inf
        return max(0.0, min(self.worked, self.ended - self.began) - self.queued)


class Honest:
    """The honest client's process."""

    def __init__(self, port: int, server: int) -> None:
        command = [sys.executable, "-m", "tests.fastlane.honest", str(port), str(server)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self._waits: list[Wait] = []
        self._came = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def worst_since(self, moment: float) -> tuple[float, float]:
        """Return the longest wait on the kept connection and on fresh ones since `moment`.

        Calls under way count: they are waited for, and so is one of each sort that begins now.
        """
        now = time.monotonic()
        with self._came:
            assert self._came.wait_for(lambda: self._sorts_since(now) == 2, 2 * _PATIENCE)
            waits = [one for one in self._waits if one.ended >= moment]
        return (
            max(one.seconds for one in waits if not one.fresh),
            max(one.seconds for one in waits if one.fresh),
        )

    def _sorts_since(self, moment: float) -> int:
        return len({one.fresh for one in self._waits if one.began >= moment})

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            began, ended, worked, queued, sort, outcome = line.split(maxsplit=5)
            wait = Wait(
                began=float(began),
                ended=float(ended),
                worked=float(worked),
                queued=float(queued),
                fresh=sort == "fresh",
                answered=outcome.strip() == "answered",
            )
            if not wait.answered:
                print(f"the honest client: {sort}: {outcome.strip()}")
            with self._came:
                self._waits.append(wait)
                self._came.notify_all()


def _ask(attacker: Attacker, stream_id: int) -> str:
    attacker.send(attacker.headers(stream_id, _CALL) + attacker.data(stream_id, bytes(5), end=True))
    status = attacker.status(stream_id)
    if status == b"0":
        return "answered"
    return f"status {status!r}, closed {attacker.closed}"


class Watch:
    """Tells of one call after the other."""

    def __init__(self, server: int) -> None:
        self._server = Path(f"/proc/{server}/schedstat")
        self._began = 0.0
        self._worked = 0.0
        self._queued = 0.0

    def start(self) -> None:
        """Begin a call."""
        self._worked, _ = _schedule(self._server)
        _, self._queued = _schedule(_SELF)
        self._began = time.monotonic()

    def tell(self, sort: str, outcome: str) -> None:
        """Say how it went."""
        ended = time.monotonic()
        worked = _schedule(self._server)[0] - self._worked
        queued = _schedule(_SELF)[1] - self._queued
        print(self._began, ended, worked, queued, sort, outcome, flush=True)


def _schedule(statistics: Path) -> tuple[float, float]:
    """Return a process's seconds on a CPU and in wait for one (Linux, sched-stats)."""
    on_cpu, in_queue, _ = statistics.read_text().split()
    return int(on_cpu) / 1e9, int(in_queue) / 1e9


def main(port: int, server: int) -> None:
    """Call until killed."""
    watch = Watch(server)
    kept = Attacker(port, patience=_PATIENCE)
    pause = threading.Event()
    stream_id = 1
    while True:
        watch.start()
        watch.tell("kept", _ask(kept, stream_id))
        stream_id += 2
        if kept.closed:
            kept = Attacker(port, patience=_PATIENCE)
            stream_id = 1
        watch.start()
        try:
            with Attacker(port, patience=_PATIENCE) as fresh:
                outcome = _ask(fresh, 1)
        except OSError as error:
            outcome = str(error)
        watch.tell("fresh", outcome)
        pause.wait(_PAUSE)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
