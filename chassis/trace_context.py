"""Trace contexts in request headers: W3C Trace Context and B3, from bytes, before anything is made.

Whether a call is sampled is known from a few bytes of its headers, and for most calls the answer
is no. Sources: https://www.w3.org/TR/trace-context/ and https://github.com/openzipkin/b3-propagation
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

# version "-" trace-id "-" parent-id "-" trace-flags; later versions may go on after a dash.
_TRACEPARENT: Final = re.compile(
    rb"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-"
    rb"(?P<flags>[0-9a-f]{2})(?P<rest>-.*)?"
)
_B3: Final = re.compile(
    rb"(?P<trace>(?:[0-9a-f]{16}){1,2})-(?P<span>[0-9a-f]{16})"
    rb"(?:-(?P<state>[01d])(?:-[0-9a-f]{16})?)?"
)
_B3_ID: Final = re.compile(rb"[0-9a-f]{16}")
_B3_TRACE: Final = re.compile(rb"(?:[0-9a-f]{16}){1,2}")
_B3_STATES: Final = {b"1": True, b"d": True, b"true": True, b"0": False, b"false": False}
_ODD: Final = b"13579bdf"
_B3_NAMES: Final = frozenset(
    {b"b3", b"x-b3-traceid", b"x-b3-spanid", b"x-b3-sampled", b"x-b3-flags"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Parent:
    """What a caller says of its trace. `trace_id` 0: it names none.

    `sampled` None: it leaves the decision to us. `state` is the value of `tracestate`.
    """

    trace_id: int = 0
    span_id: int = 0
    sampled: bool | None = None
    state: str = ""


NO_PARENT: Final = Parent()
UNSAMPLED: Final = Parent(sampled=False)


def read_parent(fields: Sequence[tuple[bytes, bytes]]) -> Parent:
    """Return what request fields say; `traceparent` wins, what is malformed says nothing."""
    for name, value in fields:
        if name == b"traceparent":
            # Nearly all there are: known version, not sampled, and the ids of no interest.
            if len(value) == 55 and value[54] not in _ODD and value[:3] == b"00-":
                return UNSAMPLED
            parent = _from_traceparent(value, fields)
            if parent is not None:
                return parent
    b3 = {name: value for name, value in fields if name in _B3_NAMES}
    return _from_b3(b3) if b3 else NO_PARENT


def _from_traceparent(value: bytes, fields: Sequence[tuple[bytes, bytes]]) -> Parent | None:
    found = _TRACEPARENT.fullmatch(value)
    if found is None or found["version"] == b"ff" or (found["version"] == b"00" and found["rest"]):
        return None
    trace, span = int(found["trace"], 16), int(found["span"], 16)
    if not trace or not span:
        return None
    state = b",".join(value for name, value in fields if name == b"tracestate")
    return Parent(
        trace_id=trace,
        span_id=span,
        sampled=bool(int(found["flags"], 16) & 1),
        state=state.decode("latin-1"),
    )


def _from_b3(fields: dict[bytes, bytes]) -> Parent:
    single = fields.get(b"b3")
    if single is not None:
        if single in _B3_STATES:
            return Parent(sampled=_B3_STATES[single])
        found = _B3.fullmatch(single)
        if found is None:
            return NO_PARENT
        return _b3_parent(found["trace"], found["span"], _B3_STATES.get(found["state"] or b""))
    sampled = _B3_STATES.get(fields.get(b"x-b3-sampled", b"").lower())
    if fields.get(b"x-b3-flags") == b"1":
        sampled = True  # "debug": whoever asks by hand wants to see it
    return _b3_parent(fields.get(b"x-b3-traceid", b""), fields.get(b"x-b3-spanid", b""), sampled)


def _b3_parent(trace: bytes, span: bytes, sampled: bool | None) -> Parent:  # noqa: FBT001  private, and named where it is read
    if not (_B3_TRACE.fullmatch(trace) and _B3_ID.fullmatch(span)):
        return Parent(sampled=sampled)
    trace_id, span_id = int(trace, 16), int(span, 16)
    if not trace_id or not span_id:
        return Parent(sampled=sampled)
    return Parent(trace_id=trace_id, span_id=span_id, sampled=sampled)
