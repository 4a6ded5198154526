"""The law of streams: which act is allowed in which state, and what follows (RFC 9113 section 5.1).

A server that never pushes has no reserved states. CLOSED is split by who closed, because the RFC
treats late frames differently: after our own RST_STREAM the peer may not know yet, so its frames
are ignored (RESET); after its END_STREAM or RST_STREAM it knew, so a frame is a violation (CLOSED).

         peer sends                                                          we send
state  | HEADERS   +END     | DATA      +END     | RST_STREAM | WINDOW_UPD. | END     RST
-------+--------------------+--------------------+------------+-------------+---------------
IDLE   | OPEN      REMOTE   | c:PROTO   c:PROTO  | c:PROTO    | c:PROTO     | -       RESET
OPEN   | s:PROTO   REMOTE   | OPEN      REMOTE   | CLOSED     | OPEN        | LOCAL   RESET
REMOTE | s:CLOSED  s:CLOSED | s:CLOSED  s:CLOSED | CLOSED     | REMOTE      | CLOSED  RESET
LOCAL  | s:PROTO   CLOSED   | LOCAL     CLOSED   | CLOSED     | LOCAL       | -       RESET
CLOSED | c:CLOSED  c:CLOSED | s:CLOSED  s:CLOSED | CLOSED     | CLOSED      | -       CLOSED
RESET  | RESET     RESET    | RESET     RESET    | RESET      | RESET       | -       RESET

REMOTE and LOCAL are half closed: by the peer's END_STREAM, by ours.
c: is a connection error, s: a stream error; PROTO is PROTOCOL_ERROR, CLOSED STREAM_CLOSED;
- is a mistake of the caller. HEADERS on an OPEN stream are trailers, and trailers end the stream.
PRIORITY is allowed in every state and means nothing here.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from fastlane.h2.errors import ConnectionFault, ErrorCode, LocalError, StreamFault


class State(IntEnum):
    """Where a stream is in its life."""

    IDLE = 0
    OPEN = 1
    REMOTE = 2
    LOCAL = 3
    CLOSED = 4
    RESET = 5


class Act(IntEnum):
    """What happened to a stream: a column of the table."""

    HEADERS = 0
    HEADERS_END = 1
    DATA = 2
    DATA_END = 3
    PEER_RESET = 4
    WINDOW = 5
    END = 6
    RESET = 7


# Plain ints for the frame loop: reading a member off its enum class costs 45 ns on Python 3.11,
# a module global 4 ns, and a unary call looks at its state four times.
IDLE: Final = int(State.IDLE)
OPEN: Final = int(State.OPEN)
REMOTE: Final = int(State.REMOTE)
LOCAL: Final = int(State.LOCAL)
CLOSED: Final = int(State.CLOSED)
RESET: Final = int(State.RESET)

_CONN_PROTOCOL: Final = 10
_CONN_CLOSED: Final = 11
_STREAM_PROTOCOL: Final = 12
_STREAM_CLOSED: Final = 13
_MISUSE: Final = 14

_FIRST_VERDICT: Final = 10

NEXT: Final[tuple[tuple[int, ...], ...]] = (
    # IDLE
    (OPEN, REMOTE, *(_CONN_PROTOCOL,) * 4, _MISUSE, RESET),
    # OPEN
    (_STREAM_PROTOCOL, REMOTE, OPEN, REMOTE, CLOSED, OPEN, LOCAL, RESET),
    # REMOTE
    (*(_STREAM_CLOSED,) * 4, CLOSED, REMOTE, CLOSED, RESET),
    # LOCAL
    (_STREAM_PROTOCOL, CLOSED, LOCAL, CLOSED, CLOSED, LOCAL, _MISUSE, RESET),
    # CLOSED
    (_CONN_CLOSED, _CONN_CLOSED, _STREAM_CLOSED, _STREAM_CLOSED, CLOSED, CLOSED, _MISUSE, CLOSED),
    # RESET
    (RESET, RESET, RESET, RESET, RESET, RESET, _MISUSE, RESET),
)


def after(state: int, act: Act) -> int:
    """Return the state that follows `act`; raises the fault that the table names instead."""
    verdict = NEXT[state][act]
    if verdict < _FIRST_VERDICT:
        return verdict
    what = f"{Act(act).name} on a stream that is {State(state).name}"
    match verdict:
        case 10:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, what)
        case 11:
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, what)
        case 12:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, what)
        case 13:
            raise StreamFault(ErrorCode.STREAM_CLOSED, what)
        case _:
            raise LocalError(what)
