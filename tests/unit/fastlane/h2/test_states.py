"""The table of stream states, row by row against RFC 9113 section 5.1."""

from __future__ import annotations

import pytest

from fastlane.h2.errors import ConnectionFault, ErrorCode, LocalError, StreamFault
from fastlane.h2.states import NEXT, Act, State, after

IDLE, OPEN, REMOTE, LOCAL, CLOSED, RESET = State


@pytest.mark.parametrize(
    ("state", "act", "expected"),
    [
        (IDLE, Act.HEADERS, OPEN),
        (IDLE, Act.HEADERS_END, REMOTE),
        (OPEN, Act.HEADERS_END, REMOTE),
        (OPEN, Act.DATA, OPEN),
        (OPEN, Act.DATA_END, REMOTE),
        (OPEN, Act.END, LOCAL),
        (OPEN, Act.PEER_RESET, CLOSED),
        (OPEN, Act.RESET, RESET),
        (REMOTE, Act.END, CLOSED),
        (REMOTE, Act.WINDOW, REMOTE),
        (LOCAL, Act.DATA, LOCAL),
        (LOCAL, Act.DATA_END, CLOSED),
        (CLOSED, Act.WINDOW, CLOSED),
        (CLOSED, Act.PEER_RESET, CLOSED),
        (RESET, Act.DATA, RESET),
        (RESET, Act.HEADERS_END, RESET),
    ],
)
def test_what_is_allowed_leads_on(state: State, act: Act, expected: State) -> None:
    assert after(state, act) == expected


@pytest.mark.parametrize(
    ("state", "act", "fault", "code"),
    [
        (IDLE, Act.DATA, ConnectionFault, ErrorCode.PROTOCOL_ERROR),
        (IDLE, Act.PEER_RESET, ConnectionFault, ErrorCode.PROTOCOL_ERROR),
        (IDLE, Act.WINDOW, ConnectionFault, ErrorCode.PROTOCOL_ERROR),
        (OPEN, Act.HEADERS, StreamFault, ErrorCode.PROTOCOL_ERROR),
        (REMOTE, Act.DATA, StreamFault, ErrorCode.STREAM_CLOSED),
        (REMOTE, Act.HEADERS_END, StreamFault, ErrorCode.STREAM_CLOSED),
        (LOCAL, Act.HEADERS, StreamFault, ErrorCode.PROTOCOL_ERROR),
        (CLOSED, Act.HEADERS, ConnectionFault, ErrorCode.STREAM_CLOSED),
        (CLOSED, Act.DATA_END, StreamFault, ErrorCode.STREAM_CLOSED),
    ],
)
def test_what_is_forbidden_is_a_fault_with_its_code(
    state: State, act: Act, fault: type[ConnectionFault | StreamFault], code: ErrorCode
) -> None:
    with pytest.raises(fault) as caught:
        after(state, act)
    assert caught.value.code is code


@pytest.mark.parametrize("state", [IDLE, LOCAL, CLOSED, RESET])
def test_ending_what_has_ended_is_the_callers_mistake(state: State) -> None:
    with pytest.raises(LocalError):
        after(state, Act.END)


def test_the_table_is_complete() -> None:
    assert len(NEXT) == len(State)
    assert {len(row) for row in NEXT} == {len(Act)}
