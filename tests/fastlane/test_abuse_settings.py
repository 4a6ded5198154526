"""Attackers that never acknowledge our SETTINGS: it buys them a round trip's worth and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from fastlane.h2 import ErrorCode, Limits, frames
from fastlane.h2.frames import FrameType
from tests.fastlane.attacker import UNARY, Attacker
from tests.fastlane.processes import interop_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fastlane.client import Fields, Frame

BATCH: Final = 2_000
BATCHES: Final = 20
PATHLESS: Final = (*UNARY[:2], *UNARY[3:])
SHORT: Final = (*UNARY, (b"content-length", b"1"))


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Run one server for all attacks."""
    with interop_server() as number:
        yield number


def resets(received: list[Frame]) -> int:
    """Count what was refused or objected to."""
    return sum(one.kind == FrameType.RST_STREAM for one in received)


def flood(attacker: Attacker, fields: Fields, *, end: bool, crowd: int) -> list[Frame]:
    """Open `crowd` calls and send 40,000 requests more; returns what came back.

    Reads all the while: who does not read is not read from, which is another defence.
    """
    calls = b"".join(attacker.headers(one, UNARY) for one in range(1, 2 * crowd, 2))
    attacker.send(frames.PREFACE + frames.settings({}) + calls)
    block = attacker.encoder.encode([(*field, True) for field in fields])
    flags = frames.END_HEADERS | (frames.END_STREAM if end else 0)
    received: list[Frame] = []
    for batch in range(BATCHES):
        first = 2 * (crowd + BATCH * batch) + 1
        ids = range(first, first + 2 * BATCH, 2)
        attacker.send(b"".join(frames.frame(FrameType.HEADERS, flags, one, block) for one in ids))
        while not attacker.closed and resets(received) < BATCH * (batch + 1):
            received += attacker.read(until=FrameType.RST_STREAM)
        if attacker.closed:
            break
    return received


FULL: Final = Limits().concurrent_streams
# One batch may be answered before the end is heard of, and time earns some more.
REFUSED: Final = Limits().unaware_refusals + Limits().nuisance_burst + BATCH
PROVOKED: Final = Limits().provoked_reset_burst + 30


@pytest.mark.parametrize(
    ("fields", "end", "crowd", "most"),
    [
        pytest.param(UNARY, False, FULL, REFUSED, id="streams over the limit"),
        pytest.param(PATHLESS, False, 0, PROVOKED, id="requests without a path"),
        pytest.param(PATHLESS, False, FULL, PROVOKED, id="the same over the limit"),
        pytest.param(SHORT, True, 0, PROVOKED, id="requests without their body"),
    ],
)
def test_a_flood_without_an_acknowledgement_is_told_to_calm_down(
    port: int, fields: Fields, end: bool, crowd: int, most: int
) -> None:
    with Attacker(port, greet=False) as attacker:
        received = flood(attacker, fields, end=end, crowd=crowd)
        assert attacker.closed
    (farewell,) = [one for one in received if one.kind == FrameType.GOAWAY]
    assert farewell.code == ErrorCode.ENHANCE_YOUR_CALM
    assert resets(received) <= most
