"""Start a part so that it dies with the supervisor, however that ends.

Run as a script, `python -I -S tether.py SUPERVISOR_PID PROGRAM ARGUMENT...`, with the standard
library alone: it asks the kernel for a SIGKILL when its parent dies, makes sure the parent is
still there, and becomes the program. The request survives the exec. SIGKILL, because it is also
answered by a part that ignores SIGTERM, hangs or is stopped; the parts lose nothing by it (Valkey
has written its log to the kernel before it answers).

Two things it cannot do, which `guardian.py` does: reach processes that the part itself started,
and work on systems other than Linux.

The kernel watches the THREAD that started us, not its process: the supervisor starts parts from
its main thread only.
"""

from __future__ import annotations

import os
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_SIGKILL = 9

# What a shell answers for a program that is there but cannot be run.
_CANNOT_RUN = 126


def main() -> None:
    """Become the program, tied to the parent."""
    supervisor, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        _die_with_parent()
    if os.getppid() != supervisor:
        # It ended before the kernel was asked, so nobody would ever end us.
        sys.exit(_CANNOT_RUN)
    try:
        os.execv(program[0], program)  # noqa: S606  becoming that program is what this is for
    except OSError as error:
        sys.exit(f"{program[0]} cannot be run: {error.strerror}")


def _die_with_parent() -> None:
    import ctypes  # noqa: PLC0415  other systems may have Python without it

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"the kernel refuses PR_SET_PDEATHSIG: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
