"""Run a case against a target and say what happened."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, assert_never

import grpc
import redis.asyncio
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from tests.conformance.judge import faults
from tests.conformance.table import (
    FRESH,
    Answer,
    Ask,
    Crowd,
    Health,
    KeysKept,
    Status,
    WaitFraction,
    WaitReset,
    Whatever,
    ask,
    top,
)
from tests.waiting import wait_until
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse

if TYPE_CHECKING:
    from tests.conformance.table import Case, Descriptor, Need, Step

METHOD: Final = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
CALL_SECONDS = 10.0  # for one answer; a 1 MiB value on a busy machine takes a fraction of it
LONGEST_WAIT_SECONDS = 5.0  # the cases' limits refill within two
WINDOW_TRIES = 8  # a window of a second ends in about one of five runs of a case that takes 200 ms
OPEN_SECONDS = 10.0  # for a target that has just been started

# The rule that tells a target with the suite's rules from one without: it lets nothing pass.
PROBE: Final = ask(
    top(("ready", "?")),
    gives=Answer(over=True, statuses=(Status(over=True, limit=(0, "YEAR", "")),)),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A server under test: HOST:PORT, what it was started with, and its Redis if `Need.STORE`."""

    address: str
    has: frozenset[Need] = frozenset()
    store_url: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of a case. No faults: passed. `skipped`: what it lacked."""

    case: Case
    faults: tuple[str, ...] = ()
    skipped: Need | None = None
    seconds: float = 0.0


class Run:
    """One run of one case, over a channel of its own."""

    def __init__(self, channel: grpc.aio.Channel, store: redis.asyncio.Redis | None) -> None:
        self._channel = channel
        self._call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        self._store = store
        self._keys = 0
        self._fresh = secrets.token_hex(8)
        self._last: RateLimitResponse | None = None

    async def begin(self) -> None:
        """Count the store's keys."""
        self._keys = await self._count()

    async def step(self, step: Step) -> list[str]:
        """Take one step and return what was wrong."""
        match step:
            case Ask():
                return await self._ask(step)
            case Crowd():
                return await self._crowd(step)
            case WaitReset():
                return await self._wait_reset()
            case WaitFraction(fraction):
                # Of the wall clock, which a fixed window follows.
                await wait_until(lambda: 0 <= time.time() % 1 - fraction < 0.1)
                return []
            case Health():
                return await self._health(step)
            case KeysKept():
                more = await self._count() - self._keys
                # Fewer are keys of earlier cases that have expired.
                return [f"the store holds {more} more keys"] if more > 0 else []
            case _:
                assert_never(step)

    async def _count(self) -> int:
        return 0 if self._store is None else int(await self._store.dbsize())

    async def _ask(self, step: Ask) -> list[str]:
        request = step.raw if step.raw is not None else self._request(step)
        for turn in range(step.times):
            got = await self._send(request)
            self._last = got if isinstance(got, RateLimitResponse) else None
            wrong = faults(step.expected, got)
            if wrong:
                return [f"call {turn + 1} of {step.times}: {fault}" for fault in wrong]
        return []

    async def _crowd(self, step: Crowd) -> list[str]:
        request = self._request(Ask(descriptors=(step.descriptor,), expected=Whatever.COMES))
        got = await asyncio.gather(*(self._send(request) for _ in range(step.callers)))
        errors = [error for error in got if not isinstance(error, RateLimitResponse)]
        if errors:
            return [f"{len(errors)} of {step.callers} calls failed, as {errors[0].code().name}"]
        passed = sum(
            isinstance(one, RateLimitResponse) and one.overall_code == RateLimitResponse.OK
            for one in got
        )
        if passed != step.admitted:
            return [f"{passed} of {step.callers} callers at once passed instead of {step.admitted}"]
        return []

    async def _wait_reset(self) -> list[str]:
        if self._last is None:
            return ["there is no answer whose reset could be waited for"]
        wait = max(
            status.duration_until_reset.ToNanoseconds() / 1e9 for status in self._last.statuses
        )
        if wait > LONGEST_WAIT_SECONDS:
            return [f"it says to wait {wait:g} s, where the rule needs {LONGEST_WAIT_SECONDS:g}"]
        due = time.monotonic() + wait
        await wait_until(lambda: time.monotonic() >= due, timeout=wait + 1)
        return []

    async def _health(self, step: Health) -> list[str]:
        stub = health_pb2_grpc.HealthStub(self._channel)
        try:
            answer = await stub.Check(
                health_pb2.HealthCheckRequest(service=step.service), timeout=CALL_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            if not step.serving and error.code() is grpc.StatusCode.NOT_FOUND:
                return []
            return [f"health of {step.service!r}: error {error.code().name} {error.details()!r}"]
        serving = answer.status == health_pb2.HealthCheckResponse.SERVING
        if serving is not step.serving:
            return [f"health of {step.service!r} is {answer.status}"]
        return []

    async def _send(self, request: bytes) -> RateLimitResponse | grpc.aio.AioRpcError:
        try:
            return RateLimitResponse.FromString(await self._call(request, timeout=CALL_SECONDS))
        except grpc.aio.AioRpcError as error:
            return error
        except DecodeError:
            return grpc.aio.AioRpcError(
                grpc.StatusCode.INTERNAL, grpc.aio.Metadata(), grpc.aio.Metadata(),
                details="the answer is not a RateLimitResponse",
            )  # fmt: skip

    def _request(self, step: Ask) -> bytes:
        message = RateLimitRequest(domain=step.domain, hits_addend=step.hits)
        for descriptor in step.descriptors:
            self._add(message, descriptor)
        return message.SerializeToString()

    def _add(self, message: RateLimitRequest, descriptor: Descriptor) -> None:
        added = message.descriptors.add(is_negative_hits=descriptor.negative)
        for key, value in descriptor.entries:
            added.entries.add(key=key, value=value.replace(FRESH, self._fresh))
        if descriptor.hits is not None:
            added.hits_addend.value = descriptor.hits
        if descriptor.limit is not None:
            number: Any = descriptor.limit[1]  # also numbers the enum does not have
            added.limit.requests_per_unit, added.limit.unit = descriptor.limit[0], number


async def run(case: Case, target: Target) -> Outcome:
    """Run a case, again where a window ended meanwhile; stop at the first step that is wrong."""
    if case.need is not None and case.need not in target.has:
        return Outcome(case=case, skipped=case.need)
    began = time.monotonic()
    wrong: list[str] = []
    for _ in range(WINDOW_TRIES):
        window = time.time() // case.window_seconds
        wrong = await _once(case, target)
        if not wrong or time.time() // case.window_seconds == window:
            break
    return Outcome(case=case, faults=tuple(wrong), seconds=time.monotonic() - began)


async def _once(case: Case, target: Target) -> list[str]:
    store = redis.asyncio.Redis.from_url(target.store_url) if target.store_url else None
    try:
        async with _channel(target) as channel:
            this = Run(channel, store)
            await this.begin()
            for number, step in enumerate(case.steps, 1):
                wrong = await this.step(step)
                if wrong:
                    return [f"step {number}, {fault}" for fault in wrong]
            return []
    finally:
        if store is not None:
            await store.aclose()


async def fault_of(target: Target) -> str:
    """Return why no case can be run against the target, "" if nothing stands in the way.

    A server may still be starting, so it has some seconds to come up.
    """
    async with _channel(target) as channel:
        try:
            await asyncio.wait_for(channel.channel_ready(), OPEN_SECONDS)
        except TimeoutError:
            return f"nothing answers at {target.address}; start the server, or name another target"
        probe = Run(channel, None)
        wrong: list[str] = []

        async def has_the_rules() -> bool:
            wrong[:] = await probe.step(PROBE)
            return not wrong

        try:
            await wait_until(has_the_rules, timeout=OPEN_SECONDS)
        except AssertionError:
            return (
                f"{target.address} does not answer as a server with the suite's rules "
                f"({wrong[0]}); start it with the files of tests/conformance/rules"
            )
    return ""


def _channel(target: Target) -> grpc.aio.Channel:
    # A channel for each run: gRPC would share one connection, and the back-off of a lost one.
    return grpc.aio.insecure_channel(
        target.address,
        options=[("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)],
    )
