"""The demo of the README: `python -m sluice.demo`, start to end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import psutil
import pytest

from tests.waiting import wait_until

pytestmark = pytest.mark.e2e

DEMO_SECONDS = 45


async def demo() -> asyncio.subprocess.Process:
    # A developer's own settings must not reach the demo's mesh.
    environ = {**os.environ, "REDIS_URL": "redis://127.0.0.1:1", "SLUICE_ENVOY_PORT": "nonsense"}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "sluice.demo"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environ,
    )


async def test_the_demo_shows_what_it_measured_and_exits_0() -> None:
    process = await demo()
    out, err = await asyncio.wait_for(process.communicate(), DEMO_SECONDS)
    said = out.decode()
    assert process.returncode == 0, said + err.decode()
    assert "every expectation held" in said
    for row in ("answered 200", "answered 429", "p50 / p99", "retry-after", "calls as bob"):
        assert row in said


async def test_a_killed_demo_leaves_nothing_running() -> None:
    process = await demo()
    assert process.stdout is not None
    seen: dict[int, psutil.Process] = {}
    async for line in process.stdout:
        for child in psutil.Process(process.pid).children(recursive=True):
            seen[child.pid] = child
        if b"calls through Envoy" in line:
            break
    assert len(seen) > 4
    process.send_signal(signal.SIGKILL)
    await process.communicate()

    def all_ended() -> bool:
        return not any(
            child.is_running() and child.status() != psutil.STATUS_ZOMBIE
            for child in seen.values()
            if psutil.pid_exists(child.pid)
        )

    await wait_until(all_ended, timeout=10, description="everything the demo started has ended")
