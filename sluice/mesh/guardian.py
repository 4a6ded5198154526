"""Outlive the supervisor for the few seconds it takes to end what it left behind.

Run as a script, `python -I -S guardian.py [FOLDER]`, with the standard library alone. Its stdin is
a pipe that only the supervisor holds open. The supervisor writes `+123` when it started the
process group 123 and `-123` when that ended; when the pipe ends, whatever the reason, the guardian
ends every group that is left and removes FOLDER, the temporary state of the run.

It holds the lock of the state folder too (inherited), so that the next run on that folder starts
only when the last part of this one has let go of it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time

# The promise is that every part ends within ten seconds of the supervisor. Half of it goes to
# parts that end in good order, and on a machine that is busy the rest is needed.
_GRACE_SECONDS = 4.0
_KILL_SECONDS = 2.0
_LOOK_SECONDS = 0.05


def main() -> None:
    """Listen until the supervisor is gone, then clean up after it."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Meant for the supervisor. This process ends with the pipe, and only then.
        signal.signal(ignored, signal.SIG_IGN)
    groups = _listen()
    _send(groups, signal.SIGTERM)
    _send(groups, signal.SIGCONT)  # a stopped process gets the SIGTERM only when it goes on
    if not _ended_within(groups, _GRACE_SECONDS):
        _send(groups, signal.SIGKILL)
        _ended_within(groups, _KILL_SECONDS)
    for folder in sys.argv[1:]:
        shutil.rmtree(folder, ignore_errors=True)


def _listen() -> set[int]:
    groups: set[int] = set()
    for line in sys.stdin:
        if line.endswith("\n"):  # a line cut off by the supervisor's death names no group
            change = groups.add if line[0] == "+" else groups.discard
            change(int(line[1:]))
    return groups


def _send(groups: set[int], number: int) -> None:
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def _ended_within(groups: set[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(_lives(group) for group in groups):
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # macOS answers so for a group of which only zombies are left.
        return False
    return True


if __name__ == "__main__":
    main()
