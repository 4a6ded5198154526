"""Health: named checks make one verdict, told by `/readyz` and by grpc.health.v1 alike.

A check is a plain function that answers at once from what its part already knows (`RedisDoor`
keeps `ready` up to date by itself); nothing is probed because somebody asks.
The servicer is ours and not that of grpcio-health-checking (whose messages it speaks): there one
watcher that does not read holds the lock that a status change needs, and a watch never ends, so
a drain would always last its whole grace.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]

from chassis.log import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

# How soon a changed check shows in grpc.health.v1. A look is a few function calls.
POLL_SECONDS = 0.1

log = get_logger(__name__)

SERVICE_NAME: str = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


@dataclass(frozen=True, slots=True)
class Verdict:
    """One check's answer: is the part usable, and a sentence about it (`ok` when all is well).

    `serves`: it is not, and callers should still come: what they get is better than nothing.
    """

    ok: bool
    detail: str = "ok"
    serves: bool = False


class Health:
    """The health of one process.

    `checks` maps a part's name to its check; the process is ready when every check is ok and it is
    neither starting nor draining. `services` are the full gRPC names that share this verdict,
    besides "".
    """

    def __init__(
        self,
        *,
        services: Iterable[str] = (),
        checks: Mapping[str, Callable[[], Verdict]],
    ) -> None:
        self.services = ("", *services)
        self.draining = False
        self._opened = False
        self._checks = dict(checks)
        self._serving = False
        # Set and replaced at every change: those who hold the old one wake up.
        self._changed = asyncio.Event()
        self._poller: asyncio.Task[None] | None = None

    def verdicts(self) -> dict[str, Verdict]:
        """Ask every check now."""
        found = {name: self._ask(name, check) for name, check in self._checks.items()}
        if self.draining or not self._opened:
            detail = "draining" if self.draining else "starting"
            found["lifecycle"] = Verdict(ok=False, detail=detail)
        return found

    @property
    def ready(self) -> bool:
        """Whether a request that comes now would be served."""
        return all(verdict.ok for verdict in self.verdicts().values())

    @property
    def serving(self) -> bool:
        """Whether callers should come: what grpc.health.v1 tells them."""
        return all(verdict.ok or verdict.serves for verdict in self.verdicts().values())

    async def open(self) -> None:
        """Begin to say what the checks say: from now on the process serves, or says why not.

        Make it the last step of a start: until then the verdict is "starting", whatever the checks
        say, because what is not up yet has no check.
        """
        self._opened = True
        self.refresh()
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll(), name="health")

    async def close(self) -> None:
        """End every watch with NOT_SERVING and stop looking."""
        self.drain()
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)
            self._poller = None

    def drain(self) -> None:
        """Turn NOT_SERVING for good, so that callers go elsewhere while we finish."""
        self.draining = True
        self.refresh(always=True)

    def refresh(self, *, always: bool = False) -> None:
        """Look at the checks now instead of at the next look."""
        serving = self.serving
        if serving != self._serving or always:
            if serving != self._serving:
                log.info("health changed", serving=serving, **self._troubles())
            self._serving = serving
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    def status_of(self, service: str) -> health_pb2.HealthCheckResponse.ServingStatus:
        """Return the status of one service now; SERVICE_UNKNOWN if it is not ours.

        It looks, so that it is never behind `/readyz`, which looks too.
        """
        if service not in self.services:
            return _UNKNOWN
        if self._poller is not None:
            self.refresh()
        return _SERVING if self._serving else _NOT_SERVING

    async def watch(
        self, service: str
    ) -> AsyncIterator[health_pb2.HealthCheckResponse.ServingStatus]:
        """Yield the status now and at every change; ends when draining begins."""
        last = None
        while True:
            changed = self._changed
            status = self.status_of(service)
            if status != last:
                yield status
                last = status
            elif self.draining:
                return
            else:
                await changed.wait()

    def _ask(self, name: str, check: Callable[[], Verdict]) -> Verdict:
        try:
            return check()
        except Exception:
            # A check that cannot tell must not stop the others.
            log.exception("a health check failed: this is a bug", check=name)
            return Verdict(ok=False, detail="the check itself failed; see the log")

    def _troubles(self) -> dict[str, str]:
        return {name: said.detail for name, said in self.verdicts().items() if not said.ok}

    async def _poll(self) -> None:
        while not self.draining:
            self.refresh()
            await asyncio.sleep(POLL_SECONDS)


class HealthServicer:
    """grpc.health.v1 over one Health."""

    def __init__(self, health: Health) -> None:
        self._health = health

    async def Check(  # noqa: N802  the name is the protocol's
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> health_pb2.HealthCheckResponse:
        """Answer for one service."""
        status = self._health.status_of(request.service)
        if status == _UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"unknown service {request.service!r}")
        return health_pb2.HealthCheckResponse(status=status)

    async def List(  # noqa: N802  the name is the protocol's
        self,
        request: health_pb2.HealthListRequest,  # noqa: ARG002  it is empty
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002  part of the signature
    ) -> health_pb2.HealthListResponse:
        """Answer for every service."""
        statuses = {
            service: health_pb2.HealthCheckResponse(status=self._health.status_of(service))
            for service in self._health.services
        }
        return health_pb2.HealthListResponse(statuses=statuses)

    async def Watch(  # noqa: N802  the name is the protocol's
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002  part of the signature
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Answer now and at every change."""
        async for status in self._health.watch(request.service):
            yield health_pb2.HealthCheckResponse(status=status)
