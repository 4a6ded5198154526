"""The store key of a counter: `rate_limit:{<hash of domain and descriptor>}:<how it is counted>`.

Every part is hashed behind its length, so no value a caller controls can meet another's counter
(`user=alice_path_x` and `user=alice, path=x` differ), and a key is of one short length whatever
it stands for. The braces are the cluster's hash tag: all limits of a descriptor share a slot. A
rule with `shard_by` has the hash of domain and that entry's value there and the other behind it:
`rate_limit:{<shard>}:<hash>:<how>`, so that all limits of one client share a slot.
How it is counted is in the key, so a limit per second and one per minute never share a counter.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from ratelimit_service.core.limit import Algorithm

if TYPE_CHECKING:
    from ratelimit_service.core.descriptor import Entries
    from ratelimit_service.core.limit import Limit

_DIGEST_BYTES = 16  # 128 bits: no two of 2**50 descriptors are expected to collide
_ALGORITHM = {
    Algorithm.TOKEN_BUCKET: "",
    Algorithm.SLIDING_WINDOW: ".sliding",
    Algorithm.FIXED_WINDOW: ".fixed",
}


class CounterKeys:
    """The keys of the counters that one limit of a rule gives to the clients of `domain`.

    `ordinal` tells apart limits of one rule that are counted alike. `reference`: counted as
    envoyproxy/ratelimit counts, whatever the limit says. Where several entries have the key
    `shard_by`, the first decides; where none has, all do.
    """

    __slots__ = ("_domain", "_head", "_shard_by", "_tail")

    def __init__(
        self,
        prefix: str,
        domain: str,
        limit: Limit,
        *,
        ordinal: int = 1,
        shard_by: str = "",
        reference: bool = False,
    ) -> None:
        how = counting(limit, reference=reference)
        self._domain = _part(domain)
        self._shard_by = shard_by
        self._head = f"{prefix}rate_limit:{{"
        self._tail = f"}}:{how}.{ordinal}" if ordinal > 1 else f"}}:{how}"

    def of(self, entries: Entries) -> bytes:
        """Return the key of the counter of `entries`."""
        parts = self._domain
        for key, value in entries:
            parts += _part(key) + _part(value)
        digest = blake2b(parts, digest_size=_DIGEST_BYTES).hexdigest()
        if self._shard_by:
            for key, value in entries:
                if key == self._shard_by:
                    shard = blake2b(self._domain + _part(value), digest_size=_DIGEST_BYTES)
                    tail = f"}}:{digest}{self._tail.removeprefix('}')}"
                    return f"{self._head}{shard.hexdigest()}{tail}".encode()
        return f"{self._head}{digest}{self._tail}".encode()

    def begin(self, before: Entries, key: str, value_bytes: int) -> KeySeries:
        """Return the keys of these entries and one of `key` whose value, so long, is to come."""
        parts = self._domain + b"".join([_part(name) + _part(value) for name, value in before])
        return KeySeries(self._head, parts + _part(key) + _length(value_bytes), self._tail)


class KeySeries:
    """The keys of counters whose entries differ in their last value alone: in half the time."""

    __slots__ = ("_begun", "_head", "_tail")

    def __init__(self, head: str, parts: bytes, tail: str) -> None:
        self._begun = blake2b(parts, digest_size=_DIGEST_BYTES)
        self._head = head
        self._tail = tail

    def of(self, value: bytes) -> bytes:
        """Return the key of the counter of this value, in UTF-8."""
        digest = self._begun.copy()
        digest.update(value)
        return f"{self._head}{digest.hexdigest()}{self._tail}".encode()


def counting(limit: Limit, *, reference: bool = False) -> str:
    """Return the word for how `limit` is counted: `minute`, `5minute.sliding`, `day.fixed`."""
    multiplier = limit.unit_multiplier
    word = f"{'' if multiplier == 1 else multiplier}{limit.unit.name.lower()}"
    if reference:
        return f"{word}.reference"
    zone = f".{limit.time_zone}" if limit.time_zone else ""
    return f"{word}{_ALGORITHM[limit.algorithm]}{zone}"


def _part(text: str) -> bytes:
    """Return a part of what is hashed, behind its length."""
    raw = text.encode("utf-8", "surrogatepass")
    return _length(len(raw)) + raw


def _length(value_bytes: int) -> bytes:
    return value_bytes.to_bytes(8, "big")
