"""The demo of the README: `python -m sluice.demo`, start to end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.waiting import wait_until

pytestmark = pytest.mark.e2e

DEMO_SECONDS = 45


async def demo(folder: Path | None = None, **more: str) -> asyncio.subprocess.Process:
    # A developer's own settings must not reach the demo's mesh.
    environ = {**os.environ, "REDIS_URL": "redis://127.0.0.1:1", "SLUICE_ENVOY_PORT": "nonsense"}
    root = Path(__file__).parents[2]
    environ = {**environ, "PYTHONPATH": str(root), **more}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "sluice.demo"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environ,
        cwd=folder,
    )


async def test_the_demo_shows_what_it_measured_and_exits_0() -> None:
    process = await demo()
    out, err = await asyncio.wait_for(process.communicate(), DEMO_SECONDS)
    said = out.decode()
    assert process.returncode == 0, said + err.decode()
    assert "every expectation held" in said
    for row in ("answered 200", "answered 429", "p50 / p99", "retry-after", "calls as bob"):
        assert row in said


async def test_modules_of_the_folder_it_is_started_in_do_not_take_ours_place(
    tmp_path: Path,
) -> None:
    for name in ("redis", "grpc", "click", "yaml", "hiredis"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a stranger')")
    process = await demo(tmp_path)
    out, err = await asyncio.wait_for(process.communicate(), DEMO_SECONDS)
    assert process.returncode == 0, out.decode() + err.decode()


async def test_a_mesh_that_does_not_come_up_is_told_with_its_reason() -> None:
    process = await demo(LOG_LEVEL="nonsense")
    _, err = await asyncio.wait_for(process.communicate(), DEMO_SECONDS)
    assert process.returncode == 1
    last = err.decode().splitlines()[-1]
    assert last.startswith("demo: the mesh did not come up: `sluice up` ended with exit code 1")
    assert "LOG_LEVEL" in last


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
