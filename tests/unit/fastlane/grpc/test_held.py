"""What requests hold: of a connection, and of all of them."""

from __future__ import annotations

import pytest

from fastlane.grpc.held import Held
from fastlane.grpc.status import Abort, StatusCode


def test_a_connection_may_hold_as_much_as_its_limit() -> None:
    held = Held(100, "connection")
    held.charge(100)
    held.charge(-40)
    held.charge(40)
    assert held.size == 100


def test_whoever_makes_it_too_much_is_refused_and_told_whose_limit_it_is() -> None:
    held = Held(100, "connection")
    held.charge(60)
    with pytest.raises(Abort) as caught:
        held.charge(41)
    assert caught.value.code is StatusCode.RESOURCE_EXHAUSTED
    assert "this connection hold more than 100 bytes" in caught.value.details
    held.charge(-101)
    assert held.size == 0, "what was refused is given back like the rest"


def test_what_connections_hold_is_held_by_their_server() -> None:
    whole = Held(100, "server")
    first, second = (Held(80, "connection", whole) for _ in range(2))
    first.charge(60)
    with pytest.raises(Abort, match="this server hold more than 100 bytes"):
        second.charge(50)
    first.charge(-60)
    second.charge(-50)
    assert (whole.size, first.size) == (0, 0)


def test_giving_back_is_never_refused() -> None:
    whole = Held(100, "server")
    one = Held(1_000, "connection", whole)
    with pytest.raises(Abort):
        one.charge(500)
    one.charge(-100)
    assert whole.size == 400
