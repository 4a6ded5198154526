"""How long services may drain, within the time a whole mesh has to stop."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sluice.mesh.drain import fitting_drain
from sluice.mesh.keeper import FINISH_SECONDS
from sluice.mesh.parts import choose
from sluice.mesh.supervisor import STOP_SECONDS
from tests.unit.sluice.mesh.test_parts import plan

if TYPE_CHECKING:
    from pathlib import Path


def cut(only: str | None, seconds: str | None) -> float | None:
    environ = {} if seconds is None else {"SLUICE_DRAIN_SECONDS": seconds}
    return fitting_drain(
        choose(only), environ, stop_seconds=STOP_SECONDS, finish_seconds=FINISH_SECONDS
    )


@pytest.mark.parametrize("seconds", [None, "", "0", "1.5", "3", "2s", "forever"])
def test_what_fits_or_is_no_duration_stays(seconds: str | None) -> None:
    assert cut(None, seconds) is None


def test_what_does_not_fit_is_cut_to_what_the_other_stages_leave(tmp_path: Path) -> None:
    full, without_envoy = cut(None, "30"), cut("redis,ratelimit", "1m")
    assert full is not None
    assert without_envoy is not None
    assert without_envoy > full > 3
    parts, made = choose(None), plan(tmp_path)
    made = replace(made, environ={"SLUICE_DRAIN_SECONDS": f"{full}"})
    longest: dict[int, float] = {}
    for part in parts:
        longest[part.stage] = max(longest.get(part.stage, 0), part.killed_after(made))
    assert sum(longest.values()) + FINISH_SECONDS == pytest.approx(STOP_SECONDS)


def test_without_a_service_there_is_nothing_to_cut() -> None:
    assert cut("redis,demo,envoy", "30") is None


@pytest.mark.parametrize(("seconds", "grace"), [("", 5.5), ("10s", 12.5), ("0", 2.5), ("x", 5.5)])
def test_a_service_is_killed_only_after_its_drain(
    tmp_path: Path, seconds: str, grace: float
) -> None:
    made = replace(plan(tmp_path), environ={"SLUICE_DRAIN_SECONDS": seconds})
    ratelimit, demo = choose("ratelimit,demo")
    assert ratelimit.killed_after(made) == grace
    assert ratelimit.killed_after(plan(tmp_path)) == ratelimit.grace_seconds
    assert demo.killed_after(made) == demo.grace_seconds
