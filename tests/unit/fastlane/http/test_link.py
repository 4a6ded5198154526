"""A connection's transport side: how much of what arrives is taken in one turn."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fastlane.h2 import frames
from fastlane.http import Limits, Request, Response
from fastlane.http.engine import Engine
from fastlane.http.link import Link
from tests.waiting import wait_until


class Transport(asyncio.Transport):
    """Notes what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reads = True
        self.is_cut = False

    def write(self, data: Any) -> None:
        """Keep."""
        self.written += bytes(data)

    def pause_reading(self) -> None:
        """Note."""
        self.reads = False

    def resume_reading(self) -> None:
        """Note."""
        self.reads = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Take any."""

    def can_write_eof(self) -> bool:
        """Say no, as TLS does."""
        return False

    def is_closing(self) -> bool:
        """Say whether it was cut."""
        return self.is_cut

    def abort(self) -> None:
        """Note."""
        self.is_cut = True


async def hello(_request: Request) -> Response:
    return Response(200, (), b"hello")


def connect(limits: Limits) -> tuple[Link, Transport]:
    link = Link(Engine(hello, limits, asyncio.get_running_loop()))
    transport = Transport()
    link.connection_made(transport)
    return link, transport


PINGS = 100
PING = frames.ping(b"12345678", ack=False)
ANSWER = frames.ping(b"12345678", ack=True)


async def test_a_turn_without_time_takes_nothing_and_a_later_one_all_of_it() -> None:
    link, transport = connect(Limits())
    greeting = frames.PREFACE + frames.settings({})
    link.data_received(greeting)
    link.engine.crew.is_behind = True
    link.data_received(PING * PINGS)
    link.data_received(PING * PINGS)
    link.flush()
    assert transport.written.count(ANSWER) == 0
    assert not transport.reads or len(PING) * PINGS * 2 <= 16_384
    link.engine.crew.is_behind = False
    await wait_until(
        lambda: transport.written.count(ANSWER) == 2 * PINGS, description="all are answered"
    )
    assert transport.reads
    link.connection_lost(None)


async def test_a_full_transport_stops_the_reading_until_there_is_room() -> None:
    link, transport = connect(Limits())
    link.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    link.pause_writing()
    assert not transport.reads
    link.resume_writing()
    assert transport.reads
    link.connection_lost(None)


async def test_a_transport_that_stays_full_is_cut() -> None:
    link, transport = connect(Limits(write_seconds=0))
    link.pause_writing()
    for _ in range(5):
        await asyncio.sleep(0)
    assert transport.is_cut
    link.connection_lost(None)


@pytest.mark.parametrize("data", [frames.PREFACE[:-1] + b"X", b"PUT / HTTP/1.1\r\n\r\n", b"PRX"])
async def test_what_only_begins_like_the_preface_is_http1(data: bytes) -> None:
    link, transport = connect(Limits())
    for at in range(len(data)):
        link.data_received(data[at : at + 1])
    link.data_received(b"\r\n\r\n")
    link.flush()
    assert not transport.written.startswith(frames.settings({})[:4])
    assert transport.written == b"" or transport.written.startswith(b"HTTP/1.1 ")
    link.connection_lost(None)
