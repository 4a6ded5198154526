"""What a case is made of, and the short words its table is written in.

`$` in a value stands for a text that is new in every run of a case, so that a live server can be
asked again and again and no run meets the counters of another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, TypeAlias

import grpc

FRESH: Final = "$"
DOMAIN: Final = "conformance"


class Profile(Enum):
    """Who has to pass a case."""

    CONTRACT = "contract"  # every server of the API with rules in the reference's YAML
    REFERENCE = "reference"  # a server that counts as envoyproxy/ratelimit does
    EXACT = "exact"  # a server that does better: where the reference over- or undercharges


class Need(Enum):
    """What a target must have been started with for a case to make sense."""

    HEADERS = "headers"  # LIMIT_RESPONSE_HEADERS_ENABLED=true
    METADATA = "metadata"  # RESPONSE_DYNAMIC_METADATA=true
    STORE = "store"  # its Redis is at hand, and quiet


@dataclass(frozen=True, kw_only=True, slots=True)
class Descriptor:
    """One descriptor; `limit` overrides the rule with (requests per unit, unit number)."""

    entries: tuple[tuple[str, str], ...]
    hits: int | None = None
    negative: bool = False
    limit: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Seconds:
    """A time that is more than `above` and at most `most` seconds; `whole`: without a fraction."""

    above: float
    most: float
    whole: bool = False


@dataclass(frozen=True, slots=True)
class WindowEnd:
    """The time until the next multiple of `unit` seconds since the epoch, give or take two."""

    unit: int


Reset: TypeAlias = Seconds | WindowEnd


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """What is expected of one descriptor's status.

    `limit`: (requests per unit, unit name, name), with a time until reset; None: neither.
    `remaining` or `reset` None: whatever it says.
    """

    over: bool = False
    limit: tuple[int, str, str] | None = None
    remaining: int | None = None
    reset: Reset | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What is expected of a response. `statuses` None: whatever they say.

    `headers`: names in lower case and values, "" for any number; (): none at all.
    `metadata`: what dynamic_metadata must hold at a dotted path; None: must not be there.
    """

    over: bool = False
    statuses: tuple[Status, ...] | None = None
    headers: tuple[tuple[str, str], ...] | None = None
    metadata: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """What is expected of an error: one of the codes; `text` None: whatever it says."""

    codes: tuple[grpc.StatusCode, ...]
    text: str | None = None


class Whatever(Enum):
    """An answer or an error, as long as one comes."""

    COMES = "comes"


Expected: TypeAlias = Answer | Refusal | Whatever


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """Send one request `times` times, each expecting the same. `raw` is sent as it is instead."""

    descriptors: tuple[Descriptor, ...] = ()
    expected: Expected
    domain: str = DOMAIN
    hits: int = 0
    times: int = 1
    raw: bytes | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Crowd:
    """Send one request from `callers` callers at once; exactly `admitted` of them must pass."""

    descriptor: Descriptor
    callers: int
    admitted: int


@dataclass(frozen=True, slots=True)
class WaitReset:
    """Wait as long as the last answer's longest duration_until_reset says, at most 5 seconds."""


@dataclass(frozen=True, slots=True)
class WaitFraction:
    """Wait until the clock is that far into its second: 0.8 is 200 ms before the next begins."""

    fraction: float


@dataclass(frozen=True, slots=True)
class Health:
    """Ask grpc.health.v1 about a service; `serving` False: it does not know that name."""

    service: str
    serving: bool = True


@dataclass(frozen=True, slots=True)
class KeysKept:
    """The store must hold as many keys as when the case began."""


Step: TypeAlias = Ask | Crowd | WaitReset | WaitFraction | Health | KeysKept


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One story.

    `source` is where the rule stands: a field of rls.proto, file:line of envoyproxy/ratelimit at
    f2fb157, or what Envoy 1.40 was measured to do. `window_seconds`: where limits count in fixed
    windows, a case during which a window of that length ends is run again. `deadly`: a server
    without a check may end, so it comes last.
    """

    name: str
    group: str
    source: str
    steps: tuple[Step, ...]
    profile: Profile = Profile.CONTRACT
    need: Need | None = None
    window_seconds: int = 3600
    deadly: bool = False

    @property
    def story(self) -> str:
        """The name as a sentence."""
        return self.name.replace("_", " ")


def cases(group: str, *rows: Case) -> tuple[Case, ...]:
    """Return the rows as cases of `group`."""
    return tuple(replace(row, group=group) for row in rows)


def case(
    name: str, source: str, *steps: Step, profile: Profile = Profile.CONTRACT,
    need: Need | None = None, window_seconds: int = 3600, deadly: bool = False,
) -> Case:  # fmt: skip
    """Return a row of a table; `cases` says which group it belongs to."""
    return Case(
        name=name, group="", source=source, steps=steps, profile=profile, need=need,
        window_seconds=window_seconds, deadly=deadly,
    )  # fmt: skip


def exact(name: str, source: str, *steps: Step, need: Need | None = None,
          window_seconds: int = 3600, deadly: bool = False) -> Case:  # fmt: skip
    """Return a row that only a server better than the reference passes."""
    return case(
        name, source, *steps, profile=Profile.EXACT, need=need, window_seconds=window_seconds,
        deadly=deadly,
    )  # fmt: skip


def reference(name: str, source: str, *steps: Step, window_seconds: int = 3600) -> Case:
    """Return a row that a server which counts as the reference does passes."""
    return case(name, source, *steps, profile=Profile.REFERENCE, window_seconds=window_seconds)


def top(*entries: tuple[str, str], hits: int | None = None, negative: bool = False,
        limit: tuple[int, int] | None = None) -> Descriptor:  # fmt: skip
    """Return a descriptor of just these entries."""
    return Descriptor(entries=entries, hits=hits, negative=negative, limit=limit)


def at(*entries: tuple[str, str], hits: int | None = None, negative: bool = False,
       limit: tuple[int, int] | None = None) -> Descriptor:  # fmt: skip
    """Return a descriptor below `run: $`, under which every rule counts anew for each run."""
    return top(("run", FRESH), *entries, hits=hits, negative=negative, limit=limit)


def ask(*descriptors: Descriptor, gives: Expected | Status, hits: int = 0, times: int = 1,
        domain: str = DOMAIN) -> Ask:  # fmt: skip
    """Return the step; a Status alone expects just that one, and the overall code to agree."""
    expected = gives
    if isinstance(expected, Status):
        expected = Answer(over=expected.over, statuses=(expected,))
    return Ask(descriptors=descriptors, expected=expected, domain=domain, hits=hits, times=times)


def answer(*statuses: Status, over: bool = False, headers: dict[str, str] | None = None,
           metadata: dict[str, object] | None = None) -> Answer:  # fmt: skip
    """Return what is expected of a response."""
    return Answer(
        over=over,
        statuses=statuses or None,
        headers=None if headers is None else tuple(headers.items()),
        metadata=tuple((metadata or {}).items()),
    )


# A limit that nothing was taken from has no time to wait; no unit is longer than a year.
ANY_RESET: Final = Seconds(-1, 366 * 86_400)


def ok(requests: int, unit: str, remaining: int | None = None, *, name: str = "",
       reset: Reset = ANY_RESET) -> Status:  # fmt: skip
    """Return the status of a descriptor within its limit."""
    return Status(limit=(requests, unit, name), remaining=remaining, reset=reset)


def over(requests: int, unit: str, remaining: int | None = 0, *, name: str = "",
         reset: Reset = ANY_RESET) -> Status:  # fmt: skip
    """Return the status of a descriptor over its limit."""
    return Status(over=True, limit=(requests, unit, name), remaining=remaining, reset=reset)


UNLIMITED: Final = Status(remaining=2**32 - 1)
FREE: Final = Status(remaining=0)  # no rule, or one that is replaced
EITHER_INVALID: Final = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INVALID_ARGUMENT)
