"""Streams that get no further: looked for on a clock that the test moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fastlane.grpc import stalls
from fastlane.grpc.call import Remainder
from fastlane.grpc.stalls import Stalls
from fastlane.h2.states import OPEN, REMOTE
from fastlane.h2.stream import Stream
from tests.unit.fastlane.grpc.test_vitals import Loop as Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastlane.h2 import ErrorCode

PATIENCE = 60.0


class Loop(Clock):
    """A loop whose time is moved by hand."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Any:
        """Set a timer."""
        return self.call_at(self.now + seconds, callback)


class Core:
    """Streams, and what is done to them."""

    def __init__(self) -> None:
        self.streams: dict[int, Stream] = {}
        self.unsent = 0
        self.story: list[str] = []
        self.rests = 0

    def reset(self, stream: Stream, code: ErrorCode) -> None:
        """Note it."""
        del self.streams[stream.id]
        self.story.append(f"{stream.id} {code.name}")

    def rest(self) -> None:
        """Note it."""
        self.rests += 1


class Link:
    """A connection."""

    def __init__(self) -> None:
        self.core = Core()
        self.stalled: dict[int, tuple[int, float]] = {}
        self.touched = 0
        self.asked = 0

    def touch(self) -> None:
        """Note it."""
        self.touched += 1

    def has_room(self, _size: int) -> bool:
        """Note it."""
        self.asked += 1
        return True

    def open(self, state: int = OPEN, *, head: Any = "kept back", owner: Any = None) -> Stream:
        """Open a stream: one whose head was kept back, unless told otherwise."""
        stream = Stream(2 * len(self.core.streams) + 1, state, 65_535, 0.0)
        stream.head = head
        stream.owner = owner
        self.core.streams[stream.id] = stream
        return stream


@pytest.fixture
def loop() -> Loop:
    return Loop()


def watched(loop: Loop, *links: Link) -> Stalls:
    """Watch these connections."""
    return Stalls(loop, set(links), PATIENCE)  # type: ignore[arg-type]


def test_a_request_whose_body_does_not_come_is_ended_and_not_too_early(loop: Loop) -> None:
    link = Link()
    watched(loop, link)
    link.open()
    loop.advance(PATIENCE)
    assert link.core.story == [], "it was first seen half way"
    loop.advance(PATIENCE / 2)
    assert link.core.story == ["1 CANCEL"]
    assert link.touched
    loop.advance(PATIENCE / 2)
    assert link.stalled == {}


def test_a_complete_request_is_left_alone(loop: Loop) -> None:
    link = Link()
    watched(loop, link)
    link.open(REMOTE)
    link.open(OPEN, head=None)
    loop.advance(10 * PATIENCE)
    assert link.core.story == []


def test_what_is_left_of_an_answer_is_dropped_after_its_deadline(loop: Loop) -> None:
    link = Link()
    watched(loop, link)
    link.open(REMOTE, owner=Remainder(100.0))
    loop.advance(90.0)
    assert link.core.story == []
    loop.advance(30.0)
    assert link.core.story == ["1 CANCEL"]


def test_a_connection_without_streams_gives_back_what_it_needs_no_more(loop: Loop) -> None:
    idle, busy = Link(), Link()
    busy.open(REMOTE)
    watched(loop, idle, busy)
    loop.advance(PATIENCE)
    assert (idle.core.rests, busy.core.rests) == (2, 0)


def test_who_lets_answers_wait_is_counted_again(loop: Loop) -> None:
    link = Link()
    link.open(REMOTE)
    link.core.unsent = 5
    watched(loop, link)
    loop.advance(PATIENCE)
    assert link.asked == 2


def test_many_connections_are_looked_at_step_by_step(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stalls, "_STEP_SECONDS", 0.0)
    links = [Link() for _ in range(100)]
    for one in links:
        one.open()
    watched(loop, *links)
    loop.advance(1.5 * PATIENCE)
    assert all(one.core.story for one in links)
    assert loop.fired == 3 * 100, "and not in one go"


def test_nobody_looks_after_the_end(loop: Loop) -> None:
    link = Link()
    looks = watched(loop, link)
    link.open()
    looks.close()
    loop.advance(10 * PATIENCE)
    assert link.core.story == []


def test_a_patience_without_end_sets_a_timer_that_loops_can_count(loop: Loop) -> None:
    Stalls(loop, set(), float("inf"))  # type: ignore[arg-type]
    assert loop.timers[0].at <= 3e7
