"""Changes by hand in Redis: meters made whole, and hits granted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratelimit_service.storage.take import GRANT, pack_grant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chassis.redis import RedisDoor
    from ratelimit_service.core.charge import Charge


class RedisLedger:
    """A Ledger (see service/ports.py). `per_second`: where limits per second live, if apart."""

    def __init__(self, door: RedisDoor, per_second: RedisDoor | None = None) -> None:
        self._door = door
        self._per_second = per_second or door

    async def forget(self, charges: Sequence[Charge]) -> None:
        """Delete the keys, as Ledger.forget promises."""
        for charge in charges:
            await self._of(charge).call("DEL", charge.key)

    async def grant(self, grants: Sequence[Charge], expire_in_us: int) -> Sequence[int]:
        """Run the script for each, as Ledger.grant promises: they may lie in two servers."""
        met: list[int] = []
        for given in grants:
            met += await self._of(given).run(GRANT, *pack_grant([given], expire_in_us))
        return met

    def _of(self, charge: Charge) -> RedisDoor:
        return self._per_second if charge.per_second else self._door
