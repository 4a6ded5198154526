"""Counting the processes that share a limit, with a store that comes and goes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from chassis.errors import Unavailable
from ratelimit_service.storage import replicas
from ratelimit_service.storage.replicas import Replicas
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chassis.lua import Script
    from chassis.redis import RedisDoor


class Door:
    """What Replicas needs of a RedisDoor; `away` makes it fail."""

    def __init__(self) -> None:
        self.away = False
        self.count = 3
        self.beats: list[str] = []
        self.commands: list[tuple[str, ...]] = []

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> int:
        assert script is replicas.SCRIPT
        assert keys == ["p:rate_limit:{replicas}"]
        self.beats.append(args[0])
        if self.away:
            raise Unavailable("away")
        return self.count

    async def call(self, *command: str) -> int:
        self.commands.append(command)
        if self.away:
            raise Unavailable("away")
        return 1


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    monkeypatch.setattr(replicas, "BEAT_SECONDS", 0.005)
    return Door()


def over(door: Door) -> Replicas:
    return Replicas(cast("RedisDoor", door), key_prefix="p:")


async def test_the_count_follows_the_store_and_stands_while_it_is_away(door: Door) -> None:
    counted = over(door)
    assert counted.count == 1, "this one, until the store has answered"
    await counted.open()
    await wait_until(lambda: counted.count == 3, description="it has asked")
    door.count = 5
    await wait_until(lambda: counted.count == 5, description="it asks again and again")
    door.away = True
    beats = len(door.beats)
    await wait_until(lambda: len(door.beats) > beats + 2, description="it goes on asking")
    assert counted.count == 5
    door.away, door.count = False, 2
    await wait_until(lambda: counted.count == 2, description="it has heard again")
    await counted.close()
    assert len(set(door.beats)) == 1, "always by the same name"


@pytest.mark.parametrize("away", [False, True])
async def test_who_leaves_says_so_and_is_not_heard_again(door: Door, away: bool) -> None:
    counted = over(door)
    await counted.open()
    await wait_until(lambda: door.beats, description="it lives")
    door.away = away
    await asyncio.wait_for(counted.close(), 5)
    assert door.commands == [("ZREM", "p:rate_limit:{replicas}", door.beats[0])]


async def test_who_never_opened_may_close(door: Door) -> None:
    await over(door).close()
    assert not door.beats


async def test_each_process_has_a_name_of_its_own(door: Door) -> None:
    first, second = over(door), over(door)
    await first.open()
    await second.open()
    await wait_until(lambda: len(set(door.beats)) == 2, description="two names")
    await first.close()
    await second.close()
