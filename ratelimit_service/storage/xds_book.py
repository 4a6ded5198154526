"""Rules from an xDS management server, as Envoy Gateway gives them: one resource a domain.

The server's word is the whole: what it no longer names is gone. An update with a mistake in any
resource is refused with every mistake named, and the rules before it stay.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from chassis.errors import ConfigError, Problem
from chassis.xds import XdsClient, credentials_of
from ratelimit_service.storage import rule_sources
from ratelimit_service.storage.rules_in_force import RulesInForce

if TYPE_CHECKING:
    import structlog

    from chassis.metrics import Metrics
    from chassis.xds import Resource, Update
    from chassis.xds_settings import XdsSettings
    from ratelimit_service.core.source import Node
    from ratelimit_service.storage.rule_sources import Built

# (type URL, bytes, ordinal from 1, problems) -> name and document; a function that can be pickled.
Decode: TypeAlias = Callable[[str, bytes, int, list[Problem]], tuple[str, "Node | None"]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """RuleSources: the resources of one update."""

    items: tuple[Resource, ...]
    decode: Decode
    merge_domains: bool

    def built(self) -> Built:
        """Make rules of them, or say everything that is wrong with them."""
        problems: list[Problem] = []
        contents: dict[str, bytes] = {}
        documents: list[Node | None] = []
        for ordinal, item in enumerate(self.items, start=1):
            name, document = self.decode(item.type_url, item.value, ordinal, problems)
            if name in contents:
                said = "stands twice in the update; give each resource its own name"
                problems.append(Problem(file=name, message=said))
            contents[name] = item.value
            documents.append(document)
        return rule_sources.build(documents, contents, problems, merge_domains=self.merge_domains)


class XdsBook(RulesInForce):
    """The rules of a management server."""

    def __init__(
        self,
        settings: XdsSettings,
        *,
        type_url: str,
        decode: Decode,
        log: structlog.stdlib.BoundLogger,
        merge_domains: bool = False,
    ) -> None:
        super().__init__(log=log)
        self._settings = settings
        self._decode = decode
        self._merge_domains = merge_domains
        self._seen = b""
        self._client = XdsClient(
            settings,
            type_url=type_url,
            user_agent="sluice-ratelimit",
            consumer=self,
            log=log,
        )
        self._following: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to follow the server; raise OperatorError where the TLS files cannot be used."""
        await asyncio.to_thread(credentials_of, self._settings)
        self._following = asyncio.create_task(self._client.run(), name="rules")

    async def close(self) -> None:
        """Leave the server."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})

    async def reload(self) -> None:
        """Connect anew, at once, with the TLS files as they are now."""
        self._client.renew()

    async def take(self, update: Update) -> str:
        """Put an update in force and return "", or change nothing and return why."""
        async with self._loading:
            digest = await asyncio.to_thread(_digest, update.resources)
            if digest == self._seen and not self.last_error:
                # A server that was restarted sends what it had sent under a new version.
                return ""
            sources = Resources(
                items=update.resources, decode=self._decode, merge_domains=self._merge_domains
            )
            try:
                await self._put(sources)
            except ConfigError as error:
                self._tell(error)
                return str(error)
            self._seen = digest
            self._log.info("rules loaded", generation=self.generation, version=update.version)
            return ""

    @property
    def detail(self) -> str:
        """What `/readyz` says of the rules, and of the server where it is away."""
        said = super().detail
        return f"{said}; {self._client.trouble}" if self._client.trouble else said

    def observe(self, metrics: Metrics) -> None:
        """Expose the loads, and the stream to the server."""
        super().observe(metrics)
        metrics.observe_gauge(
            "ratelimit_xds_connected",
            "1 while a stream to the xDS server stands.",
            read=lambda: int(self._client.connected),
        )
        metrics.observe_counter(
            "ratelimit_xds_streams",
            "Streams to the xDS server that have stood.",
            read=lambda: self._client.streams,
        )


def _digest(resources: tuple[Resource, ...]) -> bytes:
    digest = hashlib.sha256()
    for resource in resources:
        for part in (resource.type_url.encode(), resource.value):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.digest()
