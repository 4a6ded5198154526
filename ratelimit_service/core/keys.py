"""The store key of a bucket: `rate_limit:{<hash of domain and descriptor>}:<unit>`.

Every part is hashed behind its length, so no value a caller controls can meet another's counter
(`user=alice_path_x` and `user=alice, path=x` differ), and a key is of one short length whatever
it stands for. The braces are the cluster's hash tag: all limits of a descriptor share a slot.
The unit is in the key, so a limit per second and one per minute never share a bucket.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ratelimit_service.core.descriptor import Entries
    from ratelimit_service.core.limit import Limit

_DIGEST_BYTES = 16  # 128 bits: no two of 2**50 descriptors are expected to collide


def bucket_key(prefix: str, domain: str, entries: Entries, limit: Limit) -> bytes:
    """Return the key of the bucket that `limit` gives to `entries` of `domain`."""
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for part in (domain, *(text for entry in entries for text in entry)):
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "big"))
        digest.update(raw)
    return f"{prefix}rate_limit:{{{digest.hexdigest()}}}:{limit.unit.name.lower()}".encode()
