"""Tokens of a language model are charged as the answer reports them: envoy/recipes/llm-tokens."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from fastlane import http
from tests.e2e.recipes import RULES, Origin, Recipe, serving
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.servers import Server

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]

CAPACITY, PER_SECOND = 128_000, 100
# A charge comes after the answer; waiting longer, what flows back would hide one that never came.
SETTLE_SECONDS = 5.0
UNCOUNTED = 1000  # what the recipe charges where the answer does not say

JSON = [(b"content-type", b"application/json")]
STREAM = [(b"content-type", b"text/event-stream")]
TEXT = [(b"content-type", b"text/plain")]


def usage(total: int, cached: int | None = None) -> dict[str, object]:
    """Answer what a model says of its tokens."""
    found: dict[str, object] = {"prompt_tokens": total // 2, "total_tokens": total}
    if cached is not None:
        found["prompt_tokens_details"] = {"cached_tokens": cached}
    return found


def whole(total: int, cached: int | None = None) -> http.Response:
    """Answer in one piece."""
    body = {"id": "chatcmpl-1", "choices": [], "usage": usage(total, cached)}
    return http.Response(200, JSON, json.dumps(body).encode())


def streamed(total: int, cached: int | None = None) -> http.Response:
    """Answer event by event; the count comes last but one, as in OpenAI's API."""
    events: list[dict[str, object]] = [
        {"choices": [{"delta": {"content": word}}], "usage": None} for word in ("two", "words")
    ]
    events.append({"choices": [], "usage": usage(total, cached)})

    async def body() -> AsyncIterator[bytes]:
        for event in events:
            yield b"data: " + json.dumps(event).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"

    return http.Response(200, STREAM, body())


@pytest.fixture
async def llm(tmp_path: Path, valkey: Server) -> AsyncIterator[Llm]:
    origin = Origin()
    async with serving("llm-tokens", tmp_path, valkey.url, origin) as recipe:
        yield Llm(recipe, origin)


class Llm:
    """The recipe, and the model behind it."""

    def __init__(self, recipe: Recipe, origin: Origin) -> None:
        self.recipe = recipe
        self.origin = origin

    async def ask(self, user: str, answer: http.Response) -> tuple[int, dict[str, str]]:
        self.origin.reply = answer
        reply = await self.recipe.call("/v1/chat/completions", {"x-user": user})
        return reply.status, reply.headers

    async def spends(self, user: str, answer: http.Response, tokens: int) -> None:
        """Ask, and wait until that was charged."""
        assert tokens > 1.5 * SETTLE_SECONDS * PER_SECOND, "could flow back while we wait"
        began = time.monotonic()
        before = await self.balance(user)
        status, _ = await self.ask(user, answer)
        assert status == 200
        await self.settles(user, before - tokens, began)

    async def balance(self, user: str) -> int:
        return await self.recipe.balance(("user", user))

    async def settles(self, user: str, expected: int, began: float) -> None:
        """Wait for a balance; what has flowed back since `began` may be on top."""
        seen: list[int] = []

        async def charged() -> bool:
            seen.append(await self.balance(user))
            refilled = (time.monotonic() - began) * PER_SECOND + 1
            return expected <= seen[-1] <= min(expected + refilled, CAPACITY)

        try:
            await wait_until(charged, timeout=SETTLE_SECONDS, description=f"{user} has {expected}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it had {seen[0]} to {seen[-1]}") from None


def test_the_guide_shows_the_rule_that_is_tested() -> None:
    guide = (ROOT / "docs/how-to/llm-tokens.md").read_text()
    (shown,) = re.findall(r"^```yaml\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    assert yaml.safe_load(shown) == yaml.safe_load((RULES / "llm-tokens.yaml").read_text())


async def test_an_answer_costs_the_tokens_it_reports_less_those_from_the_cache(llm: Llm) -> None:
    for user, answer in (("alice", whole), ("bob", streamed)):
        await llm.spends(user, answer(2500), 2500)
        await llm.spends(user, answer(1000), 1000)
        await llm.spends(user, answer(5000, cached=3500), 1500)
    assert await llm.balance("carol") == CAPACITY


async def test_calls_in_flight_all_pass_and_their_debt_is_told(llm: Llm) -> None:
    began = time.monotonic()
    answers = await asyncio.gather(*(llm.ask("alice", whole(20_000)) for _ in range(10)))
    assert [status for status, _ in answers] == [200] * 10
    await llm.settles("alice", CAPACITY - 200_000, began)
    status, headers = await llm.ask("alice", whole(1))
    assert status == 429
    assert 700 <= int(headers["retry-after"]) <= 720


async def test_who_is_in_debt_waits_as_long_as_he_is_told(llm: Llm) -> None:
    await llm.spends("alice", whole(CAPACITY + 350), CAPACITY + 350)
    asked = len(llm.origin.asked)
    status, headers = await llm.ask("alice", whole(1))
    refused = time.monotonic()
    assert status == 429
    assert headers["x-ratelimit-remaining"] == "0"
    wait = int(headers["retry-after"])
    assert 1 <= wait <= 4  # 350 tokens at 100 a second, less what has flowed back meanwhile
    left = await llm.balance("alice")
    assert wait * PER_SECOND >= -left, "not too short"
    assert len(llm.origin.asked) == asked, "the model is not troubled with it"
    reply = await llm.recipe.call("/", {"x-user": "alice"})
    assert json.loads(reply.lines[0])["error"]["code"] == "request_rate_limited"
    await wait_until(lambda: time.monotonic() >= refused + wait, description="it may try again")
    assert (await llm.ask("alice", whole(1)))[0] == 200


async def test_a_refused_call_costs_nothing(llm: Llm) -> None:
    began = time.monotonic()
    await llm.spends("alice", whole(CAPACITY + 1000), CAPACITY + 1000)
    for _ in range(5):
        assert (await llm.ask("alice", whole(500)))[0] == 429
    # Charges come after the answers: a later one of another user's is through when this one is.
    await llm.spends("bob", whole(1000), 1000)
    await llm.settles("alice", -1000, began)


async def test_a_debt_is_one_capacity_at_most(llm: Llm) -> None:
    for tokens in (256_001, 1_000_000, 123_456_789):
        user, began = f"user of {tokens}", time.monotonic()
        assert (await llm.ask(user, whole(tokens)))[0] == 200
        await llm.settles(user, -CAPACITY, began)
        status, headers = await llm.ask(user, whole(1))
        assert status == 429
        assert 1260 <= int(headers["retry-after"]) <= 1280


async def test_errors_are_free(llm: Llm) -> None:
    busy = {"error": {"message": "busy", "type": "server_error"}}
    failed = http.Response(500, JSON, json.dumps(busy).encode())
    assert (await llm.ask("alice", failed))[0] == 500
    await llm.origin.close()
    assert (await llm.ask("alice", whole(1)))[0] == 503
    await llm.origin.open(llm.origin.port)
    await llm.spends("alice", whole(1000), 1000)
    assert await llm.balance("alice") >= CAPACITY - 1000


async def test_an_answer_that_is_not_counted_costs_a_fixed_price(llm: Llm) -> None:
    uncounted = b'data: {"choices": [], "usage": null}\n\ndata: [DONE]\n\n'
    await llm.spends("alice", http.Response(200, STREAM, uncounted), UNCOUNTED)
    await llm.spends("bob", http.Response(200, TEXT, b"plain words"), UNCOUNTED)


async def test_who_breaks_off_a_stream_pays_a_fixed_price(llm: Llm) -> None:
    broken_off = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b'data: {"choices": [], "usage": null}\n\n'
        await broken_off.wait()

    llm.origin.reply = http.Response(200, STREAM, endless())
    began = time.monotonic()
    await llm.recipe.break_off("/v1/chat/completions", {"x-user": "alice"})
    await llm.settles("alice", CAPACITY - UNCOUNTED, began)
    broken_off.set()


async def test_an_answer_is_counted_whatever_its_size_and_wording(llm: Llm) -> None:
    text = json.dumps({"embedding": "x" * 3_000_000, "usage": usage(1700)}).encode()
    await llm.spends("alice", http.Response(200, JSON, text), 1700)
    charset = [(b"content-type", b"application/json; charset=utf-8")]
    text = json.dumps({"usage": usage(1500)}).encode()
    await llm.spends("bob", http.Response(200, charset, text), 1500)
    # It could not be read if it were compressed.
    assert [request.first(b"accept-encoding") for request in llm.origin.asked] == [None, None]


async def test_what_is_given_back_never_makes_a_bucket_more_than_full(llm: Llm) -> None:
    # A model that says that more was cached than it counted.
    assert (await llm.ask("alice", whole(100, cached=50_000)))[0] == 200
    await llm.spends("alice", whole(2000), 2000)
    assert await llm.balance("alice") <= CAPACITY - 2000 + 500


async def test_what_is_given_back_is_taken_off_before_a_debt_is_bounded(llm: Llm) -> None:
    # More than the rule reckons with, nearly all of it cached: 1,000 tokens are to be paid.
    await llm.spends("alice", whole(CAPACITY), CAPACITY)
    await llm.spends("alice", whole(10 * CAPACITY, cached=10 * CAPACITY - 1000), 1000)
