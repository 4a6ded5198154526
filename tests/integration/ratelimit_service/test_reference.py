"""RATELIMIT_MODE=reference against the real envoyproxy/ratelimit: the same rules, the same requests.

Runs where RLS_REFERENCE names a built envoyproxy/ratelimit; RLS_SEED repeats what failed. Left out
is what differs on purpose (see docs/rules.md): keys and values whose joined text is ambiguous,
negative hits, overrides of no unit, of which the reference dies, and metadata where the reference
loses them (renamed metrics) or has none (unlimited and replaced limits).
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import redis
from google.protobuf import json_format

from sluice.demo.mesh_process import free_block
from tests.integration.ratelimit_service.limiter import running
from tests.servers import Server, start_valkey
from tests.waiting import wait_until
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest
from wire.envoy.service.ratelimit.v3.rls_pb2_grpc import RateLimitServiceStub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
    from pathlib import Path

REFERENCE = os.environ.get("RLS_REFERENCE", "")
pytestmark = pytest.mark.skipif(
    not REFERENCE, reason="RLS_REFERENCE names no built envoyproxy/ratelimit"
)
SEED = int(os.environ.get("RLS_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
OURS = ("code", "rule", "shadow")  # what our dynamic metadata say beyond the reference's
SETTINGS = {"LIMIT_RESPONSE_HEADERS_ENABLED": "true", "RESPONSE_DYNAMIC_METADATA": "true"}
# Both count by the clock's seconds; a request is asked of both within one.
LATEST = 0.7

KEYS = ("a", "b", "c", "client")
VALUES = ("", "x", "y", "x1", "yes", "0123", "12:30", "/files/a", "/files/b", "käse", "a.b.c")
PATTERNS = ("x*", "*1", "/files/*", "*", "*e*", "/*/b")
UNITS = ("second", "minute", "HOUR", "Day", "week", "month", "year")
NAMES = ("one", "two", "three")


@contextlib.contextmanager
def reference(folder: Path, redis_url: str, **environ: str) -> Iterator[int]:
    """Run the reference on the rules in `folder`/config; yield its gRPC port."""
    port = free_block()
    settings = {
        "GRPC_HOST": "127.0.0.1", "HOST": "127.0.0.1", "DEBUG_HOST": "127.0.0.1",
        "GRPC_PORT": str(port), "PORT": str(port + 1), "DEBUG_PORT": str(port + 2),
        "REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": redis_url.removeprefix("redis://"),
        "RUNTIME_ROOT": str(folder), "RUNTIME_SUBDIRECTORY": "", "RUNTIME_WATCH_ROOT": "false",
        "USE_STATSD": "false", "DISABLE_STATS": "true", "LOG_LEVEL": "error",
        **SETTINGS, **environ,
    }  # fmt: skip
    words = [f"{name}={value}" for name, value in settings.items()]
    server = Server(["env", *words, REFERENCE], port=port, url="", folder=folder)
    try:
        server.start()
        yield port
    finally:
        server.close()


class Both:
    """The two, each with a store of its own."""

    def __init__(self, stubs: Sequence[Any], stores: Sequence[redis.Redis]) -> None:
        self.stubs = stubs
        self.stores = stores

    def forget(self) -> None:
        for store in self.stores:
            store.flushall()

    async def ask(self, request: RateLimitRequest) -> tuple[list[dict[str, Any]], bool]:
        """Return what each said, and whether both said it within one second."""
        if time.time() % 1 > LATEST:
            await wait_until(lambda: time.time() % 1 < LATEST, description="a new second")
        since = int(time.time())
        said = [await answer(stub, request) for stub in self.stubs]
        return said, int(time.time()) == since


@contextlib.asynccontextmanager
async def both(folder: Path, rules: Mapping[str, str], **environ: str) -> AsyncIterator[Both]:
    """Run both on the same rule files."""
    with contextlib.ExitStack() as stack:
        stores = [stack.enter_context(start_valkey()) for _ in range(2)]
        mine, theirs = folder / "mine", folder / "theirs"
        for place in (mine, theirs):
            (place / "config").mkdir(parents=True)
            for name, text in rules.items():
                (place / "config" / name).write_text(text)
        first, *_ = rules.items()
        limiter = stack.enter_context(
            running(
                mine, stores[0].url, first[1], RATELIMIT_MODE="reference", **SETTINGS, **environ
            )
        )
        (mine / "config" / "shop.yaml").unlink(missing_ok=True)
        port = stack.enter_context(reference(theirs, stores[1].url, **environ))
        await limiter.ready()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = RateLimitServiceStub(channel)
            clients = [stack.enter_context(redis.Redis(port=store.port)) for store in stores]
            yield Both((limiter.stub, stub), clients)
        await limiter.channel.close()


async def answer(stub: Any, request: RateLimitRequest) -> dict[str, Any]:
    try:
        said = await stub.ShouldRateLimit(request, timeout=5, wait_for_ready=True)
    except grpc.aio.AioRpcError as error:
        return {"error": error.details()}
    plain = json_format.MessageToDict(said, preserving_proto_field_name=True)
    for descriptor in plain.get("dynamic_metadata", {}).get("descriptors", ()):
        for name in OURS:
            descriptor.pop(name, None)
        if "limit" in descriptor:  # Go's protobuf sets its spaces at its whim
            descriptor["limit"] = re.sub(r"\s+|(?<=:)\s*", "", descriptor["limit"])
    return plain


class Draw:
    """Random rules and requests."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311  random cases, not secrets
        # The reference loses the metadata of rules whose metrics have another name than they.
        self.has_metadata = False

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def rules(self, domain: str) -> str:
        self.has_metadata = self.chance(0.5)
        return f"domain: {domain}\ndescriptors:\n" + "".join(self.level(0))

    def level(self, depth: int) -> Iterator[str]:
        seen = set()
        for _ in range(self.random.randint(1, 4)):
            key, value = self.random.choice(KEYS), self.value()
            if (key, value) in seen:
                continue
            seen.add((key, value))
            yield from self.descriptor(depth, key, value)

    def value(self) -> str:
        if self.chance(0.3):
            return self.random.choice(PATTERNS)
        return self.random.choice(VALUES) if self.chance(0.6) else ""

    def descriptor(self, depth: int, key: str, value: str) -> Iterator[str]:
        pad = "  " * (2 * depth + 1)
        yield f"{pad}- key: {key}\n"
        if value:
            yield f"{pad}  value: {value if self.chance(0.5) and '*' not in value else repr(value)}\n"
        for flag, share in (
            ("shadow_mode", 0.15), ("quota_mode", 0.2),
            ("detailed_metric", 0.0 if self.has_metadata else 0.2),
            ("value_to_metric", 0.0 if self.has_metadata else 0.2),
        ):  # fmt: skip
            if self.chance(share):
                yield f"{pad}  {flag}: true\n"
        if "*" in value and self.chance(0.5):
            yield f"{pad}  share_threshold: true\n"
        if self.chance(0.8):
            has_metadata = self.has_metadata and self.chance(0.5)
            yield f"{pad}  rate_limit: {{{', '.join(self.limit(plain=has_metadata))}}}\n"
            if has_metadata:
                yield f"{pad}  metadata: {{{key}: {{deep: [1, two, true]}}, {key}{depth}: 1.5}}\n"
        if depth < 2 and self.chance(0.5):
            yield f"{pad}  descriptors:\n"
            yield from self.level(depth + 1)

    def limit(self, *, plain: bool) -> Iterator[str]:
        """Yield the words of a limit; a `plain` one counts and is never replaced."""
        name = self.random.choice(NAMES) if self.chance(0.4) and not plain else ""
        if name:
            yield f"name: {name}"
        others = [one for one in NAMES if one != name]
        if self.chance(0.15):
            yield f"replaces: [{{name: {self.random.choice(others)}}}]"
        if self.chance(0.1) and not plain:
            yield "unlimited: true"
            return
        yield f"unit: {self.random.choice(UNITS)}"
        yield f"requests_per_unit: {self.random.choice((0, 1, 2, 3, 5, 10, 1000, 2**32 - 2))}"

    def request(self, domain: str) -> RateLimitRequest:
        request = RateLimitRequest(domain=domain if self.chance(0.97) else "nobody")
        if self.chance(0.2):
            request.hits_addend = self.random.choice((1, 2, 3, 7, 1000, 2**32 - 1))
        for _ in range(self.random.choice((1, 1, 1, 2, 3, 4, 0) if self.chance(0.9) else (6, 9))):
            descriptor = request.descriptors.add()
            for _ in range(self.random.choice((1, 1, 1, 2, 2, 3, 0))):
                descriptor.entries.add(
                    key=self.random.choice(KEYS), value=self.random.choice(VALUES)
                )
            if self.chance(0.15):
                descriptor.hits_addend.value = self.random.choice((0, 0, 1, 2, 5, 2**31))
            if self.chance(0.08):
                descriptor.limit.requests_per_unit = self.random.choice((0, 1, 3, 100))
                descriptor.limit.unit = self.random.choice((1, 2, 3, 4, 5, 6))  # type: ignore[assignment]
        return request


async def compare(asked: Both, requests: Sequence[RateLimitRequest], hint: str) -> None:
    """Ask both the same; a round that a second's end fell into is asked again, from the start."""
    for _ in range(5):
        asked.forget()
        for index, request in enumerate(requests):
            (mine, theirs), within = await asked.ask(request)
            if not within:
                break
            assert mine == theirs, f"request {index} of {hint}:\n{request}"
        else:
            return
    pytest.fail("the machine is too slow: no round stayed within its seconds")


MODES: tuple[dict[str, str], ...] = ({}, {"SHADOW_MODE": "true"}, {"QUOTA_MODE": "true"})


@pytest.mark.parametrize("environ", MODES, ids=["plain", "shadow", "quota"])
@pytest.mark.timeout(180)
async def test_random_rules_and_requests(tmp_path: Path, environ: dict[str, str]) -> None:
    draw = Draw(SEED)
    rules = {f"r{index}.yaml": draw.rules(f"r{index}") for index in range(20)}
    async with both(tmp_path, rules, **environ) as asked:
        for name, text in rules.items():
            domain = name.removesuffix(".yaml")
            requests = [draw.request(domain) for _ in range(25)]
            await compare(asked, requests, f"RLS_SEED={SEED}, rules:\n{text}")
