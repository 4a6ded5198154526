"""The operator's pages that every service has, as routes for an HttpServer.

/healthz   200 while the process lives and its loop turns
/readyz    200 when a request that comes now would be served, else 503; JSON says why
/metrics   Prometheus
/stats     the same numbers as a JSON object
/configz   the settings in force, secrets masked
/buildz    what is running
/          this list, with what the service adds

server = HttpServer(ops_routes(build=b, health=h, metrics=m, settings=s, extra={...}))
await server.start(Listen(port=6070, variable="DEBUG_PORT"))
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from chassis.http import Answer, Request, Route
from chassis.metrics import CONTENT_TYPE
from chassis.settings import masked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chassis.build import Build
    from chassis.health import Health
    from chassis.metrics import Metrics


def ops_routes(
    *,
    build: Build,
    health: Health,
    metrics: Metrics,
    settings: object,
    extra: Mapping[str, Route] | None = None,
) -> dict[str, Route]:
    """Make the common routes; `extra` adds a service's own, or replaces one of these."""
    pages = _Pages(build, health, metrics, settings)
    routes = {
        "/healthz": Route(handler=pages.healthz, doc="200 while the process lives"),
        "/readyz": Route(handler=pages.readyz, doc="200 when it would serve now, with reasons"),
        **metrics_routes("/metrics", metrics),
        "/stats": Route(handler=pages.stats, doc="the same numbers as a JSON object"),
        "/configz": Route(handler=pages.configz, doc="settings in force, secrets masked"),
        "/buildz": Route(handler=pages.buildz, doc="version, Python, platform"),
        **(extra or {}),
    }
    if "/" not in routes:
        listing = _listing(build, routes)
        routes["/"] = Route(handler=lambda _: _same(listing), doc="this list")
    return routes


def metrics_routes(path: str, metrics: Metrics) -> dict[str, Route]:
    """Make the one route of a port that only Prometheus reads."""

    async def answer(_: Request) -> Answer:
        return Answer(content_type=CONTENT_TYPE, body=await metrics.rendered())

    return {path: Route(handler=answer, doc="metrics in Prometheus's text format")}


class _Pages:
    """The handlers, over what they show."""

    def __init__(self, build: Build, health: Health, metrics: Metrics, settings: object) -> None:
        self._build = build
        self._health = health
        self._metrics = metrics
        self._settings = settings

    async def healthz(self, _: Request) -> Answer:
        return Answer.text("ok")

    async def readyz(self, _: Request) -> Answer:
        verdicts = self._health.verdicts()
        ready = all(verdict.ok for verdict in verdicts.values())
        checks = {name: {"ok": said.ok, "detail": said.detail} for name, said in verdicts.items()}
        return Answer.json({"ready": ready, "checks": checks}, status=200 if ready else 503)

    async def stats(self, _: Request) -> Answer:
        return Answer.json(dict(sorted((await self._metrics.numbered()).items())))

    async def configz(self, _: Request) -> Answer:
        return Answer.json(masked(self._settings))

    async def buildz(self, _: Request) -> Answer:
        return Answer.json(dataclasses.asdict(self._build))


async def _same(answer: Answer) -> Answer:
    return answer


def _listing(build: Build, routes: Mapping[str, Route]) -> Answer:
    width = max(len(path) for path in routes)
    lines = [f"{path:<{width}}  {route.doc}".rstrip() for path, route in sorted(routes.items())]
    return Answer.text("\n".join((f"sluice {build.service} {build.version}", "", *lines)))
