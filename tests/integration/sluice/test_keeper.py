"""One part's life with a real process, where `sluice up` as a whole would take too long to show it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sluice.mesh import keeper as keeper_module
from sluice.mesh.backoff import FIRST_SECONDS, Backoff
from sluice.mesh.guard import Guard
from sluice.mesh.keeper import Keeper
from sluice.mesh.part import Part, Stage
from sluice.mesh.part_log import PartLog
from sluice.mesh.plan import Plan
from sluice.mesh.state import StateFolder
from sluice.mesh.store import Store
from sluice.mesh.voice import Voice
from sluice.outcome import OperatorError
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

MakeKeeper = Callable[[str, str | None], Keeper]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeKeeper]:
    """Make the keeper of a Python program that is healthy, or is not and says why."""
    err = os.open(tmp_path / "said", os.O_WRONLY | os.O_CREAT)
    with StateFolder.open(tmp_path / "state") as state:
        guard = Guard(state)
        plan = Plan(
            ports={},
            environ=dict(os.environ),
            state=state,
            store=Store(url="redis://127.0.0.1:1", embedded=True),
            envoy=None,
            rules=None,
        )

        def make(program: str, problem: str | None) -> Keeper:
            async def healthy(_plan: Plan) -> str | None:
                return problem

            async def alive(_plan: Plan) -> str | None:
                return None

            part = Part(
                name="worker",
                stage=Stage.SERVICE,
                ports=(),
                argv=lambda _plan: [],
                healthy=healthy,
                alive=alive,
                grace_seconds=2.0,
            )
            return Keeper(
                part,
                plan,
                argv=[sys.executable, "-c", program],
                log=PartLog(state.log("worker")),
                guard=guard,
                voice=Voice(err=err),
                backoff=Backoff(lambda: 0.5),
            )

        yield make
        guard.close()
    os.close(err)


async def test_a_part_that_never_becomes_healthy_is_given_up_with_the_reason(
    make: MakeKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "START_SECONDS", 0.5)
    keeper = make("import signal; print('still loading'); signal.pause()", "rules: none yet")
    with pytest.raises(OperatorError) as caught:
        await keeper.start()
    await keeper.stop()
    assert "worker is not healthy after 0.5 s: rules: none yet" in str(caught.value)


async def test_a_part_that_hangs_before_it_is_healthy_again_is_killed(
    make: MakeKeeper, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(keeper_module, "START_SECONDS", 0.3)
    keeper = make("import signal; signal.pause()", "does not answer")
    said = (tmp_path / "said").read_text

    async def silent(_plan: Plan) -> str | None:
        return "does not answer"

    async def answers(_plan: Plan) -> str | None:
        return None

    keeper.part = replace(keeper.part, alive=answers)
    attempt = asyncio.create_task(keeper._attempt())
    await wait_until(lambda: keeper._child, description="it is started")
    child = keeper._child
    assert child is not None
    # It answers, so it waits for another part: no restart would help it.
    await child.ended_within(1.0)
    assert not child.has_ended

    keeper.part = replace(keeper.part, alive=silent)
    assert await attempt == "hangs (does not answer, 3 times in a row) and was killed"
    assert child.has_ended
    assert "worker is not healthy yet after 1 s" in said()


async def test_the_last_words_of_a_part_without_any_are_said_to_be_none(make: MakeKeeper) -> None:
    with pytest.raises(OperatorError, match=r"worker ended \(exit code 7\) without a word"):
        await make("raise SystemExit(7)", "not yet").start()


async def test_a_program_that_cannot_be_run_at_all_is_no_traceback(make: MakeKeeper) -> None:
    keeper = make("", "not yet")
    keeper._argv = ["/no/such/program"]
    with pytest.raises(OperatorError, match="/no/such/program cannot be run: No such file"):
        await keeper.start()


async def test_a_healthy_part_is_stopped_and_stays_stopped(make: MakeKeeper) -> None:
    keeper = make("import signal; signal.pause()", None)
    assert await keeper.start() < FIRST_SECONDS
    assert keeper.was_started
    child = keeper._child
    assert child is not None
    await keeper.stop()
    assert child.has_ended
    await keeper.stop()
