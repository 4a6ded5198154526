"""The core under any traffic: however it is cut, and however it is broken."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import hypothesis
from hypothesis import given
from hypothesis import strategies as st

from fastlane.h2 import Connection, ErrorCode, Limits, frames
from fastlane.h2.events import (
    ConnectionFailed,
    DataReceived,
    RequestReceived,
    StreamReset,
    TrailersReceived,
    WholeRequest,
)
from tests.fastlane.client import REQUEST, Client, read_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastlane.h2.events import Event

GREETING = frames.PREFACE + frames.settings({}) + frames.SETTINGS_ACK


@st.composite
def traffic(draw: st.DrawFn) -> list[bytes]:  # noqa: C901 - a branch an act
    """Frames of a lively and well-behaved client."""
    client = Client()
    found = [frames.PREFACE, frames.settings({})]
    opened: list[int] = []
    following = 1
    for act in draw(st.lists(st.sampled_from("hhwdderpsu"), max_size=25)):
        if act in "hw":
            value = draw(st.sampled_from([b"1", b"2", b"\xc3\xa4", b"x" * 300]))
            fields = (*REQUEST, (b"x-key", value))[: draw(st.sampled_from([6, 6, 7]))]
            found.append(client.headers(following, fields, end=draw(st.booleans()) and act == "h"))
            if act == "w":
                found.append(client.data(following, draw(st.binary(max_size=60)), end=True))
            elif not found[-1][4] & frames.END_STREAM:
                opened.append(following)
            following += 2
        elif act in "de" and opened:
            stream_id = draw(st.sampled_from(opened))
            if act == "e" and draw(st.booleans()):
                found.append(client.headers(stream_id, ((b"x-sum", b"1"),), end=True))
            else:
                body = draw(st.binary(max_size=60))
                found.append(client.data(stream_id, body, end=act == "e"))
            if act == "e":
                opened.remove(stream_id)
        elif act == "r" and opened:
            found.append(frames.rst_stream(opened.pop(), ErrorCode.CANCEL))
        elif act == "p":
            found.append(frames.ping(draw(st.binary(min_size=8, max_size=8)), ack=False))
        elif act == "s":
            window = {frames.Setting.INITIAL_WINDOW_SIZE: draw(st.integers(0, 2**20))}
            found.append(frames.settings(window))
        elif act == "u":
            found.append(frames.window_update(0, draw(st.integers(1, 1_000))))
    return found


def told(events: Sequence[Event]) -> list[tuple[object, ...]]:
    """Return events as plain values; whether a request came in one piece does not count."""
    story: list[tuple[object, ...]] = []
    for event in events:
        match event:
            case RequestReceived(stream, head, ended):
                story.append(("head", stream.id, head.path, head.fields, ended))
            case DataReceived(stream, data, ended):
                story.append(("data", stream.id, data, ended))
            case WholeRequest(stream, head, data):
                story.append(("head", stream.id, head.path, head.fields, False))
                story.append(("data", stream.id, data, True))
            case TrailersReceived(stream, fields):
                story.append(("trailers", stream.id, fields))
            case StreamReset(stream, code, by_peer):
                story.append(("reset", stream.id, code, by_peer))
            case ConnectionFailed(code, _reason):
                story.append(("failed", code))
            case _:
                story.append((type(event).__name__, repr(event)))
    return story


def deliver(pieces: Sequence[bytes]) -> tuple[list[tuple[object, ...]], bytes]:
    """Deliver bytes in these pieces to a fresh server; returns what it told and sent."""
    server = Connection(limits=Limits(concurrent_streams=8), now=0.0)
    events: list[Event] = []
    for piece in pieces:
        events += server.receive(piece, 0.0)
    return told(events), server.output()


@given(traffic(), st.data())
def test_cuts_change_nothing(found: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(found)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    edges = [0, *cuts, len(whole)]
    pieces = [whole[a:b] for a, b in itertools.pairwise(edges)]
    assert deliver(pieces) == deliver([whole])


@hypothesis.settings(max_examples=25)
@given(traffic())
def test_bytes_one_at_a_time_change_nothing(found: list[bytes]) -> None:
    whole = b"".join(found)
    assert deliver([bytes((byte,)) for byte in whole]) == deliver([whole])


@given(traffic())
def test_honest_traffic_never_fails(found: list[bytes]) -> None:
    story, _ = deliver(found)
    assert "failed" not in {entry[0] for entry in story}


@given(traffic(), st.data())
def test_broken_traffic_ends_in_a_goaway_or_not_at_all(
    found: list[bytes], data: st.DataObject
) -> None:
    broken = bytearray(b"".join(found))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(broken) - 1))
        match data.draw(st.sampled_from(["flip", "drop", "insert", "repeat"])):
            case "flip":
                broken[at] = data.draw(st.integers(0, 255))
            case "drop":
                del broken[at : at + data.draw(st.integers(1, 12))]
            case "insert":
                broken[at:at] = data.draw(st.binary(min_size=1, max_size=12))
            case _:
                broken += broken[at : at + 40]
        if not broken:
            return
    story, sent = deliver([bytes(broken)])
    check_consistent(story, sent)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 12), st.integers(0, 255), st.integers(0, 9), st.binary(max_size=40)
        ),
        max_size=20,
    )
)
def test_any_frames_in_any_order_are_answered_by_the_book(
    found: list[tuple[int, int, int, bytes]],
) -> None:
    made = [frames.frame(kind, flags, stream_id, body) for kind, flags, stream_id, body in found]
    story, sent = deliver([GREETING + b"".join(made)])
    check_consistent(story, sent)


@given(st.binary(max_size=300))
def test_random_bytes_never_break_the_server(noise: bytes) -> None:
    check_consistent(*deliver([noise]))
    check_consistent(*deliver([GREETING + noise]))


def check_consistent(story: list[tuple[object, ...]], sent: bytes) -> None:
    """Check that what was told and what was sent agree, and that nothing follows a failure."""
    kinds = [entry[0] for entry in story]
    codes = [one.code for one in read_frames(sent) if one.kind == frames.FrameType.GOAWAY]
    if "failed" in kinds:
        assert kinds.index("failed") == len(kinds) - 1
        assert codes == [story[-1][1]]
    else:
        assert not codes
    ended: set[object] = set()
    for entry in story:
        if entry[0] in {"data", "trailers"}:
            assert entry[1] not in ended, "nothing comes after the end of a stream"
        if entry[0] in {"reset", "trailers"} or (entry[0] in {"head", "data"} and entry[-1]):
            ended.add(entry[1])
