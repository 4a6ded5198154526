"""The one error tree of Sluice, so that what went wrong is said once and told to everybody alike.

    Exception
    |-- SluiceError             a call failed and the caller is told why
    |   |-- InvalidRequest      the request can never be right; `violations` name the fields
    |   |-- Unauthenticated     no or bad credentials
    |   |-- PermissionDenied    known, but not allowed
    |   |-- NotFound            the named thing is not there
    |   |-- AlreadyExists       the named thing is there already, and differs
    |   |-- Conflict            somebody else was first; read again, then retry
    |   |-- FailedPrecondition  the state forbids it; retrying alone does not help
    |   |-- Exhausted           a limit of ours is reached; retry later
    |   |-- Unavailable         a part we need is away; retry later
    |   `-- DeadlineExceeded    the caller's time ran out first
    |-- OperatorError           the process cannot start or go on; the operator is told
    |   |-- ConfigError         files with mistakes, every one as file:line:column: message
    |   |-- SettingsError       environment variables with mistakes (chassis/settings.py)
    |   `-- ListenError         a port or socket that cannot be had (chassis/listen.py)
    `-- RedisReplyError         Redis calls a command wrong (chassis/redis_replies.py): a bug,
                                unless the storage that sent it expects it

`chassis/status.py` holds the one table from the classes under SluiceError to gRPC codes.

What is raised beside SluiceError and OperatorError is a bug: callers see INTERNAL.
This module is the only one of the chassis that the pure `core` rooms import: standard library only.
"""

# ruff: noqa: N818  A caller reads `raise NotFound(...)`; an Error suffix on each would add nothing.
from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NO_METADATA: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldViolation:
    """One wrong field of a request, as `google.rpc.BadRequest.FieldViolation` carries it.

    `field` is the path as the client writes it (`descriptors[2].entries[0].key`),
    `description` says what is wrong and what to send instead.
    """

    field: str
    description: str


class SluiceError(Exception):
    """A call failed for a reason the caller should know.

    `message` is one sentence for a person, `reason` an UPPER_SNAKE_CASE word for a program (it
    becomes `ErrorInfo.reason`), `metadata` what a program needs besides, `violations` the fields.
    """

    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] = _NO_METADATA,
        violations: tuple[FieldViolation, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = metadata
        self.violations = violations


class InvalidRequest(SluiceError):
    """The request is wrong in itself; sending it again gives the same answer."""

    default_reason = "INVALID_REQUEST"

    @classmethod
    def field(cls, field: str, description: str, *, reason: str | None = None) -> InvalidRequest:
        """One wrong field: the message reads `field: description`."""
        violation = FieldViolation(field=field, description=description)
        return cls(f"{field}: {description}", reason=reason, violations=(violation,))


class Unauthenticated(SluiceError):
    """The caller gave no credentials, or bad ones."""

    default_reason = "UNAUTHENTICATED"


class PermissionDenied(SluiceError):
    """The caller is known and may not do this."""

    default_reason = "PERMISSION_DENIED"


class NotFound(SluiceError):
    """The named thing does not exist."""

    default_reason = "NOT_FOUND"


class AlreadyExists(SluiceError):
    """The named thing exists already and is not the same."""

    default_reason = "ALREADY_EXISTS"


class Conflict(SluiceError):
    """A concurrent change won; the caller reads again and retries (ABORTED on the wire)."""

    default_reason = "CONFLICT"


class FailedPrecondition(SluiceError):
    """The system is in a state that forbids this, until somebody changes that state."""

    default_reason = "FAILED_PRECONDITION"


class Exhausted(SluiceError):
    """A limit of ours is reached: a queue is full, a quota used up (RESOURCE_EXHAUSTED)."""

    default_reason = "EXHAUSTED"


class Unavailable(SluiceError):
    """A part we depend on does not answer; the call may be tried again later."""

    default_reason = "UNAVAILABLE"


class DeadlineExceeded(SluiceError):
    """The caller's deadline passed before there was an answer."""

    default_reason = "DEADLINE_EXCEEDED"


class OperatorError(Exception):
    """The process cannot start or go on until the operator changes something.

    The text is shown as it is, without a traceback, so it is whole sentences that say what to do.
    `exit_code` is what the process then exits with.
    """

    exit_code: ClassVar[int] = 1


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Problem:
    """One mistake in a file. `line` and `column` count from 1; 0 means the whole file or line."""

    file: str
    line: int = 0
    column: int = 0
    message: str

    def __str__(self) -> str:
        """`file:line:column: message`, the form editors and CI make clickable."""
        place = [self.file]
        if self.line:
            place.append(str(self.line))
            if self.column:
                place.append(str(self.column))
        return ":".join(place) + ": " + self.message


class ConfigError(OperatorError):
    """Configuration files that cannot be used: all their problems at once, in the order given."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
