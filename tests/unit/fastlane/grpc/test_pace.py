"""The pace of a stream: a turn for the others, or as long as its peer takes."""

from __future__ import annotations

import asyncio

from fastlane.grpc.pace import Pace


async def test_a_peer_that_takes_more_costs_one_turn_of_the_loop() -> None:
    story: list[str] = []
    pace = Pace()
    asyncio.get_running_loop().call_soon(story.append, "somebody else")
    await pace.wait(asyncio.get_running_loop(), goes_on=True)
    story.append("the stream")
    assert story == ["somebody else", "the stream"]


async def test_a_peer_that_takes_no_more_is_waited_for() -> None:
    loop = asyncio.get_running_loop()
    pace = Pace()
    pace.messages, pace.bytes = 3, 400
    writer = loop.create_task(pace.wait(loop, goes_on=False))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not writer.done()
    assert (pace.messages, pace.bytes) == (3, 400)
    pace.go_on()
    await writer
    assert (pace.messages, pace.bytes) == (0, 0), "it begins to count anew"


async def test_a_word_to_go_on_for_nobody_harms_nobody() -> None:
    loop = asyncio.get_running_loop()
    pace = Pace()
    pace.go_on()
    writer = loop.create_task(pace.wait(loop, goes_on=False))
    await asyncio.sleep(0)
    writer.cancel()
    await asyncio.wait([writer])
    pace.go_on()
    assert writer.cancelled()
