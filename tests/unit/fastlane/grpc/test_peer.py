"""Addresses of callers in gRPC's notation."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from fastlane.grpc.peer import peer_name


class Socket:
    """A socket of a family."""

    def __init__(self, family: int) -> None:
        self.family = family


class Transport:
    """A transport that knows these things."""

    def __init__(self, family: int, **extra: Any) -> None:
        self.extra = {"socket": Socket(family), **extra}

    def get_extra_info(self, name: str) -> Any:
        """Return one of them."""
        return self.extra.get(name)


@pytest.mark.parametrize(
    ("transport", "name"),
    [
        (Transport(socket.AF_INET, peername=("1.2.3.4", 5)), "ipv4:1.2.3.4:5"),
        (Transport(socket.AF_INET6, peername=("::1", 5, 0, 0)), "ipv6:%5B::1%5D:5"),
        (Transport(socket.AF_UNIX, sockname="/run/s"), "unix:/run/s"),
        (Transport(socket.AF_UNIX, sockname=b"\0name"), "unix:\0name"),
        (Transport(socket.AF_INET), ""),
    ],
)
def test_a_caller_is_named(transport: Any, name: str) -> None:
    assert peer_name(transport) == name
