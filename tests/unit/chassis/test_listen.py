"""Addresses as people write them."""

from __future__ import annotations

import pytest

from chassis.listen import Listen, split_address


@pytest.mark.parametrize(
    ("written", "host", "port"),
    [
        (":19001", "0.0.0.0", 19001),  # noqa: S104  as Go reads it
        ("127.0.0.1:9090", "127.0.0.1", 9090),
        ("localhost:0", "localhost", 0),
        ("[::1]:9090", "::1", 9090),
        ("[::]:9090", "::", 9090),
        (" :1 ", "0.0.0.0", 1),  # noqa: S104  as above
    ],
)
def test_host_and_port(written: str, host: str, port: int) -> None:
    assert split_address(written) == (host, port)


@pytest.mark.parametrize(
    "written", ["", "9090", "host", "host:", "host:x", ":70000", ":-1", "::1:9090"]
)
def test_what_is_no_address_is_told_how_to_be_one(written: str) -> None:
    with pytest.raises(ValueError, match="; write "):
        split_address(written)


@pytest.mark.parametrize(
    ("listen", "shown"),
    [
        (Listen(port=1), "127.0.0.1:1"),
        (Listen(host="::1", port=1), "[::1]:1"),
        (Listen(socket_path="/run/s"), "unix:/run/s"),
    ],
)
def test_an_address_is_shown_as_grpc_takes_it(listen: Listen, shown: str) -> None:
    assert str(listen) == shown
