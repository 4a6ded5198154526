"""RateLimitRequest bytes <-> the core's values (envoy/service/ratelimit/v3/rls.proto).

Requests are parsed by protobuf, once for all that have the same bytes (memo.py). Answers are flat,
so they are written by hand, in a quarter of the time protobuf's objects take; tests hold them
against protobuf.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from chassis.errors import FieldViolation, InvalidRequest
from ratelimit_service.core.descriptor import Descriptor
from ratelimit_service.core.limit import Limit, Unit
from wire.envoy.service.ratelimit.v3 import rls_pb2

if TYPE_CHECKING:
    from ratelimit_service.core.verdict import Status, Verdict
    from wire.envoy.extensions.common.ratelimit.v3 import ratelimit_pb2

MAX_DESCRIPTORS = 100  # Envoy sends one for each rate-limit action of a route: a handful
MAX_ENTRIES = 100  # a descriptor's entries, for the same reason
_UINT32_MAX = 2**32 - 1
_MICROSECONDS = 1_000_000


def decode(request: bytes) -> tuple[str, tuple[Descriptor, ...]]:
    """Return domain and descriptors; raise InvalidRequest naming what to send instead."""
    try:
        message = rls_pb2.RateLimitRequest.FromString(request)
    except DecodeError as error:
        raise InvalidRequest(
            "the message is not an envoy.service.ratelimit.v3.RateLimitRequest"
        ) from error
    if not message.domain:
        raise _wrong("domain", "rate limit domain must not be empty")
    if not message.descriptors:
        raise _wrong("descriptors", "rate limit descriptor list must not be empty")
    if len(message.descriptors) > MAX_DESCRIPTORS:
        raise _wrong("descriptors", f"more than {MAX_DESCRIPTORS} descriptors in one request")
    # Per request 0 means "not given", so 1; per descriptor a present 0 means "only look".
    hits = max(1, message.hits_addend)
    return message.domain, tuple(
        descriptor_of(descriptor, hits, f"descriptors[{index}]")
        for index, descriptor in enumerate(message.descriptors)
    )


def descriptor_of(
    message: ratelimit_pb2.RateLimitDescriptor, request_hits: int, field: str
) -> Descriptor:
    """Return a descriptor's value; `request_hits` count where it says none, `field` is its name."""
    if len(message.entries) > MAX_ENTRIES:
        raise _wrong(f"{field}.entries", f"more than {MAX_ENTRIES} entries in one descriptor")
    hits = message.hits_addend.value if message.HasField("hits_addend") else request_hits
    override = None
    if message.HasField("limit"):
        # type.v3.RateLimitUnit and the response's own enum number their units alike.
        try:
            unit = Unit(message.limit.unit)
        except ValueError as error:
            raise _wrong(
                f"{field}.limit.unit", "invalid rate limit unit; send SECOND to YEAR"
            ) from error
        override = Limit(requests_per_unit=message.limit.requests_per_unit, unit=unit)
    return Descriptor(
        entries=tuple((entry.key, entry.value) for entry in message.entries),
        hits=-hits if message.is_negative_hits else hits,
        override=override,
    )


def _wrong(field: str, description: str) -> InvalidRequest:
    # Without the field's name in front: the first two texts are the reference's.
    violation = FieldViolation(field=field, description=description)
    return InvalidRequest(description, violations=(violation,))


def encode(verdict: Verdict) -> bytes:
    """Return the RateLimitResponse of `verdict`."""
    answer = b"\x08\x02" if verdict.over else b"\x08\x01"
    for status in verdict.statuses:
        body = _status(status)
        answer += b"\x12" + _varint(len(body)) + body
    return answer


def _status(status: Status) -> bytes:
    body = b"\x08\x02" if status.over else b"\x08\x01"
    remaining, limit = min(_UINT32_MAX, status.remaining), status.limit
    if limit is None:
        return body + b"\x18" + _varint(remaining) if remaining else body
    body += _current_limit(limit)
    if remaining:
        body += b"\x18" + _varint(remaining)
    seconds, microseconds = divmod(status.reset_us, _MICROSECONDS)
    duration = b"\x08" + _varint(seconds) if seconds else b""
    if microseconds:
        duration += b"\x10" + _varint(microseconds * 1000)
    return body + b"\x22" + _SHORT[len(duration)] + duration


@lru_cache(maxsize=4096)  # one a rule; overrides may bring more
def _current_limit(limit: Limit) -> bytes:
    message = rls_pb2.RateLimitResponse.RateLimit(
        requests_per_unit=limit.requests_per_unit, unit=limit.unit.name, name=limit.name
    )
    body = message.SerializeToString()
    return b"\x12" + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    """Return `value`, at least 0, as protobuf writes it; a loop takes twice as long."""
    if value < 0x4000:
        return _SHORT[value]
    low, middle, high = value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14 & 0x7F
    if value < 0x20_0000:
        return bytes((low, middle, high))
    if value < 0x1000_0000:
        return bytes((low, middle, high | 0x80, value >> 21))
    return bytes((low, middle, high | 0x80, value >> 21 & 0x7F | 0x80)) + _varint(value >> 28)


# Lengths, remaining hits and seconds are mostly below 16,384; the table takes 0.6 MiB.
_SHORT = [bytes([value]) for value in range(0x80)]
_SHORT += [bytes([value & 0x7F | 0x80, value >> 7]) for value in range(0x80, 0x4000)]
