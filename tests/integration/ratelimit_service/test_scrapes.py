"""What Prometheus reads of a service with many rules, and what it costs the calls meanwhile."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tests.integration.ratelimit_service.limiter import running

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Server


def many(count: int) -> str:
    return "domain: shop\ndescriptors:\n" + "".join(
        f"  - {{key: r{index}, rate_limit: {{unit: hour, requests_per_unit: 1000000}}}}\n"
        for index in range(count)
    )


async def test_a_scrape_holds_no_call_up(tmp_path: Path, valkey: Server) -> None:
    """Envoy waits 20 ms for an answer, and then lets everything pass."""
    with running(tmp_path, valkey.url, many(1000)) as limiter:
        await limiter.ready()
        for index in range(0, 1000, 100):
            asked = [limiter.ask({f"r{index + one}": "a"}) for one in range(100)]
            await asyncio.gather(*asked)
        best = []
        for _ in range(3):
            scrape = asyncio.create_task(asyncio.to_thread(limiter.get, "/metrics"))
            waits = []
            while not scrape.done():
                since = time.monotonic()
                await limiter.ask({"r1": "a"})
                waits.append(time.monotonic() - since)
            best.append(max(waits))
        await limiter.channel.close()
        assert min(best) < 0.05


async def test_every_rule_has_its_numbers(tmp_path: Path, valkey: Server) -> None:
    with running(tmp_path, valkey.url, many(2100)) as limiter:
        await limiter.ready()
        for index in range(0, 2100, 100):
            asked = [limiter.ask({f"r{index + one}": "a"}) for one in range(100)]
            await asyncio.gather(*asked)
        said = (await asyncio.to_thread(limiter.get, "/metrics"))[1]
        await limiter.channel.close()
        assert said.count("sluice_ratelimit_rule_total_hits_total{") == 2100
