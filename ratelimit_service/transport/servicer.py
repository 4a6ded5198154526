"""envoy.service.ratelimit.v3.RateLimitService, from bytes to bytes.

The generated servicer would parse every request before this code sees it; registering the method
without (de)serialisers leaves the bytes alone, so that a known request is not parsed at all.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc

from chassis.latency import Latency
from ratelimit_service.transport import codec
from ratelimit_service.transport.extras import Extras
from ratelimit_service.transport.memo import Memo
from ratelimit_service.transport.series import SeriesMemo
from wire.envoy.service.ratelimit.v3 import rls_pb2

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from chassis.deferred import DeferredCall, Failures
    from chassis.tracing import Tracing
    from ratelimit_service.core.verdict import Verdict
    from ratelimit_service.service import Limiter
    from ratelimit_service.service.asked import Asked, Edition

SERVICE_NAME = rls_pb2.DESCRIPTOR.services_by_name["RateLimitService"].full_name


class RateLimitServicer:
    """ShouldRateLimit."""

    def __init__(
        self, limiter: Limiter, extras: Extras | None = None, tracing: Tracing | None = None
    ) -> None:
        self.latency = Latency()
        self._tracing = tracing
        self._limiter = limiter
        self._extras = extras or Extras()
        self._has_extras = self._extras.any
        self._memo = Memo(SeriesMemo(self._plan, limiter.series).asked)

    def _plan(self, edition: Edition, request: bytes) -> Asked:
        return self._limiter.ask(edition, *codec.decode(request))

    async def answer(self, request: bytes, timeout_seconds: float | None) -> tuple[Verdict, bytes]:
        """Decide one serialised RateLimitRequest; return the verdict and the serialised answer."""
        latency = self.latency
        since = latency.turn or latency.begin()
        asked = self._memo.asked(self._limiter.edition, request)
        try:
            verdict = await self._limiter.check(asked, timeout_seconds)
        finally:
            latency.end(since)
        if self._tracing is not None:
            _describe(self._tracing.current(), asked, verdict)
        answer = codec.encode(verdict)
        if self._has_extras:
            answer += self._extras.of(request, asked, verdict)
        return verdict, answer

    async def ShouldRateLimit(  # noqa: N802  the RPC's name
        self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> bytes:
        """Answer one serialised RateLimitRequest with a serialised RateLimitResponse."""
        _, answer = await self.answer(request, context.time_remaining())
        return answer

    def take(self, call: DeferredCall, failures: Failures) -> None:
        """Answer ShouldRateLimit by callback: the same, for a fifth of what awaiting it costs."""
        latency = self.latency
        since = latency.turn or latency.begin()
        asked = self._memo.asked(self._limiter.edition, call.message)
        span = None if self._tracing is None else self._tracing.current()

        def answer(verdict: Verdict | None, error: BaseException | None) -> None:
            latency.end(since)
            if verdict is not None:
                if span is not None:
                    _describe(span, asked, verdict)
                said = codec.encode(verdict)
                if self._has_extras:
                    said += self._extras.of(call.message, asked, verdict)
                call.respond(said)
            elif error is not None:
                call.fail(failures.told(error))

        deadline = call.deadline
        timeout = None if deadline is None else deadline - asyncio.get_running_loop().time()
        self._limiter.decide(asked, timeout, answer)


def _describe(span: Span | None, asked: Asked, verdict: Verdict) -> None:
    """Say in a trace which rules decided, and what."""
    if span is None:
        return
    rules = [match.rule.path for match in asked.outline.matches if match is not None]
    span.set_attribute("ratelimit.domain", asked.domain)
    span.set_attribute("ratelimit.code", "OVER_LIMIT" if verdict.over else "OK")
    span.set_attribute("ratelimit.rules", rules)


def register(servicer: RateLimitServicer, server: grpc.aio.Server) -> None:
    """Add the servicer to a server, as generated `add_XServicer_to_server` functions do."""
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
        servicer.ShouldRateLimit
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE_NAME, {"ShouldRateLimit": handler}),)
    )
