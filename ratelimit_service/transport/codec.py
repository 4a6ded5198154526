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
    from ratelimit_service.core.verdict import Verdict
    from wire.envoy.extensions.common.ratelimit.v3 import ratelimit_pb2

MAX_DESCRIPTORS = 100  # Envoy sends one for each rate-limit action of a route: a handful
MAX_ENTRIES = 100  # a descriptor's entries, for the same reason
_UINT32_MAX = 2**32 - 1
_MICROSECONDS = 1_000_000
_OK, _OVER = b"\x08\x01", b"\x08\x02"  # the codes, of an answer as of a status

# The tags of a plain request, of a descriptor and of an entry in it.
_DOMAIN, _DESCRIPTOR = 0x0A, 0x12
_ENTRY, _KEY, _VALUE = 0x0A, 0x0A, 0x12
_SHORTEST = 10  # one letter of domain, key and value each is twelve bytes
_PLAIN_BYTES = 128  # so that every length is one byte: a longer one's first is above 127


def decode(request: bytes) -> tuple[str, tuple[Descriptor, ...]]:
    """Return domain and descriptors; raise InvalidRequest naming what to send instead."""
    known = plain(request)
    if known is not None:
        return known
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


def plain(request: bytes) -> tuple[str, tuple[Descriptor, ...]] | None:
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


def last_value_of(request: bytes) -> int:
    """Return where the last value of a plain request begins, 0 where there is no telling.

    Of any other request some number comes out. But if what is before it is the beginning of a plain
    request whose last value begins there, tags and lengths are those of that one.
    """
    size = len(request)
    if not _SHORTEST <= size <= _PLAIN_BYTES:
        return 0
    try:
        at = request[1] + 4
        while True:
            end = at + 2 + request[at + 1]
            if end >= size:
                return at + 6 + request[at + 3]
            at = end
    except IndexError:
        return 0


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
    """Return the RateLimitResponse of `verdict`.

    One function and one join: a function and a join a status took half as long again.
    """
    parts = [_OVER if verdict.over else _OK]
    for status in verdict.statuses:
        remaining, limit = status.remaining, status.limit
        left = whole = part = b""
        if remaining:
            left = _SHORT[remaining] if remaining < _LONG else _varint(min(_UINT32_MAX, remaining))
            left = b"\x18" + left
        if limit is None:
            parts += (b"\x12", _SHORT[2 + len(left)], _OVER if status.over else _OK, left)
            continue
        known = _LIMITS.get(id(limit))
        if known is None or known[0] is not limit:
            known = _learned(limit)
        head = known[2] if status.over else known[1]
        seconds = status.reset_us // _MICROSECONDS
        nanoseconds = (status.reset_us - seconds * _MICROSECONDS) * 1000
        if seconds:
            whole = b"\x08" + (_SHORT[seconds] if seconds < _LONG else _varint(seconds))
        if nanoseconds >= _LONG:
            part = b"\x10" + _MORE[nanoseconds & 0x3FFF] + _varint(nanoseconds >> 14)
        elif nanoseconds:
            part = b"\x10" + _SHORT[nanoseconds]
        span = len(whole) + len(part)
        size = len(head) + len(left) + 2 + span
        length = _SHORT[size] if size < _LONG else _varint(size)
        parts += (b"\x12", length, head, left, b"\x22", _SHORT[span], whole, part)
    return b"".join(parts)


def _learned(limit: Limit) -> tuple[Limit, bytes, bytes]:
    message = rls_pb2.RateLimitResponse.RateLimit(
        requests_per_unit=limit.requests_per_unit, unit=limit.unit.name, name=limit.name
    )
    body = message.SerializeToString()
    wire = b"\x12" + _varint(len(body)) + body
    if len(_LIMITS) >= _MAX_LIMITS:
        _LIMITS.clear()
    known = _LIMITS[id(limit)] = (limit, _OK + wire, _OVER + wire)
    return known


def _varint(value: int) -> bytes:
    """Return `value`, at least 0, as protobuf writes it; a loop takes four times as long."""
    if value < _LONG:
        return _SHORT[value]
    if value < 0x1000_0000:
        return _MORE[value & 0x3FFF] + _SHORT[value >> 14]
    head = _MORE[value & 0x3FFF] + _MORE[value >> 14 & 0x3FFF]
    value >>= 28
    return head + (_SHORT[value] if value < _LONG else _varint(value))


# Lengths, remaining hits and seconds are mostly below 16,384. `_MORE` are fourteen bits that others
# follow. The tables take 0.6 MiB each.
_SHORT = [bytes([value]) for value in range(0x80)]
_SHORT += [bytes([value & 0x7F | 0x80, value >> 7]) for value in range(0x80, 0x4000)]
_MORE = [bytes([value & 0x7F | 0x80, value >> 7 | 0x80]) for value in range(0x4000)]

_LONG = len(_SHORT)

# How the statuses of a limit begin, passed and refused, by its identity: to hash a limit takes
# longer than all the rest. One a rule; overrides may bring more.
_LIMITS: dict[int, tuple[Limit, bytes, bytes]] = {}
_MAX_LIMITS = 4096
