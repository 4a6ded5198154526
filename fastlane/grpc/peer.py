"""The caller's address in gRPC's notation (gRPC naming: ipv4:, ipv6:, unix:)."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


def peer_name(transport: asyncio.BaseTransport) -> str:
    """Return for instance `ipv4:127.0.0.1:50051`."""
    connection = transport.get_extra_info("socket")
    address = transport.get_extra_info("peername")
    family = getattr(connection, "family", None)
    if family == socket.AF_UNIX:
        path = transport.get_extra_info("sockname") or ""
        return f"unix:{path.decode() if isinstance(path, bytes) else path}"
    if not address:
        return ""
    if family == socket.AF_INET6:
        return f"ipv6:%5B{address[0]}%5D:{address[1]}"
    return f"ipv4:{address[0]}:{address[1]}"
