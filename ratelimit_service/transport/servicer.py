"""envoy.service.ratelimit.v3.RateLimitService, from bytes to bytes.

The generated servicer would parse every request before this code sees it; registering the method
without (de)serialisers leaves the bytes alone, so that a known request is not parsed at all.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc

from ratelimit_service.transport import codec
from wire.envoy.service.ratelimit.v3 import rls_pb2

if TYPE_CHECKING:
    from chassis.deferred import DeferredCall, Failures
    from ratelimit_service.core.decide import Plan, Verdict
    from ratelimit_service.core.rules import RuleSet
    from ratelimit_service.service import Limiter

SERVICE_NAME = rls_pb2.DESCRIPTOR.services_by_name["RateLimitService"].full_name


class RateLimitServicer:
    """ShouldRateLimit."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._memo = codec.PlanMemo(self._plan)

    def _plan(self, rules: RuleSet, request: bytes) -> Plan:
        domain, descriptors = codec.decode(request)
        return self._limiter.plan(rules, domain, descriptors)

    async def decide(self, request: bytes, timeout_seconds: float | None) -> Verdict:
        """Decide one serialised RateLimitRequest, within `timeout_seconds` if there are any."""
        plan = self._memo.plan(self._limiter.rules, request)
        return await self._limiter.check(plan, timeout_seconds)

    async def ShouldRateLimit(  # noqa: N802  the RPC's name
        self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> bytes:
        """Answer one serialised RateLimitRequest with a serialised RateLimitResponse."""
        return codec.encode(await self.decide(request, context.time_remaining()))

    def take(self, call: DeferredCall, failures: Failures) -> None:
        """Answer ShouldRateLimit by callback: the same, for a fifth of what awaiting it costs."""

        def answer(verdict: Verdict | None, error: BaseException | None) -> None:
            if verdict is not None:
                call.respond(codec.encode(verdict))
            elif error is not None:
                call.fail(failures.told(error))

        plan = self._memo.plan(self._limiter.rules, call.message)
        deadline = call.deadline
        timeout = None if deadline is None else deadline - asyncio.get_running_loop().time()
        self._limiter.decide(plan, timeout, answer)


def register(servicer: RateLimitServicer, server: grpc.aio.Server) -> None:
    """Add the servicer to a server, as generated `add_XServicer_to_server` functions do."""
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
        servicer.ShouldRateLimit
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE_NAME, {"ShouldRateLimit": handler}),)
    )
