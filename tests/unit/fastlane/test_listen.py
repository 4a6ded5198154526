"""Addresses to sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fastlane.listen import bind

if TYPE_CHECKING:
    import socket
    from pathlib import Path


def close(sockets: list[socket.socket]) -> None:
    """Close them all."""
    for one in sockets:
        one.close()


@pytest.mark.parametrize(
    "address", ["127.0.0.1:0", "127.0.0.1", "ipv4:127.0.0.1:0", "dns:///localhost:0"]
)
def test_an_address_becomes_a_bound_socket(address: str) -> None:
    sockets, port = bind(address, reuse_port=True)
    assert {one.getsockname()[1] for one in sockets} == {port}
    assert port > 0
    close(sockets)


def test_every_address_of_a_name_gets_the_same_port() -> None:
    sockets, port = bind("localhost:0", reuse_port=False)
    assert all(one.getsockname()[1] == port for one in sockets)
    close(sockets)


@pytest.mark.parametrize("address", ["127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1"])
def test_a_wrong_port_says_how_to_write_it(address: str) -> None:
    with pytest.raises(RuntimeError, match="write host:port"):
        bind(address, reuse_port=False)


def test_an_unknown_host_is_one_sentence() -> None:
    with pytest.raises(RuntimeError, match=r"cannot listen on nowhere\.invalid:1"):
        bind("nowhere.invalid:1", reuse_port=False)


def test_a_socket_file_in_use_is_not_stolen(tmp_path: Path) -> None:
    address = f"unix:{tmp_path / 's'}"
    sockets, _ = bind(address, reuse_port=False)
    sockets[0].listen()
    with pytest.raises(RuntimeError, match="in use"):
        bind(address, reuse_port=False)
    close(sockets)
    close(bind(address, reuse_port=False)[0])  # stale now


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(RuntimeError):
        bind(f"unix:{path}", reuse_port=False)
    assert path.read_text() == "data"


def test_an_abstract_name_needs_no_file() -> None:
    sockets, port = bind("unix-abstract:fastlane-test-listen", reuse_port=False)
    assert (sockets[0].getsockname(), port) == (b"\0fastlane-test-listen", 1)
    close(sockets)
