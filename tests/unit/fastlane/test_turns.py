"""Whose bytes are read next: who sends little is reached at once, whatever the others send."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from fastlane import turns
from fastlane.crew import Crew
from fastlane.turns import Place, Turns

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """A clock that moves as work is done."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Loop:
    """Runs what is called soon turn by turn."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Keep it for the next turn."""
        self.soon.append(callback)

    def turn(self) -> None:
        """Run one turn."""
        due, self.soon = self.soon, []
        for callback in due:
            callback()


class Reader:
    """A connection with so many slices waiting, each of which takes so long."""

    def __init__(self, name: str, story: list[str], clock: Clock, slices: int, cost: float) -> None:
        self.place = Place.NOWHERE
        self.name = name
        self.slices = slices
        self.looked = 0
        self._story = story
        self._clock = clock
        self._cost = cost

    def drop_if_gone(self) -> None:
        """Note that somebody looked."""
        self.looked += 1

    def read_on(self) -> bool:
        """Take a slice."""
        if self.slices:
            self.slices -= 1
            self._clock.now += self._cost
            self._story.append(self.name)
        return self.slices > 0


class Rig:
    """Lines with a clock and a loop moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        monkeypatch.setattr(turns, "perf_counter", self.clock)
        self.loop = Loop()
        self.is_behind = False
        self.turn = 0
        self.story: list[str] = []
        self.turns = Turns(self.loop, self, seconds=1.0)  # type: ignore[arg-type]

    def end_turn(self) -> None:
        """End one turn of the loop and run what the next begins with, as the crew does."""
        self.turn += 1
        self.loop.turn()

    def reader(self, name: str, *, slices: int = 1, cost: float = 0.0) -> Reader:
        """Return a connection that stands in no line."""
        return Reader(name, self.story, self.clock, slices, cost)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(monkeypatch)


def test_all_connections_share_the_time_of_a_turn(rig: Rig) -> None:
    assert rig.turns.has_time()
    rig.clock.now += 1.0
    assert not rig.turns.has_time()
    rig.end_turn()
    assert rig.turns.has_time(), "a new turn"


def test_serving_takes_from_the_time_of_its_turn(rig: Rig) -> None:
    rig.turns.stand(rig.reader("a", slices=2, cost=1.0))
    rig.end_turn()
    assert not rig.turns.has_time()
    rig.end_turn()
    assert not rig.turns.has_time()


def test_nobody_is_woken_for_a_turn_in_which_all_was_read(rig: Rig) -> None:
    assert rig.turns.has_time()
    assert not rig.loop.soon


def test_reading_in_a_turn_of_which_the_crew_knows_nothing_waits_in_line(rig: Rig) -> None:
    assert rig.turns.has_time()
    rig.clock.now += 1.0
    assert not rig.turns.has_time()
    rig.turns.stand(rig.reader("a"))
    rig.loop.turn()
    assert rig.story == ["a"]


def test_a_turn_serves_no_longer_than_it_may(rig: Rig) -> None:
    for name in "abc":
        rig.turns.stand(rig.reader(name, slices=9, cost=0.6))
    rig.loop.turn()
    assert rig.story == ["a", "b"]


def test_who_waits_in_the_second_line_takes_turns(rig: Rig) -> None:
    for name in "abc":
        rig.turns.stand(rig.reader(name, slices=3, cost=1.0))
    for _ in range(9):
        rig.loop.turn()
    assert rig.story == list("abcabcabc")


def test_a_small_call_is_reached_in_the_next_turn(rig: Rig) -> None:
    for number in range(40):
        rig.turns.stand_again(rig.reader(f"flood {number}", slices=99, cost=1.0))
    rig.loop.turn()
    rig.turns.stand(rig.reader("honest"))
    rig.loop.turn()
    assert rig.story[1] == "honest"


def test_who_sends_a_slice_a_turn_does_not_stay_in_the_first_line(rig: Rig) -> None:
    sly = rig.reader("sly", cost=1.0)
    rig.turns.stand_again(rig.reader("other", slices=99, cost=1.0))
    rig.turns.stand(sly)
    for _ in range(6):
        rig.loop.turn()
        sly.slices = 1
        rig.turns.stand(sly)
    assert rig.story.count("other") >= 2


def test_nothing_is_read_while_what_was_read_is_not_worked_off(rig: Rig) -> None:
    rig.is_behind = True
    assert not rig.turns.has_time()
    rig.turns.stand(rig.reader("a"))
    rig.loop.turn()
    assert rig.story == []
    rig.is_behind = False
    rig.loop.turn()
    assert rig.story == ["a"]


def test_a_line_that_is_empty_wakes_nobody(rig: Rig) -> None:
    rig.turns.stand(rig.reader("a"))
    for _ in range(3):
        rig.loop.turn()
    assert rig.loop.soon == []


def test_a_crowd_in_the_first_line_is_looked_through_for_who_has_left(rig: Rig) -> None:
    crowd = [rig.reader(str(number)) for number in range(1_000)]
    for one in crowd:
        rig.turns.stand(one)
    assert crowd[0].looked == 4, "each time it has doubled, and no more often"


async def test_it_runs_on_a_loop() -> None:
    loop = asyncio.get_running_loop()
    lines = Turns(loop, Crew(loop))
    assert lines.has_time()
    await asyncio.sleep(0)
    assert lines.has_time()
