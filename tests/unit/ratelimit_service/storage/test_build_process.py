"""Rules built in a process of their own: the same rules, and calls go on meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from chassis import lifecycle
from chassis.errors import Problem
from ratelimit_service.storage import build_process, rules_file
from ratelimit_service.storage.build_process import build_apart
from ratelimit_service.storage.rule_sources import Built, RuleFile
from tests.stalls import watched
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ratelimit_service.core.rule import Branch

MOST_MS = 20.0

TEXT = """\
domain: shop
descriptors:
  - key: path
    value: /a*
    rate_limit: {unit: hour, requests_per_unit: 5, name: one}
    descriptors:
      - key: client
        rate_limit: {unit: day, requests_per_unit: 6, replaces: [{name: one}]}
        metadata: {tier: gold, of: [1, 2]}
  - key: path
    rate_limit: {unlimited: true}
"""


def sources(*texts: str) -> rules_file.Sources:
    files = tuple((f"{n}.yaml", text.encode()) for n, text in enumerate(texts))
    return rules_file.Sources(files=files, problems=())


def of(branch: Branch) -> tuple[Any, ...]:
    return (branch.path, branch.place, branch.key, branch.value, branch.rule, branch.varies)


def branches(built: Built) -> list[tuple[Any, ...]]:
    assert built.rules is not None
    roots = built.rules.domains.values()
    return [of(branch) for root in roots for branch in (root, *root.below())]


def builders() -> list[int]:
    """Return the builders that run below this process."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if build_process.__name__ in child.cmdline():
                found.append(child.pid)
    return found


async def test_the_rules_are_those_that_are_built_here() -> None:
    here = sources(TEXT, "domain: bank\n").built()
    apart = await build_apart(sources(TEXT, "domain: bank\n"))
    assert branches(apart) == branches(here)
    assert apart.files == here.files
    assert apart.rules is not None
    assert here.rules is not None
    assert apart.rules.warnings == here.rules.warnings
    root = apart.rules.domains["shop"]
    found = root.wildcards.find("path", "/a/b")
    assert found is root.children["path", "/a*"], "one branch, however it is come by"


async def test_problems_come_back_with_their_files() -> None:
    built = await build_apart(sources(TEXT, "domain: ''\n", "domain: [\n"))
    assert built.rules is None
    assert [problem.file for problem in built.problems] == ["1.yaml", "2.yaml"]
    assert [bool(file.error) for file in built.files] == [False, True, True]
    assert isinstance(built.files[0], RuleFile)


async def test_a_thousand_problems_are_enough() -> None:
    wrong = "- key: k\n  rate_limit: {unit: x, requests_per_unit: 1}\n" * 3000
    built = await build_apart(sources("domain: d\ndescriptors:\n" + wrong))
    assert len(built.problems) == 1001
    assert "problems more" in built.problems[-1].message


@dataclass(frozen=True)
class Hungry:
    """Sources that take more memory than there may be."""

    def built(self) -> Built:
        return Built(rules=None, files=(), problems=(Problem(file="f", message="x" * 2**33),))


@dataclass(frozen=True)
class Endless:
    """Sources that are never built."""

    def built(self) -> Built:
        while True:
            signal.pause()


@dataclass(frozen=True)
class Buggy:
    """Sources that end in a bug."""

    def built(self) -> Built:
        raise RuntimeError("beyond repair")


@dataclass(frozen=True)
class Killed:
    """Sources that the kernel takes for the culprit."""

    def built(self) -> Built:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


@pytest.mark.parametrize(
    ("culprit", "said"),
    [
        (Hungry(), "need more than 2048 MiB of memory; make them fewer"),
        (Buggy(), "RuntimeError: beyond repair"),
        (Killed(), "ended their builder with code -9"),
    ],
)
async def test_what_ends_the_builder_is_told_and_ends_nothing_else(culprit: Any, said: str) -> None:
    built = await build_apart(culprit)
    assert built.rules is None
    (problem,) = built.problems
    assert said in str(problem)


async def test_a_builder_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_process, "_BUILD_SECONDS", 0.3)
    built = await build_apart(Endless())
    assert "took longer than 0.3 s" in str(built.problems[0])
    assert not builders()


async def test_a_builder_ends_with_the_load_that_is_given_up() -> None:
    building = asyncio.create_task(build_apart(Endless()))
    await wait_until(builders, description="a builder runs")
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    await wait_until(lambda: not builders(), description="it runs no more")


def ten_thousand(requests: int) -> str:
    """Return 10,000 rules, no limit like another."""
    return "domain: large\ndescriptors:\n" + "".join(
        f"  - key: client\n    value: number {n}\n"
        f"    rate_limit: {{unit: minute, requests_per_unit: {n + requests}, name: rule {n}}}\n"
        "    descriptors:\n"
        f"      - key: path\n        rate_limit: {{unit: hour, requests_per_unit: {n + requests}}}\n"
        for n in range(5000)
    )


@pytest.fixture
def _collector_as_in_a_service() -> Iterator[None]:
    before = gc.get_threshold()
    lifecycle._calm_collector()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("_collector_as_in_a_service")
async def test_ten_thousand_rules_hold_nobody_up_for_longer_than_20_ms() -> None:
    async with watched() as stalls:
        built = await build_apart(sources(ten_thousand(1)))
        first = stalls.longest_cpu_seconds
        again = await build_apart(sources(ten_thousand(2)))  # now two sets are in memory
        await asyncio.sleep(0)
        both = stalls.longest_cpu_seconds
    for found in (built, again):
        assert found.rules is not None
        assert len(found.rules.rules()) == 10_000
    assert first * 1000 < MOST_MS
    assert both * 1000 < MOST_MS
