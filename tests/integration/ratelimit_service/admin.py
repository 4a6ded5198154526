"""A whole service with a client of its admin API."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import redis
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from tests.integration.ratelimit_service.limiter import running
from wire.envoy.extensions.common.ratelimit.v3 import ratelimit_pb2
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitResponse
from wire.sluice.ratelimit.v1 import ratelimit_pb2 as pb
from wire.sluice.ratelimit.v1.ratelimit_pb2_grpc import RateLimitAdminServiceStub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.integration.ratelimit_service.limiter import Limiter

SERVERS = ("fastlane", "grpcio")
OK, OVER = RateLimitResponse.OK, RateLimitResponse.OVER_LIMIT
INVALID = grpc.StatusCode.INVALID_ARGUMENT
RULES = """\
domain: shop
descriptors:
  - key: client_id
    rate_limit: {unit: minute, requests_per_unit: 5, burst: 8, name: per client}
  - key: path
    value: /pay
    rate_limit: {unit: hour, requests_per_unit: 3, algorithm: fixed_window}
  - key: path
    value: /admin/*
    descriptors:
      - key: method
        rate_limit: {unit: hour, requests_per_unit: 4, unit_multiplier: 2}
  - key: closed
    rate_limit: {unit: day, requests_per_unit: 0}
  - key: open
    rate_limit: {unlimited: true, name: vip, replaces: [{name: per client}]}
  - key: quiet
    shadow_mode: true
    rate_limit: {unit: hour, requests_per_unit: 2}
  - key: quota
    quota_mode: true
    rate_limit: {unit: hour, requests_per_unit: 2}
  - key: both
    on_store_failure: local
    limits:
      - {unit: second, requests_per_unit: 5}
      - {unit: hour, requests_per_unit: 20, algorithm: sliding_window}
  - key: lane
    shard_by: lane
    share_threshold: false
    lease: {max_share: 0.25, max_ms: 500}
    rate_limit:
      unit: day
      requests_per_unit: 10
      schedule:
        - {days: [sat, sun], from: "08:00", to: "12:30", time_zone: Europe/Paris, requests_per_unit: 90}
"""
MEGABYTE = "x" * 2**20
DESCRIBED = ("Explain", "GetBalance", "Reset", "Grant")  # the calls about a descriptor


def of(*entries: tuple[str, str], hits: int | None = None) -> ratelimit_pb2.RateLimitDescriptor:
    found = ratelimit_pb2.RateLimitDescriptor()
    for key, value in entries:
        found.entries.add(key=key, value=value)
    if hits is not None:
        found.hits_addend.value = hits
    return found


class Admin:
    """A limiter with a client of its admin API, and one of its store."""

    def __init__(self, limiter: Limiter, store: redis.Redis) -> None:
        self.limiter = limiter
        self.store = store
        self.channel = grpc.aio.insecure_channel(
            f"127.0.0.1:{limiter.admin_port}",
            options=[("grpc.max_receive_message_length", 32 * 2**20)],
        )
        self.stub: Any = RateLimitAdminServiceStub(self.channel)

    def written(self) -> set[bytes]:
        return {key for key in self.store.scan_iter() if key != b"rate_limit:{replicas}"}

    async def explain(
        self, *entries: tuple[str, str], hits: int | None = None
    ) -> pb.ExplainResponse:
        before = self.written()
        request = pb.ExplainRequest(domain="shop", descriptor=of(*entries, hits=hits))
        answer: pb.ExplainResponse = await self.stub.Explain(request)
        assert self.written() == before, "Explain wrote a key"
        return answer

    async def left(self, *entries: tuple[str, str]) -> list[int]:
        request = pb.GetBalanceRequest(domain="shop", descriptor=of(*entries))
        answer = await self.stub.GetBalance(request)
        return [balance.remaining for balance in answer.balances]


@contextlib.asynccontextmanager
async def serving(
    folder: Path, redis_url: str, rules: str = RULES, **environ: str
) -> AsyncIterator[Admin]:
    with (
        running(folder, redis_url, rules, **environ) as limiter,
        redis.Redis.from_url(redis_url) as store,
    ):
        await limiter.ready()
        admin = Admin(limiter, store)
        yield admin
        await admin.channel.close()
        await limiter.channel.close()


@contextlib.contextmanager
def refused(code: grpc.StatusCode, field: str = "", reason: str = "") -> Iterator[None]:
    """Expect an error status; `field` is named by its details, `reason` is theirs."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield
    error = caught.value
    assert error.code() is code, error.details()
    assert len(error.details() or "") < 2000
    trailers = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    assert info.domain == "sluice"
    assert not reason or info.reason == reason
    assert not field or [one.field for one in bad.field_violations] == [field]
