"""What the supervisor says: results on stdout, what happens meanwhile on stderr.

It writes to the descriptors themselves and never waits on stderr. A supervisor that blocks because
nobody reads its notes (a full pipe, a terminal held with Ctrl-S) would stop supervising.
"""

from __future__ import annotations

import os
import select
from typing import Final

from sluice.outcome import OperatorError

# How long a line on stdout may wait for its reader: these lines are the result, so they are worth
# a wait, but not for ever.
_PATIENCE_MS: Final = 5000


class ReaderGoneError(Exception):
    """Nobody reads stdout any more; whoever started us has left."""


class Voice:
    """Two outputs, a line at a time."""

    def __init__(self, *, out: int = 1, err: int = 2) -> None:
        self._out = out
        self._err = err

    def say(self, line: str) -> None:
        """Write a line to stdout.

        Raises ReaderGoneError when its reader has left, which is a wish to stop, and OperatorError
        when the line cannot be written for any other reason, which is a failure.
        """
        try:
            written = _write(self._out, line, patience_ms=_PATIENCE_MS)
        except BrokenPipeError as error:
            raise ReaderGoneError from error
        except OSError as error:
            raise OperatorError(
                f"stdout cannot be written ({error.strerror}): direct it elsewhere"
            ) from error
        if not written:
            raise OperatorError(
                f"nobody has read stdout for {_PATIENCE_MS / 1000:g} s: read it, or close it"
            )

    def note(self, line: str) -> None:
        """Write a line to stderr, or drop it when it would block or nobody reads it."""
        try:
            _write(self._err, line, patience_ms=0)
        except OSError:
            # The mesh runs on without an audience, as it does behind nohup.
            return


def _write(descriptor: int, line: str, *, patience_ms: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    if not poll.poll(patience_ms):
        return False
    # A pipe that is ready has room for at least PIPE_BUF (4,096) bytes, and our lines are shorter;
    # a longer one (a failing part's last words) may wait for its reader.
    os.write(descriptor, f"{line}\n".encode())
    return True
