"""Keepalive, ping limits, age: on a clock that the test moves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from fastlane.grpc.options import Options
from fastlane.grpc.vitals import Vitals
from fastlane.h2 import Connection, ErrorCode, frames

if TYPE_CHECKING:
    from collections.abc import Callable


class Timer:
    """A timer that was set."""

    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at = at
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        """Forget it."""
        self.cancelled = True


class Loop:
    """A loop whose time is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []
        self.fired = 0

    def time(self) -> float:
        """Return the time."""
        return self.now

    def call_at(self, at: float, callback: Callable[[], None]) -> Timer:
        """Set a timer."""
        self.timers.append(Timer(at, callback))
        return self.timers[-1]

    def advance(self, seconds: float) -> None:
        """Let time pass, timer by timer."""
        end = self.now + seconds
        for _ in range(1_000):
            due = [one for one in self.timers if not one.cancelled and one.at <= end]
            if not due:
                break
            first = min(due, key=lambda one: one.at)
            self.timers.remove(first)
            self.now = max(self.now, first.at)
            self.fired += 1
            first.callback()
        self.now = end


class Link:
    """Notes what the vitals decide."""

    def __init__(self) -> None:
        self.core = Connection(now=0.0)
        self.story: list[str] = []
        self.vitals: Vitals
        self.unwritten = 0

    def touch(self) -> None:
        """Note a ping."""
        if frames.ping(b"keepaliv", ack=False) in self.core.output():
            self.story.append("pinged")

    def drain(self) -> None:
        """Note it."""
        self.story.append("drained")
        self.vitals.on_drain()

    def abandon(self, code: ErrorCode, reason: str) -> None:
        """Note it."""
        self.story.append(f"{code.name} {reason}")

    def end_calls(self, details: str) -> None:
        """Note it."""
        self.story.append(f"ended: {details}")

    def abort(self, reason: str) -> None:
        """Note it."""
        self.story.append(f"aborted: {reason}")
        self.vitals.close()


class Engine:
    """A loop and options."""

    def __init__(self, options: Options) -> None:
        self.loop = Loop()
        self.options = options


def made(*, settled: bool = True, **options: Any) -> tuple[Vitals, Link, Loop]:
    """Return the vitals of a new connection."""
    link, engine = Link(), Engine(Options(**options))
    if settled:
        link.core.receive(frames.PREFACE + frames.settings({}), 0.0)
        link.core.output()
    link.vitals = Vitals(link, engine)  # type: ignore[arg-type]  # a small engine
    return link.vitals, link, engine.loop


def test_a_connection_that_never_greets_is_cut() -> None:
    _vitals, link, loop = made(settled=False, keepalive_timeout=5)
    loop.advance(4)
    assert link.story == []
    loop.advance(2)
    assert link.story[0] == "aborted: no handshake"


def test_a_silent_peer_is_pinged_and_cut_if_it_does_not_answer() -> None:
    _vitals, link, loop = made(keepalive_time=10, keepalive_timeout=3)
    loop.advance(11)
    assert link.story == ["pinged"]
    loop.advance(3)
    assert link.story == ["pinged", "aborted: no answer to keepalive"]


def test_a_peer_that_answers_is_left_alone() -> None:
    vitals, link, loop = made(keepalive_time=10, keepalive_timeout=3)
    for _ in range(3):
        loop.advance(11)
        vitals.heard_at = loop.now
        vitals.on_answer()
    assert set(link.story) == {"pinged"}


def test_traffic_puts_the_ping_off() -> None:
    vitals, link, loop = made(keepalive_time=10)
    for _ in range(10):
        loop.advance(5)
        vitals.heard_at = loop.now
    assert link.story == []


def test_an_idle_connection_wakes_the_process_once_in_its_keepalive_time() -> None:
    _vitals, _link, loop = made(keepalive_time=7_200)
    assert [timer.at for timer in loop.timers] == [7_200]


def test_a_peer_that_does_not_read_is_cut() -> None:
    vitals, link, loop = made(keepalive_timeout=3)
    link.unwritten = 1_000
    vitals.on_blocked()
    loop.advance(4)
    assert link.story == ["aborted: the peer does not read"]


def test_a_peer_that_reads_slowly_is_left_alone() -> None:
    vitals, link, loop = made(keepalive_timeout=3)
    link.unwritten = 1_000
    vitals.on_blocked()
    for _ in range(10):
        link.unwritten -= 1
        loop.advance(3)
    vitals.on_unblocked()
    loop.advance(10)
    assert link.story == []


@pytest.mark.parametrize(("interval", "pings", "ended"), [(1, 4, True), (301, 4, False)])
def test_pinging_too_often_ends_the_connection(interval: float, pings: int, ended: bool) -> None:
    vitals, link, loop = made(pings_need_calls=False)
    for _ in range(pings):
        loop.now += interval
        vitals.on_ping()
    assert ("ENHANCE_YOUR_CALM too_many_pings" in link.story) is ended


def test_pings_beside_data_are_forgiven() -> None:
    vitals, link, loop = made()
    for _ in range(10):
        loop.now += 0.001
        link.core._outbound.work += 1
        vitals.on_ping()
    assert link.story == []


def test_without_calls_five_minutes_are_too_often() -> None:
    vitals, link, loop = made()
    for _ in range(4):
        loop.now += 301
        vitals.on_ping()
    assert link.story == ["ENHANCE_YOUR_CALM too_many_pings"]


def test_strikes_can_be_switched_off() -> None:
    vitals, link, _loop = made(max_ping_strikes=0)
    for _ in range(100):
        vitals.on_ping()
    assert link.story == []


def test_an_old_connection_is_drained_and_then_ended() -> None:
    _vitals, link, loop = made(max_age=100, max_age_grace=50, keepalive_time=10**6)
    loop.advance(89)
    assert link.story == []
    loop.advance(22)
    assert link.story == ["drained"]
    loop.advance(80)
    assert "ended: the connection has reached its maximum age" in link.story


def test_an_old_connection_is_closed_once_whatever_is_still_open() -> None:
    _vitals, link, loop = made(max_age=100, max_age_grace=50, keepalive_time=10**6)
    loop.advance(1_000)
    assert link.story[0] == "drained"
    assert link.story[1:] == [
        "ended: the connection has reached its maximum age",
        "NO_ERROR max_age",
    ]
    assert loop.fired < 10, "the process may sleep"


def test_a_drained_connection_that_lingers_lets_the_process_sleep() -> None:
    _vitals, link, loop = made(max_idle=30, keepalive_time=10**6)
    loop.advance(31)
    assert link.story == ["drained"]
    link.core.finish_drain()
    loop.advance(1_000)
    assert loop.fired < 10


def test_an_idle_connection_is_drained() -> None:
    _vitals, link, loop = made(max_idle=30)
    loop.advance(29)
    assert link.story == []
    loop.advance(2)
    assert link.story[0] == "drained"


async def test_a_closed_connection_leaves_no_timer() -> None:
    vitals, _link, loop = made()
    vitals.close()
    assert all(timer.cancelled for timer in loop.timers)
    await asyncio.sleep(0)
