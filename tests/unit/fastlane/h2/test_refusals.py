"""Requests that are refused or malformed: what they cost the peer, aware of our limits or not."""

from __future__ import annotations

import pytest

from fastlane.h2 import ErrorCode, Limits, frames
from fastlane.h2.events import ConnectionFailed, Event, RequestReceived
from tests.fastlane.client import REQUEST, Pair
from tests.unit.fastlane.h2.test_requests import failure, open_stream


def unaware(limits: Limits) -> Pair:
    """Return a peer that never acknowledges our SETTINGS."""
    pair = Pair(limits, greet=False)
    pair.send(frames.PREFACE, frames.settings({}))
    pair.read()
    return pair


def test_streams_over_a_limit_that_the_peer_cannot_know_cost_nothing() -> None:
    pair = unaware(Limits(concurrent_streams=1, unaware_refusals=50, nuisance_burst=5))
    open_stream(pair, 1)
    for stream_id in range(3, 103, 2):
        assert pair.send(pair.headers(stream_id)) == []
    assert {one.code for one in pair.read()} == {ErrorCode.REFUSED_STREAM}
    pair.send(frames.SETTINGS_ACK)
    assert not pair.server.failed


def test_who_never_acknowledges_is_not_refused_forever() -> None:
    pair = unaware(Limits(concurrent_streams=1, unaware_refusals=50, nuisance_burst=5))
    open_stream(pair, 1)
    events: list[object] = []
    for stream_id in range(3, 203, 2):
        events += pair.send(pair.headers(stream_id))
    assert failure(events) is ErrorCode.ENHANCE_YOUR_CALM
    assert len(pair.read()) == 50 + 4 + 1, "refused streams, and the GOAWAY"


MALFORMED = [
    ("no path", REQUEST[:2], False),
    ("a body that is not there", (*REQUEST, (b"content-length", b"1")), True),
]


@pytest.mark.parametrize("aware", [True, False], ids=["acknowledged", "never acknowledged"])
@pytest.mark.parametrize(("story", "fields", "end"), MALFORMED, ids=[m[0] for m in MALFORMED])
def test_malformed_requests_cost_what_violations_cost(
    story: str, fields: tuple[tuple[bytes, bytes], ...], end: bool, aware: bool
) -> None:
    limits = Limits(provoked_reset_burst=10)
    pair = Pair(limits) if aware else unaware(limits)
    events: list[object] = []
    for stream_id in range(1, 41, 2):
        events += pair.send(pair.headers(stream_id, fields, end=end))
    assert failure(events) is ErrorCode.ENHANCE_YOUR_CALM, story
    assert len(pair.read()) == 10 + 1


@pytest.mark.parametrize("aware", [True, False], ids=["acknowledged", "never acknowledged"])
def test_heads_over_the_limit_are_no_violation_and_are_counted_all_the_same(aware: bool) -> None:
    limits = Limits(header_list_bytes=500, provoked_reset_burst=2, nuisance_burst=20)
    pair = Pair(limits) if aware else unaware(limits)
    long = (*REQUEST, (b"x", b"y" * 500))
    for stream_id in range(1, 21, 2):
        assert pair.send(pair.headers(stream_id, long)) == []
    events: list[object] = []
    for stream_id in range(21, 81, 2):
        events += pair.send(pair.headers(stream_id, long))
    assert failure(events) is ErrorCode.ENHANCE_YOUR_CALM


def test_trailers_over_the_limit_reset_a_request_under_way_and_cost_what_that_costs() -> None:
    pair = Pair(Limits(header_list_bytes=500, provoked_reset_burst=5))
    events: list[object] = []
    for stream_id in range(1, 41, 2):
        events += pair.send(
            pair.headers(stream_id), pair.headers(stream_id, ((b"x", b"y" * 500),), end=True)
        )
    assert failure(events) is ErrorCode.ENHANCE_YOUR_CALM


def test_answers_before_the_end_of_their_request_are_a_nuisance_each() -> None:
    pair = Pair(Limits(nuisance_burst=50, nuisance_per_second=0))
    events: list[Event] = []
    for stream_id in range(1, 201, 2):
        for event in pair.send(pair.headers(stream_id)):
            events.append(event)
            if isinstance(event, RequestReceived):
                pair.server.end(event.stream, b"\x88", hang_up=True)
    assert isinstance(events[-1], ConnectionFailed)
    assert events[-1].code == ErrorCode.ENHANCE_YOUR_CALM
    assert len(events) <= 53


def test_answers_after_the_end_of_their_request_earn_their_keep() -> None:
    pair = Pair(Limits(nuisance_burst=50, nuisance_per_second=0))
    for stream_id in range(1, 201, 2):
        for event in pair.send(pair.headers(stream_id, end=True)):
            assert isinstance(event, RequestReceived)
            pair.server.end(event.stream, b"\x88", hang_up=True)
    assert not pair.server.failed
