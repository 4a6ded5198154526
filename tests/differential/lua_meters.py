"""The scripts of the meters on a real server, and what their twins' cells look like there.

The scripts read the server's clock. Here that one line is replaced by a clock the test sets, so
that both sides see the same microsecond, and keys outlive the test, because the server expires
them by its own clock; everything else is the files that ship.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from ratelimit_service.core.bucket import Bucket, Cell
from ratelimit_service.core.window import Slots, Window
from ratelimit_service.storage.take import GRANT, SCRIPT, pack, pack_grant

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis

    from chassis.lua import Script
    from ratelimit_service.core.charge import Charge, Meter

CLOCK = "redis.call('TIME')"
TTL = "'PX', ttl)"
EXTRA_MS = 60_000
SECOND = 1_000_000
START = 1_795_561_835_147_696


class LuaMeters:
    """The scripts on a real server, with the test's clock."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self._take, self._grant = self._by_the_tests_clock(SCRIPT), self._by_the_tests_clock(GRANT)

    def take(self, requests: Sequence[Sequence[Charge]], now_us: int) -> list[int]:
        return self._run(self._take, pack(requests), now_us)

    def grant(self, grants: Sequence[Charge], expire_in_us: int, now_us: int) -> list[int]:
        return self._run(self._grant, pack_grant(grants, expire_in_us), now_us)

    def ttl_ms(self, key: str) -> int:
        ttl: int = self.client.pttl(key)
        return ttl - EXTRA_MS

    def _by_the_tests_clock(self, script: Script) -> Any:
        assert script.source.count(CLOCK) == script.source.count(TTL) == 1
        source = script.source.replace(CLOCK, "redis.call('LRANGE', 'clock', 0, 1)")
        return self.client.register_script(source.replace(TTL, f"'PX', ttl + {EXTRA_MS})"))

    def _run(
        self, script: Any, packed: tuple[list[bytes], list[bytes | int]], now_us: int
    ) -> list[int]:
        with self.client.pipeline() as pipeline:
            pipeline.delete("clock")
            pipeline.rpush("clock", *divmod(now_us, SECOND))
            pipeline.pexpire("clock", 60_000)
            pipeline.execute()
        met: list[int] = script(keys=packed[0], args=packed[1])
        return met


def text(cell: Any, meter: Meter) -> bytes | None:
    """Return what the store keeps of a twin's cell."""
    if cell is None:
        return None
    if isinstance(cell, Cell):
        return b"%d %d %d" % (cell.debt, cell.stamp_us, cell.full)
    assert isinstance(meter, Window)
    (last, hits), first = cell.pairs[-1], cell.pairs[0][0]
    if first == last:
        return b"%d %d" % (last, hits)
    old = [
        b"%d %d " % (count, (after - stop) // meter.slot_us)
        for (stop, count), (after, _) in itertools.pairwise(cell.pairs)
    ]
    return b"%d %d %d %d %s" % (last, hits, cell.debt, first, b"".join(old))


def lives_us(cell: Any, meter: Meter, now_us: int) -> int:
    """Return how long a twin's cell lacks anything."""
    if isinstance(cell, Slots):
        assert isinstance(meter, Window)
        return cell.pairs[-1][0] + (0 if cell.debt < 0 else meter.keep_us) - now_us
    assert isinstance(meter, Bucket)
    return cell.stamp_us - now_us if cell.debt < 0 else meter.until(cell.debt, 0)
