"""What decides: the rules and where they come from, Redis, the limiter over both."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from chassis import log
from chassis.clock import SystemClock
from chassis.redis import RedisDoor
from ratelimit_service.config import ConfigType, RateLimitMode, Settings
from ratelimit_service.core.plan import Policy
from ratelimit_service.service import Limiter
from ratelimit_service.service.books import Books
from ratelimit_service.storage.leases import LeasedBuckets
from ratelimit_service.storage.ledger import RedisLedger
from ratelimit_service.storage.local import LocalBuckets
from ratelimit_service.storage.per_second import PerSecondApart
from ratelimit_service.storage.redis import RedisBuckets
from ratelimit_service.storage.replicas import Replicas
from ratelimit_service.storage.rule_book import RuleBook
from ratelimit_service.storage.traced import TracedBuckets
from ratelimit_service.storage.xds_book import XdsBook
from ratelimit_service.transport import rule_resource

if TYPE_CHECKING:
    from chassis.tracing import Tracing
    from ratelimit_service.service import BucketStore, RuleSource


def rules_of(settings: Settings) -> RuleBook | XdsBook:
    """Return where the rules come from."""
    logger = log.get_logger("rules")
    if settings.config_type is ConfigType.GRPC_XDS_SOTW:
        return XdsBook(
            settings.xds,
            type_url=rule_resource.TYPE_URL,
            decode=rule_resource.document,
            log=logger,
            merge_domains=settings.merge_domain_config,
        )
    return RuleBook(
        settings.rules_directory,
        watched_root=settings.runtime_root if settings.runtime_watch_root else None,
        log=logger,
        required=not settings.force_start_without_initial_config,
        merge_domains=settings.merge_domain_config,
        dot_files=not settings.runtime_ignore_dot_files,
    )


class Store:
    """Redis, or two of them, and all that is kept there."""

    def __init__(self, settings: Settings, tracing: Tracing | None) -> None:
        door = RedisDoor(settings.redis, name="ratelimit")
        patience = settings.redis.command_timeout_seconds
        buckets = RedisBuckets(door, command_timeout_seconds=patience)
        self.doors = [door]
        self.buckets: RedisBuckets | PerSecondApart = buckets
        second = None
        if settings.persecond is not None:
            second = RedisDoor(settings.persecond, name="ratelimit per second")
            self.doors.append(second)
            patience = settings.persecond.command_timeout_seconds
            apart = RedisBuckets(second, command_timeout_seconds=patience)
            self.buckets = PerSecondApart(buckets, apart)
        takes: BucketStore = self.buckets
        if tracing is not None:
            takes = TracedBuckets(self.buckets, tracing)
        self.ledger = RedisLedger(door, second)
        self.replicas = Replicas(door, key_prefix=settings.key_prefix)
        self.leases = LeasedBuckets(
            takes,
            SystemClock(),
            replicas=lambda: self.replicas.count,
            call_later=asyncio.get_running_loop().call_later,
        )

    async def open(self) -> None:
        """Begin to connect."""
        for door in self.doors:
            await door.open()

    async def close(self) -> None:
        """Give back what is leased, finish what is on the way, and disconnect."""
        self.leases.close()
        await self.buckets.close()
        for door in self.doors:
            await door.close()


def limiter_of(settings: Settings, rules: RuleSource, store: Store) -> Limiter:
    """Return the limiter."""
    clock = SystemClock()
    return Limiter(
        rules,
        store.leases,
        Books(clock, near_limit_ratio=settings.near_limit_ratio),
        clock,
        policy=Policy(
            key_prefix=settings.key_prefix,
            reference=settings.mode is RateLimitMode.REFERENCE,
            quota_mode=settings.quota_mode,
            shadow_mode=settings.shadow_mode,
        ),
        local=LocalBuckets(clock, lambda: store.replicas.count),
        watch=_Voice(),
    )


class _Voice:
    """Tells the log of the store's absences."""

    def __init__(self) -> None:
        self._log = log.get_logger("store")

    def away(self, error: BaseException) -> None:
        self._log.warning("redis is away; each rule's on_store_failure decides", why=str(error))

    def back(self, seconds: float, undecided: int) -> None:
        self._log.warning("redis decides again", after_seconds=round(seconds, 3), calls=undecided)
