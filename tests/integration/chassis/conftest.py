"""Tests of the door's `run` hold for its `submit`, which is another way to the same answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from chassis.redis import RedisDoor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chassis.lua import Script


async def _submitted(
    self: RedisDoor,
    script: Script,
    keys: Sequence[str | bytes],
    args: Sequence[str | bytes | int | float],
    timeout_seconds: float | None = None,
) -> Any:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    calls = 0

    def done(reply: Any, error: BaseException | None) -> None:
        nonlocal calls
        calls += 1
        assert calls == 1, "told twice"
        assert not submitting, "told before submit returned"
        if future.cancelled():
            return
        if error is None:
            future.set_result(reply)
        else:
            future.set_exception(error)

    submitting = True
    self.submit(script, keys, args, timeout_seconds, done)
    submitting = False
    return await future


@pytest.fixture(params=["run", "submit"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have `door.run` go through `submit` in every second test; the name of the way."""
    if request.param == "submit":
        monkeypatch.setattr(RedisDoor, "run", _submitted)
    return str(request.param)
