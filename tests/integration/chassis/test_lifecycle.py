"""A whole process under signals: start, reload, drain, exit codes, and what stderr says."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from chassis.log import LogLevel
from tests.servers import free_port
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Starter = Callable[..., "Sample"]

ROOT = Path(__file__).parents[3]
# As the sample closes its parts: last started first.
ORDER = ("health", "grpc", "ops", "part")


class Sample:
    """The sample app as a process."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.grpc_port, self.ops_port = free_port(), free_port()
        self.log = folder / f"sample-{self.grpc_port}.log"
        ports = {"GRPC_PORT": str(self.grpc_port), "DEBUG_PORT": str(self.ops_port)}
        with self.log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.chassis.sample_app"],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], **ports, "LOG_FORMAT": "json", **environ},
                stdout=subprocess.PIPE,
                stderr=stderr,
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def get(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.ops_port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""
        except OSError:
            return 0, ""

    async def ready(self) -> None:
        await wait_until(lambda: '"started"' in self.said, timeout=20, description="it starts")
        assert self.get("/readyz")[0] == 200

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def exit_code(self, timeout: float = 10) -> int:
        return self.process.wait(timeout)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.communicate(timeout=10)


@pytest.fixture
def samples(tmp_path: Path) -> Iterator[Starter]:
    """Start samples with the environment given; every one is ended with the test."""
    made: list[Sample] = []

    def start(**environ: str) -> Sample:
        made.append(Sample(tmp_path, **environ))
        return made[-1]

    yield start
    for sample in made:
        sample.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_stop_it_closes_in_order_and_exits_clean(
    samples: Starter, number: signal.Signals
) -> None:
    sample = samples(LOG_LEVEL="debug")
    await sample.ready()
    started = time.monotonic()
    sample.tell(number)
    assert sample.exit_code() == 0
    assert time.monotonic() - started < 3
    said = sample.said
    order = [said.index(f'"part": "{part}", "event": "closing"') for part in ORDER]
    assert order == sorted(order)
    assert "Traceback" not in said


async def test_it_is_not_serving_while_calls_in_flight_finish(samples: Starter) -> None:
    sample = samples()
    await sample.ready()
    with grpc.insecure_channel(f"127.0.0.1:{sample.grpc_port}") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        sample.tell(signal.SIGTERM)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert list(watch) == []
        assert sample.exit_code() == 0


async def test_a_second_signal_ends_it_at_once(samples: Starter) -> None:
    sample = samples(SAMPLE="never closes")
    await sample.ready()
    sample.tell(signal.SIGTERM)
    await wait_until(lambda: "part is closing" in sample.said)
    started = time.monotonic()
    sample.tell(signal.SIGTERM)
    assert sample.exit_code() == 128 + signal.SIGTERM
    assert time.monotonic() - started < 1


async def test_a_part_that_does_not_close_is_left_behind_in_time(samples: Starter) -> None:
    sample = samples(SAMPLE="never closes")
    await sample.ready()
    started = time.monotonic()
    sample.tell(signal.SIGTERM)
    assert sample.exit_code() == 1
    assert time.monotonic() - started < 5
    assert "did not close in time" in sample.said


async def test_how_long_closing_may_take_is_the_services_to_say(samples: Starter) -> None:
    sample = samples(SAMPLE="never closes", CLOSE="250ms")
    await sample.ready()
    started = time.monotonic()
    sample.tell(signal.SIGTERM)
    assert sample.exit_code() == 1
    assert time.monotonic() - started < 3
    assert '"seconds": 0.25' in sample.said


@pytest.mark.parametrize("reload", ["reload never ends", "reload blocks a thread"])
async def test_told_to_stop_while_it_reloads(samples: Starter, reload: str) -> None:
    sample = samples(SAMPLE=reload)
    await sample.ready()
    sample.tell(signal.SIGHUP)
    await wait_until(lambda: "reload is under way" in sample.said)
    started = time.monotonic()
    sample.tell(signal.SIGTERM)
    assert sample.exit_code() == 0
    assert time.monotonic() - started < 3
    assert '"stopped"' in sample.said
    assert "Traceback" not in sample.said


async def test_a_part_that_fails_to_close_does_not_stop_the_others(samples: Starter) -> None:
    sample = samples(SAMPLE="bug at close")
    await sample.ready()
    sample.tell(signal.SIGTERM)
    assert sample.exit_code() == 1
    assert sample.said.count("Traceback") == 1
    assert '"stopped"' in sample.said


async def test_told_to_stop_while_it_starts(samples: Starter) -> None:
    sample = samples(SAMPLE="never starts")
    await wait_until(lambda: "starting for ever" in sample.said, timeout=20)
    sample.tell(signal.SIGTERM)
    assert sample.exit_code() == 0


async def test_hangup_reloads_and_a_refused_reload_changes_nothing(samples: Starter) -> None:
    sample = samples(SAMPLE="bad reload")
    await sample.ready()
    sample.tell(signal.SIGHUP)
    await wait_until(lambda: "a.yaml:9: broken now" in sample.said)
    assert "Traceback" not in sample.said
    sample.tell(signal.SIGHUP)
    await wait_until(lambda: sample.get("/reloads") == (200, "2\n"))
    sample.tell(signal.SIGTERM)
    assert sample.exit_code() == 0


async def test_hangup_does_not_end_a_service_that_cannot_reload(samples: Starter) -> None:
    sample = samples(SAMPLE="no reload")
    await sample.ready()
    sample.tell(signal.SIGHUP)
    await wait_until(lambda: "nothing to reload" in sample.said)
    assert sample.get("/healthz")[0] == 200


def test_bad_settings_are_all_told_and_exit_with_two(samples: Starter) -> None:
    sample = samples(GRPC_PORT="x", LOG_LEVEL="loud")
    assert sample.exit_code() == 2
    levels = " or ".join(level.value for level in LogLevel)
    assert sample.said.splitlines() == [
        "GRPC_PORT=x: is not a whole number; write a whole number from 0 to 65535",
        f"LOG_LEVEL=loud: is not one of the choices; write {levels}",
    ]


def test_bad_rules_are_all_told_and_exit_with_one(samples: Starter) -> None:
    sample = samples(SAMPLE="bad rules", LOG_LEVEL="error")
    assert sample.exit_code() == 1
    assert sample.said.splitlines() == ["a.yaml:1:2: first", "b.yaml:3:4: second"]


def test_a_used_port_is_told_and_what_had_started_is_closed(samples: Starter) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        sample = samples(GRPC_PORT=str(taken.getsockname()[1]))
        assert sample.exit_code() == 1
    assert "set GRPC_PORT to a free one" in sample.said.splitlines()[-1]
    assert "part is closing" in sample.said
    assert "Traceback" not in sample.said


def test_a_bug_at_start_is_a_traceback_and_exits_with_one(samples: Starter) -> None:
    sample = samples(SAMPLE="bug at start")
    assert sample.exit_code() == 1
    assert sample.said.count("Traceback") == 1
