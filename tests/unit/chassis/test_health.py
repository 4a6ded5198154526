"""One verdict from many checks, and how watchers hear of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]

from chassis.health import Health, Verdict
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Part:
    """A part whose state a test sets."""

    def __init__(self) -> None:
        self.verdict = Verdict(ok=False, detail="not there yet")

    def check(self) -> Verdict:
        return self.verdict


@pytest.fixture
def part() -> Part:
    return Part()


@pytest.fixture
async def health(part: Part) -> AsyncIterator[Health]:
    made = Health(services=["a.B"], checks={"part": part.check, "fine": lambda: Verdict(ok=True)})
    await made.open()
    yield made
    await made.close()


async def test_it_serves_when_every_check_is_ok(health: Health, part: Part) -> None:
    assert not health.ready
    assert health.status_of("") == health.status_of("a.B") == NOT_SERVING
    part.verdict = Verdict(ok=True)
    assert health.ready
    await wait_until(lambda: health.status_of("a.B") == SERVING)
    assert health.status_of("") == SERVING


async def test_a_service_that_is_not_ours_is_unknown(health: Health) -> None:
    assert health.status_of("no.Such") == UNKNOWN


async def test_details_are_kept_beside_the_verdict(health: Health, part: Part) -> None:
    part.verdict = Verdict(ok=True, detail="the old rules are still in force")
    assert health.verdicts()["part"] == part.verdict
    assert health.ready


async def test_a_watcher_hears_every_change_and_the_end(health: Health, part: Part) -> None:
    heard: list[int] = []

    async def listen() -> None:
        async for status in health.watch("a.B"):
            heard.append(status)  # noqa: PERF401  what came so far is looked at meanwhile

    listening = asyncio.create_task(listen())
    await wait_until(lambda: heard == [NOT_SERVING])
    part.verdict = Verdict(ok=True)
    await wait_until(lambda: heard == [NOT_SERVING, SERVING])
    health.drain()
    await asyncio.wait_for(listening, 5)
    assert heard == [NOT_SERVING, SERVING, NOT_SERVING]


async def test_draining_is_not_ready_for_good(health: Health, part: Part) -> None:
    part.verdict = Verdict(ok=True)
    health.drain()
    health.refresh()
    assert not health.ready
    assert health.status_of("") == NOT_SERVING
    assert health.verdicts()["lifecycle"].detail == "draining"


async def test_a_check_that_fails_counts_as_not_ok(caplog: pytest.LogCaptureFixture) -> None:
    health = Health(checks={"broken": lambda: Verdict(ok=1 // 0 == 0)})
    assert not health.ready
    assert "the check itself failed" in health.verdicts()["broken"].detail
    assert "ZeroDivisionError" in caplog.text


def test_until_it_is_opened_it_is_starting_whatever_the_checks_say() -> None:
    made = Health(checks={"fine": lambda: Verdict(ok=True)})
    assert not made.ready
    assert made.verdicts()["lifecycle"] == Verdict(ok=False, detail="starting")
    assert made.status_of("") == NOT_SERVING


async def test_once_opened_only_the_checks_decide() -> None:
    made = Health(checks={"fine": lambda: Verdict(ok=True)})
    await made.open()
    assert made.ready
    assert "lifecycle" not in made.verdicts()
    assert made.status_of("") == SERVING
    await made.close()
    assert made.verdicts()["lifecycle"].detail == "draining"
