"""Requests of several messages or frames: order, pace, and what cuts them short."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING

import pytest

from fastlane.grpc.intake import Intake
from fastlane.grpc.messages import prefixed
from fastlane.grpc.status import Abort
from fastlane.h2.events import RequestReceived
from fastlane.h2.frames import FrameType
from tests.fastlane.client import Pair

if TYPE_CHECKING:
    from collections.abc import Callable


class Line:
    """Decides whether there is time, and keeps what is put off."""

    def __init__(self, *, has_time: bool = True) -> None:
        self.time = has_time
        self.work: list[Callable[[], None]] = []

    def has_time(self) -> bool:
        """Whether there is time."""
        return self.time

    def put_off(self, work: Callable[[], None]) -> None:
        """Keep it."""
        self.work.append(work)


AT_ONCE = Line()


def made(
    limit: int | None = None, *, encoding: bytes | None = None, single: bool = False
) -> tuple[Pair, Intake]:
    """Return an intake of an open stream."""
    pair = Pair()
    (event,) = pair.send(pair.headers(1))
    assert isinstance(event, RequestReceived)
    return pair, Intake(pair.server, event.stream, encoding, limit, single=single)


def deliver(pair: Pair, intake: Intake, body: bytes, *, ended: bool = False) -> None:
    """Deliver body bytes as the link does."""
    for at in range(0, len(body), 16_384):
        pair.send(pair.data(1, body[at : at + 16_384]))
        intake.feed(body[at : at + 16_384], ended=False)
    if ended:
        intake.feed(b"", ended=True)


async def test_messages_are_read_in_order_and_then_the_end() -> None:
    pair, intake = made()
    deliver(pair, intake, prefixed(b"one") + prefixed(b"two"), ended=True)
    loop = asyncio.get_running_loop()
    assert [await intake.read(loop, AT_ONCE) for _ in range(3)] == [b"one", b"two", None]


async def test_a_reader_waits_for_what_is_not_there_yet() -> None:
    pair, intake = made()
    reading = asyncio.ensure_future(intake.read(asyncio.get_running_loop(), AT_ONCE))
    await asyncio.sleep(0)
    assert not reading.done()
    deliver(pair, intake, prefixed(b"late"))
    assert await reading == b"late"


async def test_closing_ends_a_reader() -> None:
    _pair, intake = made()
    reading = asyncio.ensure_future(intake.read(asyncio.get_running_loop(), AT_ONCE))
    await asyncio.sleep(0)
    intake.close()
    assert await reading is None


def test_a_message_larger_than_the_window_can_complete() -> None:
    pair, intake = made()
    deliver(pair, intake, prefixed(bytes(300_000)))
    assert not pair.server.failed
    assert [len(one) for one in intake.inbox] == [300_000]


def test_a_peer_is_held_while_nobody_reads() -> None:
    pair, intake = made()
    deliver(pair, intake, prefixed(bytes(10_000)) * 3)
    pair.now = 10.0
    updates = [one for one in pair.read_decoded(FrameType.WINDOW_UPDATE) if one.stream_id]
    assert updates == []
    assert len(intake.inbox) == 3


async def test_reading_lets_the_peer_go_on() -> None:
    pair, intake = made()
    deliver(pair, intake, prefixed(bytes(15_000)) * 4)
    pair.read()
    loop = asyncio.get_running_loop()
    for _ in range(4):
        await intake.read(loop, AT_ONCE)
    assert [one.stream_id for one in pair.read_decoded(FrameType.WINDOW_UPDATE)] == [1]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (prefixed(b"a") * 2, "more than one"),
        (b"", "no request message"),
        (prefixed(b"abc")[:-1], "within a message"),
    ],
)
def test_a_unary_request_is_exactly_one_message(body: bytes, message: str) -> None:
    pair, intake = made(single=True)

    def take() -> None:
        deliver(pair, intake, body, ended=True)
        intake.take_only()

    with pytest.raises(Abort, match=message):
        take()


def test_the_only_message_is_taken_once_complete() -> None:
    pair, intake = made(single=True)
    deliver(pair, intake, prefixed(b"abc"))
    assert intake.take_only() is None
    intake.feed(b"", ended=True)
    assert intake.take_only() == b"abc"


MIB = 1024 * 1024


def packed(size: int) -> bytes:
    """Return a message of so many zeros, compressed."""
    body = gzip.compress(bytes(size), compresslevel=9)
    return b"\x01" + len(body).to_bytes(4, "big") + body


async def reading(intake: Intake) -> bytes | None:
    """Read with a line whose turn has come."""
    line = Line()
    task = asyncio.ensure_future(intake.read(asyncio.get_running_loop(), line))
    await asyncio.sleep(0)
    for work in line.work:
        work()
    return await task


async def test_compressed_messages_wait_as_they_came() -> None:
    pair, intake = made(MIB, encoding=b"gzip")
    deliver(pair, intake, packed(MIB) * 20)
    held = intake.recharge()
    assert held == sum(map(len, intake.inbox)) < MIB // 20
    assert await reading(intake) == bytes(MIB)
    assert held + intake.recharge() == MIB + sum(map(len, intake.inbox)), "what is read counts"
    await reading(intake)
    assert intake.charge == MIB + sum(map(len, intake.inbox)) + len(packed(MIB)) - 5


@pytest.mark.parametrize(("size", "has_time"), [(MIB, True), (5, False)])
async def test_a_message_is_unpacked_in_its_turn(size: int, has_time: bool) -> None:
    pair, intake = made(MIB, encoding=b"gzip")
    deliver(pair, intake, packed(size))
    line = Line(has_time=has_time)
    task = asyncio.ensure_future(intake.read(asyncio.get_running_loop(), line))
    await asyncio.sleep(0)
    assert not task.done()
    line.work[0]()
    assert await task == bytes(size)


async def test_a_reader_that_waits_for_its_turn_ends_with_its_call() -> None:
    pair, intake = made(MIB, encoding=b"gzip")
    deliver(pair, intake, packed(MIB))
    line = Line()
    task = asyncio.ensure_future(intake.read(asyncio.get_running_loop(), line))
    await asyncio.sleep(0)
    intake.close()
    line.work[0]()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_only_what_is_read_is_unpacked_and_found_to_be_too_large() -> None:
    pair, intake = made(MIB, encoding=b"gzip")
    deliver(pair, intake, packed(5) + packed(2 * MIB))
    assert await intake.read(asyncio.get_running_loop(), AT_ONCE) == bytes(5)
    with pytest.raises(Abort, match="larger than max"):
        await reading(intake)
