"""How a command ends: its exit code, and the errors that carry one.

Whatever stops a command is an `OperatorError`: whole sentences that say what to do, and the exit
code. `sluice.cli.main` prints the sentences and exits; nothing else in the package calls exit.
"""

# ruff: noqa: N818  named like the errors of chassis.errors that they stand beside
from __future__ import annotations

from enum import IntEnum

from chassis.errors import OperatorError

__all__ = ["CannotReach", "ExitCode", "OperatorError", "WrongUsage"]


class ExitCode(IntEnum):
    """The exit codes every command promises; 130 is the shell's own for Ctrl-C before any work."""

    OK = 0
    PROBLEMS = 1
    USAGE = 2
    CANNOT_REACH = 3
    INTERRUPTED = 130


class WrongUsage(OperatorError):
    """The command line or the environment asks for something that cannot be."""

    exit_code = ExitCode.USAGE


class CannotReach(OperatorError):
    """Something the command needs does not answer."""

    exit_code = ExitCode.CANNOT_REACH
