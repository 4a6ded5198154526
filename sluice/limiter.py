"""The rate limiter as commands reach it: descriptors as typed, calls, and what failures mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import grpc

from sluice.outcome import CannotReach, OperatorError, WrongUsage
from wire.envoy.extensions.common.ratelimit.v3.ratelimit_pb2 import RateLimitDescriptor
from wire.sluice.ratelimit.v1 import ratelimit_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

# A person waits; a service that needs longer is as good as away.
PATIENCE_SECONDS: Final = 5.0
_AWAY: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


def descriptors_of(texts: Iterable[str], hits: int) -> list[RateLimitDescriptor]:
    """Return a descriptor for each `key=value[,key=value]...`; WrongUsage for what is none."""
    found = []
    for text in texts:
        descriptor = RateLimitDescriptor()
        descriptor.hits_addend.value = hits
        for pair in text.split(","):
            key, equals, value = pair.partition("=")
            if not equals or not key:
                raise WrongUsage(f"'{text}' is not a descriptor; write key=value[,key=value]...")
            descriptor.entries.add(key=key, value=value)
        found.append(descriptor)
    return found


def call(target: str, what: Callable[[grpc.Channel], T]) -> T:
    """Return what the calls of `what` on a channel to `target` (host:port) give.

    Raises CannotReach where nobody answers, OperatorError where a call is refused.
    """
    with grpc.insecure_channel(target) as channel:
        try:
            return what(channel)
        except grpc.RpcError as error:
            code, details = error.code(), error.details()
    if code in _AWAY:
        raise CannotReach(f"{target} does not answer ({details}); is `sluice up` running?")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        raise OperatorError(
            f"{target} has no such call ({details}); name the right port with --address"
        )
    raise OperatorError(f"{target} refused the call: {code.name}: {details}")


def allowance(limit: int, unit: str, multiplier: int = 1) -> str:
    """Return a limit in words: `5 a minute`, `100 per 5 minutes`."""
    unit = unit.removeprefix("UNIT_").lower()
    if multiplier > 1:
        return f"{limit} per {multiplier} {unit}s"
    return f"{limit} {'an' if unit == 'hour' else 'a'} {unit}"


def says_the_same(match: pb.Match, limit: int, unit: str, name: str) -> bool:
    """Return whether a limit of Explain is the one that an answer names."""
    found = pb.Unit.Name(match.unit).removeprefix("UNIT_")
    return (match.limit, found, match.name) == (limit, unit, name)
