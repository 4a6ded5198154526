"""The life of a run: ready, killed parts come back, every way to end leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from sluice.demo.mesh_process import free_block
from sluice.mesh.ports import why_not_free
from tests.integration.sluice.running import (
    ORPHAN_SECONDS,
    STOP_SECONDS,
    Up,
    stand_in_envoy,
)
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

IGNORES_SIGTERM = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    signal.pause()
"""


def ask_redis(url: str, command: bytes) -> bytes:
    host, _, port = url.removeprefix("redis://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(command + b"\r\n")
        return connection.recv(1000)


def pid_behind(up: Up, address: str) -> int:
    pid = up.pid_listening(int(address.rpartition(":")[2]))
    assert pid is not None, f"nothing listens on {address}"
    return pid


def ready(ops: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{ops}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False


async def test_ready_is_the_last_line_and_names_each_part() -> None:
    with Up("--only", "redis,demo") as up:
        addresses = await up.ready()
        first = up.first_port
        assert addresses == {
            "redis": f"redis://127.0.0.1:{first + 6}",
            "demo": f"127.0.0.1:{first + 7}",
        }
        assert [line.split()[0] for line in up.out] == ["redis", "demo", "ready"]
        assert f"redis://127.0.0.1:{first + 6}" in up.out[0]
        assert ask_redis(addresses["redis"], b"PING") == b"+PONG\r\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_a_signal_ends_everything_in_reverse_order(number: signal.Signals) -> None:
    with Up("--only", "redis,demo,envoy") as up:
        await up.ready()
        up.descendants()
        assert up.state.is_dir()
        up.process.send_signal(number)
        assert await up.ended() == 0
        assert not up.living()
        assert not up.state.exists()
        stops = [line for line in up.err if line.startswith("stop")]
        assert stops == ["stopping envoy", "stopping demo", "stopping redis", "stopped"]


async def test_killed_parts_come_back_and_it_is_said() -> None:
    with Up("--only", "redis,demo,envoy") as up:
        addresses = await up.ready()
        listeners = {
            "redis": addresses["redis"],
            "demo": addresses["demo"],
            "envoy": addresses["envoy"]["http"],
        }
        for name, address in listeners.items():
            before = await up.kill_listener(address)
            await up.notes(f"{name} ended (signal 9); restarting in ")
            await up.notes(f"{name} is healthy again")
            assert up.pid_listening(int(address.rpartition(":")[2])) not in {None, before}
        assert len(up.out) == 4, "what happens later does not follow `ready` on stdout"


async def test_what_was_written_survives_a_killed_redis_and_the_next_run(tmp_path: Path) -> None:
    state = str(tmp_path)
    with Up("--only", "redis", "--state", state) as up:
        addresses = await up.ready()
        ask_redis(addresses["redis"], b"SET balance 7")
        await up.kill_listener(addresses["redis"])
        await up.notes("redis is healthy again")
        assert ask_redis(addresses["redis"], b"GET balance") == b"$1\r\n7\r\n"
    with Up("--only", "redis", "--state", state) as up:
        addresses = await up.ready()
        assert ask_redis(addresses["redis"], b"GET balance") == b"$1\r\n7\r\n"


async def test_a_port_taken_at_a_restart_is_tried_again() -> None:
    with Up("--only", "redis") as up:
        addresses = await up.ready()
        port = int(addresses["redis"].rpartition(":")[2])
        await up.kill_listener(addresses["redis"])
        await up.notes("redis ended (signal 9); restarting in ")
        with socket.create_server(("127.0.0.1", port)):
            await up.notes(f"redis finds that port {port} is in use; restarting in ")
        await up.notes("redis is healthy again")


async def test_a_part_that_hangs_is_restarted_and_one_that_waits_for_it_is_not() -> None:
    with Up("--only", "redis,ratelimit") as up:
        addresses = await up.ready()
        ops = addresses["ratelimit"]["ops"]
        redis = pid_behind(up, addresses["redis"])
        limiter = pid_behind(up, ops)
        os.kill(redis, signal.SIGSTOP)
        await up.notes("redis hangs (does not answer within 2 s, 3 times in a row) and was killed")
        assert not ready(ops), "else this is no test of a part that waits"
        await up.notes("redis is healthy again")
        await wait_until(lambda: ready(ops), description="the limiter serves again")
        assert pid_behind(up, addresses["redis"]) != redis
        assert pid_behind(up, ops) == limiter
        ended = ("ratelimit ended", "ratelimit hangs")
        assert not [line for line in up.err if line.startswith(ended)]


async def test_every_kind_of_part_that_hangs_is_found() -> None:
    with Up("--only", "demo,envoy") as up:
        addresses = await up.ready()
        for address in (addresses["demo"], addresses["envoy"]["http"]):
            os.kill(pid_behind(up, address), signal.SIGSTOP)
        for part in ("demo", "envoy"):
            await up.notes(f"{part} hangs (does not answer within 2 s")
            await up.notes(f"{part} is healthy again")


async def test_a_killed_supervisor_takes_every_part_along() -> None:
    with Up("--only", "redis,demo,envoy") as up:
        addresses = await up.ready()
        up.descendants()
        assert len(up.living()) >= 4
        # A part that is stopped can answer no signal but SIGKILL.
        os.kill(up.pid_listening(int(addresses["demo"].rpartition(":")[2])) or 0, signal.SIGSTOP)
        assert up.state.is_dir()
        up.process.kill()
        await wait_until(lambda: not up.living(), timeout=ORPHAN_SECONDS, description="all ended")
        await wait_until(lambda: not up.state.exists(), timeout=ORPHAN_SECONDS)


async def test_a_killed_supervisor_takes_stubborn_parts_and_their_workers_along(
    tmp_path: Path,
) -> None:
    first = free_block()
    envoy = stand_in_envoy(tmp_path, IGNORES_SIGTERM, admin=first + 1)
    with Up("--only", "envoy", "--envoy", envoy, first_port=first) as up:
        await up.ready()
        up.descendants()
        assert len(up.living()) == 3, "the guardian, the stand-in and its worker"
        up.process.kill()
        await wait_until(lambda: not up.living(), timeout=ORPHAN_SECONDS, description="all ended")


async def test_a_killed_guardian_is_replaced() -> None:
    with Up("--only", "demo") as up:
        await up.ready()
        (guardian,) = [p for p in up.descendants() if "guardian.py" in " ".join(p.cmdline())]
        guardian.kill()

        def another() -> bool:
            return any(
                "guardian.py" in " ".join(process.cmdline())
                for process in up.descendants()
                if process in up.living() and process.pid != guardian.pid
            )

        await wait_until(another, timeout=10, description="another guardian")


async def test_a_part_that_ignores_sigterm_is_killed_with_its_workers(tmp_path: Path) -> None:
    first = free_block()
    envoy = stand_in_envoy(tmp_path, IGNORES_SIGTERM, admin=first + 1)
    with Up("--only", "envoy", "--envoy", envoy, first_port=first) as up:
        await up.ready()
        up.descendants()
        up.process.terminate()
        assert await up.ended() == 0
        assert "envoy did not end within 2 s and is killed" in up.err
        assert not up.living()


async def test_a_second_ctrl_c_hurries(tmp_path: Path) -> None:
    first = free_block()
    envoy = stand_in_envoy(tmp_path, IGNORES_SIGTERM, admin=first + 1)
    with Up("--only", "envoy", "--envoy", envoy, first_port=first) as up:
        await up.ready()
        up.descendants()
        up.process.send_signal(signal.SIGINT)
        await up.notes("stopping envoy")
        up.process.send_signal(signal.SIGINT)
        assert await up.ended() == 0
        assert "killing what is left" in up.err
        assert not any("did not end within" in line for line in up.err)
        assert not up.living()


async def test_a_part_killed_by_hand_while_it_starts_is_started_again(tmp_path: Path) -> None:
    first = free_block()
    die_once = """
if not os.path.exists(__file__ + ".once"):
    open(__file__ + ".once", "w").close()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    envoy = stand_in_envoy(tmp_path, die_once, admin=first + 1)
    with Up("--only", "envoy", "--envoy", envoy, first_port=first) as up:
        await up.ready()
        assert any("envoy ended (signal 9); restarting in " in line for line in up.err)


async def test_ctrl_c_while_a_part_starts_says_what_is_waited_for_and_ends(tmp_path: Path) -> None:
    envoy = stand_in_envoy(tmp_path, "signal.pause()")
    with Up("--only", "demo,envoy", "--envoy", envoy) as up:
        await up.notes("envoy is not healthy yet after 1 s: does not listen yet")
        up.descendants()
        up.process.send_signal(signal.SIGINT)
        assert await up.ended() == 0
        assert not up.living()
        assert not any(line.startswith("ready") for line in up.out)


async def test_a_reader_that_leaves_ends_the_run_cleanly() -> None:
    first = free_block()
    reader, out = os.pipe()
    process = subprocess.Popen(  # noqa: ASYNC220  starts at once
        [sys.executable, "-m", "sluice", "up", "--only", "redis", "--ports-from", str(first)],
        stdout=out,
        stderr=subprocess.PIPE,
    )
    os.close(out)
    os.close(reader)
    try:
        await wait_until(lambda: process.poll() is not None, timeout=STOP_SECONDS)
    finally:
        process.kill()
        _, said = process.communicate()
    assert process.returncode == 0
    assert b"Traceback" not in said
    assert why_not_free(first + 6) is None


async def test_results_that_cannot_be_written_are_a_failure() -> None:
    first = free_block()
    with open("/dev/full", "wb") as full:  # noqa: ASYNC230, PTH123  opens at once
        process = subprocess.Popen(  # noqa: ASYNC220  starts at once
            [sys.executable, "-m", "sluice", "up", "--only", "redis", "--ports-from", str(first)],
            stdout=full,
            stderr=subprocess.PIPE,
        )
    try:
        await wait_until(lambda: process.poll() is not None, timeout=STOP_SECONDS)
    finally:
        process.kill()
        _, said = process.communicate()
    assert process.returncode == 1
    assert said.splitlines()[-1].startswith(b"sluice: stdout cannot be written (No space left")
    assert why_not_free(first + 6) is None


async def test_with_stdout_closed_from_the_start_no_file_is_mistaken_for_it(tmp_path: Path) -> None:
    command = f'exec "{sys.executable}" -m sluice up --only redis --ports-from {free_block()}'
    process = subprocess.Popen(  # noqa: ASYNC220  starts at once
        ["/bin/sh", "-c", f'{command} --state "{tmp_path}" >&-'], stderr=subprocess.PIPE
    )
    try:
        lock = tmp_path / "lock"
        await wait_until((tmp_path / "log/redis.log").exists, timeout=STOP_SECONDS)
        assert lock.read_text() == str(process.pid)
    finally:
        process.terminate()
        _, said = process.communicate(timeout=STOP_SECONDS)
    assert process.returncode == 0
    assert b"Traceback" not in said
    assert lock.read_text() == str(process.pid)


async def test_the_way_to_the_end_is_short() -> None:
    with Up("--only", "redis,demo,envoy") as up:
        await up.ready()
        begun = time.monotonic()
        up.process.terminate()
        await up.ended()
        assert time.monotonic() - begun < STOP_SECONDS
