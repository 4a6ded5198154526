"""RateLimitRequest bytes <-> the core's values (envoy/service/ratelimit/v3/rls.proto).

Requests are parsed by protobuf, once for all that have the same bytes (memo.py). Answers are flat,
so they are written by hand, in a quarter of the time protobuf's objects take; tests hold them
against protobuf.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from chassis.errors import FieldViolation, InvalidRequest
from ratelimit_service.core.descriptor import Descriptor
from ratelimit_service.core.limit import Limit, Unit
from wire.envoy.service.ratelimit.v3 import rls_pb2

if TYPE_CHECKING:
    from ratelimit_service.core.descriptor import Entries
    from ratelimit_service.core.verdict import Status, Verdict
    from wire.envoy.extensions.common.ratelimit.v3 import ratelimit_pb2

MAX_DESCRIPTORS = 100  # Envoy sends one for each rate-limit action of a route: a handful
MAX_ENTRIES = 100  # a descriptor's entries, for the same reason
_UINT32_MAX = 2**32 - 1
_MICROSECONDS = 1_000_000

# The tags of a plain request, of a descriptor and of an entry in it.
_DOMAIN, _DESCRIPTOR = 0x0A, 0x12
_ENTRY, _KEY, _VALUE = 0x0A, 0x0A, 0x12
_SHORTEST = 10  # one letter of domain, key and value each is twelve bytes
_PLAIN_BYTES = 128  # so that every length is one byte: a longer one's first is above 127


def decode(request: bytes) -> tuple[str, tuple[Descriptor, ...]]:
    """Return domain and descriptors; raise InvalidRequest naming what to send instead."""
    plain = _plain(request)
    if plain is not None:
        return plain
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


def _plain(request: bytes) -> tuple[str, tuple[Descriptor, ...]] | None:
    """Read what most requests are: a domain and one descriptor of short keys and values.

    None for anything else. A third of what protobuf's objects take, and a client that is seen for
    the first time pays it.
    """
    size = len(request)
    if not _SHORTEST <= size <= _PLAIN_BYTES or request[0] != _DOMAIN:
        return None
    at = 2 + request[1]
    # The descriptor is the last field, so its length is the rest of the request.
    if not 2 < at < size - 1 or request[at] != _DESCRIPTOR or at + 2 + request[at + 1] != size:
        return None
    try:
        domain = request[2:at].decode()
        entries = _entries(request, at + 2)
    except (IndexError, UnicodeDecodeError):
        return None
    return None if entries is None else (domain, (Descriptor(entries=entries),))


def _entries(request: bytes, at: int) -> Entries | None:
    """Read entries of a key and a value each, from `at` to the end; None for anything else."""
    entries = []
    while at < len(request):
        end = at + 2 + request[at + 1]
        middle = at + 4 + request[at + 3]
        if request[at] != _ENTRY or request[at + 2] != _KEY or request[middle] != _VALUE:
            return None
        if middle + 2 + request[middle + 1] != end or end > len(request):
            return None
        entries.append((request[at + 4 : middle].decode(), request[middle + 2 : end].decode()))
        at = end
    return tuple(entries)


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


def _current_limit(limit: Limit) -> bytes:
    known = _LIMITS.get(id(limit))
    if known is not None and known[0] is limit:
        return known[1]
    message = rls_pb2.RateLimitResponse.RateLimit(
        requests_per_unit=limit.requests_per_unit, unit=limit.unit.name, name=limit.name
    )
    body = message.SerializeToString()
    wire = b"\x12" + _varint(len(body)) + body
    if len(_LIMITS) >= _MAX_LIMITS:
        _LIMITS.clear()
    _LIMITS[id(limit)] = (limit, wire)
    return wire


def _varint(value: int) -> bytes:
    """Return `value`, at least 0, as protobuf writes it; a loop takes four times as long."""
    if value < 0x4000:
        return _SHORT[value]
    if value < 0x1000_0000:
        return _MORE[value & 0x3FFF] + _SHORT[value >> 14]
    return _MORE[value & 0x3FFF] + _MORE[value >> 14 & 0x3FFF] + _varint(value >> 28)


# Lengths, remaining hits and seconds are mostly below 16,384. `_MORE` are fourteen bits that others
# follow. The tables take 0.6 MiB each.
_SHORT = [bytes([value]) for value in range(0x80)]
_SHORT += [bytes([value & 0x7F | 0x80, value >> 7]) for value in range(0x80, 0x4000)]
_MORE = [bytes([value & 0x7F | 0x80, value >> 7 | 0x80]) for value in range(0x4000)]

# Limits as they go into answers, by their identity: to hash one takes longer than all the rest.
# One a rule; overrides may bring more.
_LIMITS: dict[int, tuple[Limit, bytes]] = {}
_MAX_LIMITS = 4096
