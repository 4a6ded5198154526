"""What callers meet while Redis or the service is away: envoy/recipes/failure-modes."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from tests.e2e.recipes import Origin, Recipe, serving
from tests.servers import Server, start_valkey
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

_names = itertools.count()
PARTS = ["search", "login", "orders", "reports", "payments"]


@pytest.fixture
def redis() -> Iterator[Server]:
    with start_valkey() as server:
        yield server


@pytest.fixture
async def recipe(tmp_path: Path, redis: Server) -> AsyncIterator[Recipe]:
    async with serving("failure-modes", tmp_path, redis.url, Origin()) as recipe:
        yield recipe


def somebody() -> str:
    """Return a client that has not called as yet."""
    return f"client-{next(_names)}"


async def call(recipe: Recipe, client: str) -> dict[str, int]:
    """Call each part once; return the statuses."""
    return {part: (await recipe.call(f"/{part}", {"x-client-id": client})).status for part in PARTS}


async def judged(recipe: Recipe) -> None:
    """Return when every part's verdicts come from Redis in the time Envoy waits for them."""

    async def all_judged() -> bool:
        client = {"x-client-id": somebody()}
        replies = [await recipe.call(f"/{part}", client) for part in PARTS]
        return all(reply.headers.get("x-ratelimit-remaining") == "3" for reply in replies)

    await wait_until(all_judged, timeout=20, description="calls are judged")


async def test_while_redis_is_away_each_rule_answers_as_it_says(
    recipe: Recipe, redis: Server
) -> None:
    for _ in range(4):
        assert await call(recipe, "used up") == dict.fromkeys(PARTS, 200)
    assert await call(recipe, "used up") == dict.fromkeys(PARTS, 429)
    assert await call(recipe, "half") == dict.fromkeys(PARTS, 200)
    assert await call(recipe, "half") == dict.fromkeys(PARTS, 200)

    redis.kill()
    away = {"search": 200, "login": 429, "orders": 429, "reports": 200, "payments": 503}
    assert await call(recipe, "used up") == away
    denied = await recipe.call("/login", {"x-client-id": "used up"})
    assert denied.headers["retry-after"] == "1"
    # Who had two left has two, and who was never seen has all four.
    for client, left in (("half", 2), ("new", 4)):
        for _ in range(left):
            assert await call(recipe, client) == away | {"orders": 200}
        assert await call(recipe, client) == away

    redis.start()
    await judged(recipe)
    assert set((await call(recipe, "new")).values()) == {200}


async def test_a_redis_that_hangs_is_given_up_before_envoy_gives_up_the_service(
    tmp_path: Path, redis: Server
) -> None:
    away = {"search": 200, "login": 429, "orders": 200, "reports": 200, "payments": 503}
    async with serving("failure-modes", tmp_path, redis.url, Origin(), patient=False) as recipe:
        await judged(recipe)
        redis.stop()

        async def as_the_rules_say() -> bool:
            return await call(recipe, somebody()) == away

        # Mostly at the first call; where the machine is busy, Envoy's patience may end sooner.
        await wait_until(as_the_rules_say, description="each rule answers for itself")
        redis.cont()
        await judged(recipe)


async def test_while_the_service_is_away_the_filter_decides(recipe: Recipe) -> None:
    allowed, failed = "ratelimit.failure_mode_allowed", "ratelimit.error"
    before = await recipe.stat(allowed), await recipe.stat(failed)
    process = recipe.limiter.process
    assert process is not None
    process.kill()
    process.wait(timeout=10)
    assert await call(recipe, "alice") == dict.fromkeys(PARTS, 200) | {"payments": 503}
    assert await recipe.stat(allowed) - before[0] == 4
    assert await recipe.stat(failed) - before[1] == 5

    recipe.limiter.start()
    await recipe.ready()
    await judged(recipe)
