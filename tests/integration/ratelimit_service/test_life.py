"""The service from start to end: rules good and bad, Redis coming and going, signals."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING

import grpc
import pytest

from tests.integration.ratelimit_service.limiter import RULES, Limiter, running
from tests.servers import free_port, start_valkey
from tests.waiting import wait_until
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitResponse

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Server

OK, OVER = RateLimitResponse.OK, RateLimitResponse.OVER_LIMIT
BROKEN = RULES.replace("unit: minute", "unit: fortnight").replace("key: hourly", "kee: hourly")


async def test_broken_rules_at_start_are_all_named_and_nothing_is_served(
    tmp_path: Path, valkey: Server
) -> None:
    with running(tmp_path, valkey.url, BROKEN) as limiter:
        assert await limiter.ended() == 1
        said = limiter.said()
        file = limiter.rules / "shop.yaml"
        assert f"{file}:4:24: invalid rate limit unit 'fortnight'" in said
        assert f"{file}:5:5: config error, unknown key 'kee'" in said
        assert "Traceback" not in said


async def test_a_missing_rules_directory_is_one_sentence(tmp_path: Path, valkey: Server) -> None:
    with running(tmp_path, valkey.url, RUNTIME_SUBDIRECTORY="elsewhere") as limiter:
        assert await limiter.ended() == 1
        assert "there is no rules directory" in limiter.said()
        assert "Traceback" not in limiter.said()


async def test_wrong_settings_are_named_together(tmp_path: Path) -> None:
    with running(tmp_path, "http://x", GRPC_MAX_CONCURRENT_STREAMS="many") as limiter:
        assert await limiter.ended() == 2
        assert "REDIS_URL=http://x" in limiter.said()
        assert "GRPC_MAX_CONCURRENT_STREAMS=many" in limiter.said()


async def test_what_the_reference_could_do_and_this_cannot_is_refused_by_name(
    tmp_path: Path,
) -> None:
    with running(tmp_path, "redis://127.0.0.1:1", BACKEND_TYPE="memcache") as limiter:
        assert await limiter.ended() == 2
        assert "BACKEND_TYPE=memcache: memcached cannot charge" in limiter.said()


async def test_what_asks_for_nothing_and_what_changes_no_verdict_is_let_be(
    tmp_path: Path, valkey: Server
) -> None:
    usual = {"SHADOW_MODE": "false", "CONFIG_TYPE": "FILE", "USE_STATSD": "true"}
    with running(tmp_path, valkey.url, **usual) as limiter:
        await limiter.ready()
        assert "without effect here" in limiter.said()
        assert "USE_STATSD" in limiter.said()
        await limiter.channel.close()


async def test_a_used_port_is_one_sentence(tmp_path: Path, valkey: Server) -> None:
    with running(tmp_path, valkey.url, DEBUG_PORT=str(valkey.port)) as limiter:
        assert await limiter.ended() == 1
        assert f"port {valkey.port} on 127.0.0.1 is in use" in limiter.said()
        assert "Traceback" not in limiter.said()


async def test_saved_rules_are_taken_over_and_broken_ones_are_not(
    tmp_path: Path, valkey: Server
) -> None:
    with running(tmp_path, valkey.url) as limiter:
        await limiter.ready()
        limiter.write(RULES.replace("requests_per_unit: 3", "requests_per_unit: 2"))
        await wait_until(
            lambda: limiter.readyz()[1]["checks"]["rules"]["detail"] == "generation 2",
            description="the new rules are in force",
        )
        answer = await limiter.ask({"hourly": "x"})
        assert answer.statuses[0].current_limit.requests_per_unit == 2
        limiter.write(BROKEN)
        await wait_until(
            lambda: "fortnight" in limiter.readyz()[1]["checks"]["rules"]["detail"],
            description="/readyz tells what is wrong",
        )
        assert limiter.readyz()[0] == 200
        assert "rules not reloaded, the old ones stay" in limiter.said()
        metrics = limiter.get("/metrics")[1]
        assert 'sluice_ratelimit_config_loads_total{result="error"} 1.0' in metrics
        assert "sluice_ratelimit_config_stale 1.0" in metrics
        assert (await limiter.ask({"hourly": "x"})).statuses[0].limit_remaining == 0
        limiter.write(RULES)
        await wait_until(
            lambda: limiter.readyz()[1]["checks"]["rules"]["detail"] == "generation 3",
            description="the mended rules are in force",
        )
        assert "sluice_ratelimit_config_stale 0.0" in limiter.get("/metrics")[1]
        await limiter.channel.close()


async def test_sighup_reloads(tmp_path: Path, valkey: Server) -> None:
    with running(tmp_path, valkey.url) as limiter:
        await limiter.ready()
        limiter.stop(signal.SIGHUP)
        await wait_until(
            lambda: limiter.readyz()[1]["checks"]["rules"]["detail"] == "generation 2",
            description="the rules were loaded again",
        )
        await limiter.channel.close()


async def failure(limiter: Limiter, *, timeout_seconds: float = 1.0) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await limiter.ask({"hourly": "x"}, timeout=timeout_seconds)
    return caught.value.code()


async def test_it_starts_without_redis_and_serves_when_redis_comes(tmp_path: Path) -> None:
    with start_valkey() as server:
        server.kill()
        with running(tmp_path, server.url) as limiter:
            await wait_until(
                lambda: "grpc is listening" in limiter.said(), description="it waits for Redis"
            )
            assert await failure(limiter) is grpc.StatusCode.UNAVAILABLE
            assert limiter.readyz()[0] == 503
            assert limiter.get("/healthz")[0] == 200
            server.start()
            await limiter.ready()
            assert (await limiter.ask({"hourly": "x"})).overall_code == OK
            await limiter.channel.close()


async def test_a_dead_redis_is_told_at_once_and_rules_may_decide(tmp_path: Path) -> None:
    with start_valkey() as server, running(tmp_path, server.url) as limiter:
        await limiter.ready()
        assert (await limiter.ask({"hourly": "x"})).overall_code == OK
        server.kill()
        await wait_until(lambda: limiter.readyz()[0] == 503, description="it sees Redis is away")
        started = time.monotonic()
        assert await failure(limiter, timeout_seconds=5.0) is grpc.StatusCode.UNAVAILABLE
        assert time.monotonic() - started < 2.5, "well before the caller's deadline"
        assert (await limiter.ask({"open": "x"}, hits=99)).overall_code == OK
        assert (await limiter.ask({"shut": "x"})).overall_code == OVER
        server.start()
        await limiter.ready()
        assert (await limiter.ask({"hourly": "x"})).overall_code == OK
        assert "Traceback" not in limiter.said()
        await limiter.channel.close()


async def test_a_hung_redis_is_told_within_the_callers_deadline(tmp_path: Path) -> None:
    with start_valkey() as server, running(tmp_path, server.url) as limiter:
        await limiter.ready()
        server.stop()
        codes = await asyncio.gather(*(failure(limiter) for _ in range(20)))
        assert set(codes) == {grpc.StatusCode.UNAVAILABLE}
        server.cont()
        await limiter.ready()
        assert (await limiter.ask({"client_id": "y"})).overall_code == OK
        await limiter.channel.close()


async def test_sigterm_says_not_serving_lets_calls_end_and_exits_0(tmp_path: Path) -> None:
    with start_valkey() as server, running(tmp_path, server.url) as limiter:
        await limiter.ready()
        await limiter.ask({"client_id": "first"})
        server.stop()  # so that the calls are in flight when the signal comes
        calls = [asyncio.ensure_future(limiter.ask({"client_id": str(n)})) for n in range(20)]
        await wait_until(
            lambda: "sluice_ratelimit_store_takes_total 21.0" in limiter.get("/metrics")[1],
            description="the calls wait for Redis",
        )
        started = time.monotonic()
        limiter.stop()
        await wait_until(
            lambda: "lifecycle" in limiter.said(), description="it says that it drains"
        )
        server.cont()
        answers = await asyncio.gather(*calls)
        assert {answer.overall_code for answer in answers} == {OK}
        assert await limiter.ended() == 0
        assert time.monotonic() - started < 5
        assert "Traceback" not in limiter.said()
        await limiter.channel.close()


async def test_secrets_are_shown_nowhere(tmp_path: Path) -> None:
    url = f"redis://ratelimit:hunter2-hunter2@127.0.0.1:{free_port()}"
    with running(tmp_path, url, LOG_LEVEL="debug") as limiter:
        await wait_until(lambda: limiter.readyz()[0] == 503, description="it runs")
        for path in ("/configz", "/readyz", "/metrics", "/buildz"):
            assert "hunter2" not in limiter.get(path)[1]
        assert await failure(limiter) is grpc.StatusCode.UNAVAILABLE
        assert "hunter2" not in limiter.said()
        await limiter.channel.close()
