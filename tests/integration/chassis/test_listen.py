"""Addresses that cannot be had, each with the sentence that says what to do."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from chassis.listen import Listen, ListenError, SocketFile, check, is_loopback

if TYPE_CHECKING:
    from pathlib import Path


def refusal(listen: Listen) -> str:
    with pytest.raises(ListenError) as raised:
        check(listen)
    return str(raised.value)


def test_a_free_port_passes_and_is_free_afterwards() -> None:
    check(Listen(port=0))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    check(Listen(port=port))
    check(Listen(port=port))


def test_an_address_of_another_machine() -> None:
    told = refusal(Listen(host="192.0.2.1", port=8080, variable="PREFS_GRPC_PORT"))
    assert "PREFS_GRPC_PORT and PREFS_GRPC_HOST to an address of this machine" in told


def test_an_unknown_host() -> None:
    told = refusal(Listen(host="no.such.host.invalid", port=1, variable="GRPC_PORT"))
    assert "'no.such.host.invalid'" in told
    assert "set GRPC_HOST" in told


def test_a_port_used_on_every_address_is_in_use_on_this_one() -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))  # noqa: S104  that it covers our address is the point
        taken.listen()
        port = taken.getsockname()[1]
        assert "is in use" in refusal(Listen(port=port))


def test_a_socket_left_behind_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    check(Listen(socket_path=str(path)))
    assert not path.exists()


def test_a_socket_that_somebody_serves_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(path))
        alive.listen()
        assert "is in use" in refusal(Listen(socket_path=str(path), variable="GRPC_UDS"))
    assert path.exists()


def test_a_socket_whose_owner_is_too_busy_to_answer_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))
        assert "is in use" in refusal(Listen(socket_path=str(path)))
    assert path.exists()


def test_a_path_that_no_socket_can_have(tmp_path: Path) -> None:
    path = tmp_path / ("s" * 100) / ("s" * 100)
    told = refusal(Listen(socket_path=str(path), variable="GRPC_UDS"))
    assert "set GRPC_UDS to one of at most 107 bytes" in told


def test_a_successors_socket_is_not_removed(tmp_path: Path) -> None:
    listen = Listen(socket_path=str(tmp_path / "s"), socket_mode=0o600)
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        first.bind(listen.socket_path)
        ours = SocketFile(listen)
        (tmp_path / "s").rename(tmp_path / "kept")  # its inode stays taken
        second.bind(listen.socket_path)
        theirs = SocketFile(listen)
        ours.remove()
        assert (tmp_path / "s").is_socket()
        theirs.remove()
        assert not (tmp_path / "s").exists()
        theirs.remove()


def test_a_file_is_not_taken_for_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    assert "is a file and not a socket" in refusal(Listen(socket_path=str(path)))
    assert path.read_text() == "data"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    told = refusal(Listen(socket_path=str(tmp_path / "no" / "s"), variable="GRPC_UDS"))
    assert "create that folder" in told
    assert "GRPC_UDS" in told


@pytest.mark.parametrize(
    ("host", "only_this_machine"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104  what must not be taken for it
        ("::", False),
        ("10.0.0.7", False),
        ("localhost.example.org", False),
    ],
)
def test_what_only_this_machine_reaches(host: str, *, only_this_machine: bool) -> None:
    assert is_loopback(host) == only_this_machine
