"""The recipes of envoy/recipes that decide by who calls: each as its comments say it works."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from fastlane import http
from sluice.mesh.binaries import find_envoy
from tests.e2e.recipes import FOLDER, RULES, Origin, serving
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Server

pytestmark = pytest.mark.e2e

NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def test_the_rules_of_all_recipes_can_be_served_together() -> None:
    command = [sys.executable, "-m", "sluice", "check", str(RULES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no problems" in done.stdout + done.stderr


def test_the_list_of_recipes_is_whole() -> None:
    listed = re.findall(
        r"^\| \[(\S+)\]\(\1\.yaml\)", (FOLDER / "README.md").read_text(), re.MULTILINE
    )
    assert sorted(listed) == NAMES
    assert sorted(path.stem for path in RULES.glob("*.yaml")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_envoy_finds_nothing_deprecated_in_a_recipe(name: str, tmp_path: Path) -> None:
    text = (FOLDER / f"{name}.yaml").read_text()
    config = tmp_path / "envoy.yaml"
    lines = [
        line.partition("${")[0] + "12345}" if "${" in line else line for line in text.splitlines()
    ]
    config.write_text("\n".join(lines))
    command = [str(find_envoy(None)), "--mode", "validate", "-c", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower()


async def test_headers_say_the_limit_what_is_left_and_when_to_come_back(
    tmp_path: Path, valkey: Server
) -> None:
    environ = {"LIMIT_RESPONSE_HEADERS_ENABLED": "true"}
    async with serving("headers", tmp_path, valkey.url, Origin(), environ=environ) as recipe:
        alice = {"x-client-id": "alice"}
        first = await recipe.call("/", alice)
        assert first.status == 200
        limit = '3, 3;w=60;name="per client", 100;w=3600;name="all together"'
        assert first.headers["x-ratelimit-limit"] == limit
        assert first.headers["x-ratelimit-remaining"] == "2"
        assert first.headers["x-ratelimit-reset"] == "20"  # one of three a minute
        assert "retry-after" not in first.headers
        assert first.headers["ratelimit-limit"] == "3"
        assert first.headers["ratelimit-remaining"] == "2"
        assert first.headers["ratelimit-reset"] == "20"

        assert await recipe.calls(2, "/", alice) == [200, 200]
        refused = await recipe.call("/", alice)
        assert refused.status == 429
        assert refused.headers["x-ratelimit-remaining"] == "0"
        assert refused.headers["ratelimit-remaining"] == "0"
        # A token is back twenty seconds after the first went; some of them may have passed.
        assert 15 <= int(refused.headers["retry-after"]) <= 20
        assert refused.headers["x-ratelimit-reset"] == refused.headers["retry-after"]
        assert refused.headers["ratelimit-reset"] == refused.headers["retry-after"]
        assert "x-envoy-ratelimited" not in refused.headers
        # The limit of all together was not charged for it.
        assert await recipe.balance(("everybody", "together")) == 97


async def test_without_its_setting_the_service_sends_no_headers_of_its_own(
    tmp_path: Path, valkey: Server
) -> None:
    async with serving("headers", tmp_path, valkey.url, Origin()) as recipe:
        reply = await recipe.call("/", {"x-client-id": "alice"})
        assert reply.headers["x-ratelimit-remaining"] == "2"
        assert not [name for name in reply.headers if name.startswith("ratelimit")]


# The key that own-limits.yaml has for trying.
KEY = b"a key for trying, not for use!"


def token(claims: dict[str, Any], key: bytes = KEY) -> dict[str, str]:
    """Return the header that carries these claims, signed."""
    standard = {"iss": "https://accounts.example", "aud": "api.example", "exp": time.time() + 600}
    parts = [{"alg": "HS256", "kid": "try"}, standard | claims]
    signed = b".".join(_base64(json.dumps(part).encode()) for part in parts)
    signature = _base64(hmac.new(key, signed, hashlib.sha256).digest())
    return {"authorization": f"Bearer {(signed + b'.' + signature).decode()}"}


def _base64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


async def test_a_token_brings_its_own_limit(tmp_path: Path, valkey: Server) -> None:
    async with serving("own-limits", tmp_path, valkey.url, Origin()) as recipe:
        free = token({"sub": "fred"})
        assert await recipe.calls(3, "/", free) == [200, 200, 429]

        limit = {"requests_per_unit": 5, "unit": "HOUR"}
        paid = token({"sub": "paula", "rate_limit": limit})
        first = await recipe.call("/", paid)
        assert first.headers["x-ratelimit-limit"] == "5, 5;w=3600"
        assert await recipe.calls(5, "/", paid) == [200] * 4 + [429]
        # Who changes his limit keeps the share he has used: half of four, then half of two.
        moving = {"sub": "mona", "rate_limit": {"requests_per_unit": 4, "unit": "HOUR"}}
        assert await recipe.calls(2, "/", token(moving)) == [200, 200]
        assert await recipe.calls(2, "/", token({"sub": "mona"})) == [200, 429]

        none = token({"sub": "nina", "rate_limit": {"requests_per_unit": 0, "unit": "HOUR"}})
        assert await recipe.calls(1, "/", none) == [429]


UNREADABLE: list[object] = [
    {"requests_per_unit": 50, "unit": "WEEK"},  # not among Envoy's units
    {"requests_per_unit": 50, "unit": "hour"},
    {"requests_per_unit": "many", "unit": "HOUR"},
    {"unit": "HOUR"},
    "50 an hour",
]


async def test_where_envoy_cannot_read_a_limit_the_rule_holds(
    tmp_path: Path, valkey: Server
) -> None:
    async with serving("own-limits", tmp_path, valkey.url, Origin()) as recipe:
        for number, limit in enumerate(UNREADABLE):
            odd = token({"sub": f"otto {number}", "rate_limit": limit})
            limits = (await recipe.call("/", odd)).headers["x-ratelimit-limit"]
            assert limits == '2, 2;w=3600;name="free"', limit
            assert await recipe.calls(2, "/", odd) == [200, 429]


async def test_nobody_states_a_limit_of_his_own(tmp_path: Path, valkey: Server) -> None:
    async with serving("own-limits", tmp_path, valkey.url, Origin()) as recipe:
        limit = {"requests_per_unit": 1_000_000, "unit": "SECOND"}
        forged = token(
            {"sub": "mallory", "rate_limit": limit}, key=b"another key of thirty bytes...."
        )
        assert (await recipe.call("/", forged)).status == 401
        assert (await recipe.call("/")).status == 401


async def test_limits_per_client_header_and_route(tmp_path: Path, valkey: Server) -> None:
    async with serving("callers", tmp_path, valkey.url, Origin()) as recipe:
        alice, bob = {"x-api-key": "alice"}, {"x-api-key": "bob"}
        urgent = {**alice, "x-priority": "high"}
        assert await recipe.calls(3, "/api/a", urgent) == [200, 200, 429]
        # The third was not charged anywhere: two of her four are left.
        assert await recipe.balance(("api_key", "alice")) == 2
        assert await recipe.balance(("route", "api")) == 10
        assert await recipe.calls(3, "/api/a", alice) == [200, 200, 429]
        assert await recipe.calls(5, "/api/b", bob) == [200] * 4 + [429]
        # All together have used eight of the route's twelve; a partner with a limit of 400 takes the rest.
        assert await recipe.calls(5, "/api/c", {"x-api-key": "partner"}) == [200] * 4 + [429]
        # Other routes know no keys; but every call came from one address, twelve until now.
        assert await recipe.calls(9, "/", alice) == [200] * 8 + [429]


async def test_an_edge_does_not_believe_the_address_a_caller_writes(
    tmp_path: Path, valkey: Server
) -> None:
    async with serving("callers", tmp_path, valkey.url, Origin()) as recipe:
        for number in range(20):
            spoofed = {"x-forwarded-for": f"198.51.100.{number}"}
            assert (await recipe.call("/", spoofed)).status == 200
        assert (await recipe.call("/", {"x-forwarded-for": "198.51.100.99"})).status == 429
        assert await recipe.balance(("masked_remote_address", "127.0.0.1/32")) == 0


async def test_behind_a_proxy_the_address_is_the_one_the_proxy_wrote(
    tmp_path: Path, valkey: Server
) -> None:
    async with serving("behind-proxy", tmp_path, valkey.url, Origin()) as recipe:

        async def proxied(caller: str, wrote: str = "") -> int:
            """Call through a load balancer, which appends its caller's address to what he wrote."""
            field = f"{wrote}, {caller}" if wrote else caller
            return (await recipe.call("/", {"x-forwarded-for": field})).status

        spoofs = ["", "198.51.100.1", "198.51.100.2, 198.51.100.3", "127.0.0.1"]
        assert [await proxied("192.0.2.1", wrote) for wrote in spoofs] == [200, 200, 200, 429]
        assert await proxied("192.0.2.2") == 200
        # A home network of IPv6 has 2**64 addresses, and one bucket.
        home = [f"2001:db8:0:1::{number:x}" for number in range(4)]
        assert [await proxied(address) for address in home] == [200, 200, 200, 429]
        assert await proxied("2001:db8:0:2::1") == 200


async def test_without_a_proxy_that_recipe_lets_callers_choose_their_address(
    tmp_path: Path, valkey: Server
) -> None:
    """The trap that its comments warn of."""
    async with serving("behind-proxy", tmp_path, valkey.url, Origin()) as recipe:
        spoofed = [{"x-forwarded-for": f"198.51.100.{number}"} for number in range(10)]
        assert [(await recipe.call("/", one)).status for one in spoofed] == [200] * 10


async def test_calls_go_to_the_second_pool_when_the_first_is_used_up(
    tmp_path: Path, valkey: Server
) -> None:
    reserved, on_demand = Origin(), Origin(http.Response(200, body=b"on demand"))
    await on_demand.open()
    try:
        async with serving(
            "quota",
            tmp_path,
            valkey.url,
            reserved,
            environ={"RESPONSE_DYNAMIC_METADATA": "true"},
            SLUICE_ON_DEMAND_PORT=on_demand.port,
        ) as recipe:
            first, second = ("pool", "reserved"), ("pool", "on_demand")

            async def served(times: int, pool: tuple[str, str], left: int) -> list[str]:
                lines = []
                for number in range(1, times + 1):
                    reply = await recipe.call("/")
                    assert reply.status == 200
                    lines += reply.lines

                    async def charged(expected: int = left - number) -> bool:
                        return await recipe.balance(pool) == expected

                    await wait_until(charged, description=f"call {number} of {pool} is charged")
                return lines

            # A pool is chosen until it is below zero: five it has, one more it owes.
            assert await served(6, first, 5) == ["hello"] * 6
            assert await recipe.balance(second) == 3
            assert await served(4, second, 3) == ["on demand"] * 4
            assert await recipe.balance(first) == -1
            assert await recipe.calls(3, "/", {}) == [429] * 3
            assert [await recipe.balance(pool) for pool in (first, second)] == [-1, -1]
            assert (len(reserved.asked), len(on_demand.asked)) == (6, 4)
    finally:
        await on_demand.close()


async def test_a_limit_on_trial_is_seen_in_the_log_and_then_put_in_force(
    tmp_path: Path, valkey: Server
) -> None:
    environ = {"RESPONSE_DYNAMIC_METADATA": "true"}
    async with serving("shadow", tmp_path, valkey.url, Origin(), environ=environ) as recipe:
        alice = {"x-client-id": "alice"}
        assert await recipe.calls(5, "/", alice) == [200] * 5
        await wait_until(lambda: len(recipe.log()) == 5, description="the log is written")
        passed = {"entries": ["client_id=alice"], "rule": "trial.client_id", "code": "OK"}
        would_not = passed | {"shadow": True}
        seen = [line["limits"] for line in recipe.log()]
        assert seen == [[passed]] * 3 + [[would_not]] * 2
        assert [line["status"] for line in recipe.log()] == [200] * 5

        text = recipe.rules.read_text()
        kept = [line for line in text.splitlines() if "shadow_mode" not in line]
        recipe.rules.write_text("\n".join(kept) + "\n")

        async def in_force() -> bool:
            return (await recipe.call("/", alice)).status == 429

        await wait_until(in_force, description="the rule is in force, with what it had counted")
        await wait_until(lambda: recipe.log()[-1]["flags"] == "RL", description="and logged")
        assert recipe.log()[-1]["limits"] == [passed | {"code": "OVER_LIMIT"}]
        assert (await recipe.call("/", {"x-client-id": "bob"})).status == 200
