"""Who is let in: so many, and only while the process has descriptors to spare."""

from __future__ import annotations

import logging
import resource

import pytest

from fastlane.door import Door


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Stand in for the kernel: the last entry is the process's soft and hard limit."""
    set_to = [(1_024, 4_096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _which: set_to[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _which, limit: set_to.append(limit))
    return set_to


def test_the_soft_limit_is_raised_as_far_as_needed(limits: list[tuple[int, int]]) -> None:
    Door(2_000)
    assert limits[-1] == (2_064, 4_096)


def test_and_no_further_than_the_hard_one(limits: list[tuple[int, int]]) -> None:
    door = Door(100_000)
    assert limits[-1] == (4_096, 4_096)
    assert door.admits(4_096 - 65)
    assert not door.admits(4_096 - 64), "the rest is for everything else"


def test_a_limit_that_is_enough_is_left_alone(limits: list[tuple[int, int]]) -> None:
    Door(100)
    assert limits == [(1_024, 4_096)]


@pytest.mark.usefixtures("limits")
def test_who_leaves_makes_room() -> None:
    door = Door(1)
    assert door.admits(20)
    assert not door.admits(21)
    door.on_left()
    assert door.admits(20)
    assert door.turned_away == 1


@pytest.mark.usefixtures("limits")
def test_an_episode_of_refusals_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fastlane")
    door = Door(10)
    for _ in range(10):
        assert door.admits(20)
    for _ in range(50):
        assert not door.admits(20)
    assert [one.message for one in caplog.records] == ["turning new connections away: 10 are open"]
    door.on_left()
    assert door.admits(20)
    assert len(caplog.records) == 1, "the episode is not over while it is as full"
    for _ in range(5):
        door.on_left()
    assert door.admits(20)
    assert caplog.records[-1].message == "taking connections again; 50 were turned away"
