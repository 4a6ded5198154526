"""A request's body: read, limited, broken off."""

from __future__ import annotations

import asyncio

import pytest

from fastlane.http import Body, Refusal
from fastlane.http.body import NO_BODY


class Source:
    """Notes what a body asks of its connection."""

    def __init__(self) -> None:
        self.asked = 0
        self.taken = 0

    def wanted(self) -> None:
        """Count."""
        self.asked += 1

    def took(self, size: int) -> None:
        """Add."""
        self.taken += size


def make(
    source: Source | None = None, *, length: int | None = None, limit: int | None = None
) -> Body:
    return Body(source or Source(), length=length, limit=limit, timeout=5)


async def test_pieces_come_as_they_arrive_and_are_given_back() -> None:
    source = Source()
    body = make(source)
    body.feed(b"ab")
    body.feed(b"c")
    assert (body.buffered, source.taken) == (3, 0)
    assert await anext(body) == b"ab"
    assert (body.buffered, source.taken, source.asked) == (1, 2, 0)
    body.end(((b"t", b"v"),))
    assert [chunk async for chunk in body] == [b"c"]
    assert body.trailers == ((b"t", b"v"),)


async def test_a_reader_waits_and_the_peer_is_asked() -> None:
    source = Source()
    body = make(source)
    reading = asyncio.ensure_future(body.read())
    await asyncio.sleep(0)
    assert source.asked == 1
    body.feed(b"ab")
    body.end()
    assert await reading == b"ab"


async def test_a_declared_length_over_the_readers_limit_is_refused_unread() -> None:
    source = Source()
    with pytest.raises(Refusal) as caught:
        await make(source, length=11).read(10)
    assert (caught.value.status, source.asked) == (413, 0)


async def test_an_undeclared_length_is_counted() -> None:
    body = make()
    for _ in range(3):
        body.feed(b"12345")
    body.end()
    with pytest.raises(Refusal) as caught:
        await body.read(10)
    assert caught.value.status == 413


async def test_the_servers_limit_holds_for_streaming_too() -> None:
    body = make(limit=4)
    body.feed(b"123")
    body.feed(b"45")
    with pytest.raises(Refusal) as caught:
        await anext(body)
    assert caught.value.status == 413
    assert body.buffered == 0


async def test_a_cut_body_does_not_look_whole() -> None:
    body = make()
    body.feed(b"123")
    body.fail(Refusal(400, "gone"))
    body.end()
    with pytest.raises(Refusal):
        await anext(body)


async def test_silence_ends_in_a_timeout() -> None:
    body = Body(Source(), length=None, limit=None, timeout=0.01)
    with pytest.raises(Refusal) as caught:
        await body.read()
    assert caught.value.status == 408


@pytest.mark.parametrize(("rate", "status"), [(1_000, 408), (0, None), (1, None)])
async def test_a_body_in_drops_ends_in_a_timeout_unless_they_earn_time(
    rate: int, status: int | None
) -> None:
    loop = asyncio.get_running_loop()
    body = Body(Source(), length=None, limit=None, timeout=0.08, rate=rate)
    for number in range(10):
        loop.call_later(0.02 * number, body.feed, b"x")
    loop.call_later(0.2, body.end)
    reading = asyncio.gather(body.read(), return_exceptions=True)
    (outcome,) = await reading
    assert (outcome.status if isinstance(outcome, Refusal) else None) == status


async def test_two_readers_are_a_mistake() -> None:
    body = make()
    first = asyncio.ensure_future(body.read())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="two tasks"):
        await body.read()
    body.end()
    assert await first == b""


async def test_no_body_is_empty_every_time() -> None:
    assert await NO_BODY.read() == b""
    assert await NO_BODY.read() == b""
