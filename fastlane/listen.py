"""Addresses in gRPC's notation to listening sockets."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from pathlib import Path
from typing import Final

# Well above the kernel's old default of 128: a proxy that reconnects everything at once must not
# see refused connections. The kernel caps it at net.core.somaxconn.
BACKLOG: Final = 4_096


def bind(address: str, *, reuse_port: bool) -> tuple[list[socket.socket], int]:
    """Return bound sockets and their port (1 for a Unix socket, as grpcio does).

    `host:port`, `[::1]:port`, `ipv4:`, `ipv6:`, `dns:` prefixed, `unix:path`, `unix:///path`,
    `unix-abstract:name`. Port 0 picks one. RuntimeError says why an address cannot be had.
    """
    if address.startswith("unix-abstract:"):
        return [_bind_unix("\0" + address.removeprefix("unix-abstract:"))], 1
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        return [_bind_unix(path.removeprefix("//"))], 1
    host, port = _split(address)
    try:
        return _bind_inet(host, port, reuse_port=reuse_port)
    except OSError as error:
        raise RuntimeError(f"cannot listen on {address}: {_why(error)}") from error


def _split(address: str) -> tuple[str, int]:
    for prefix in ("ipv4:", "ipv6:", "dns:///", "dns:"):
        address = address.removeprefix(prefix)
    host, separator, port = address.rpartition(":")
    if address.endswith("]") or not separator:
        host, port = address, "0"
    if not port.isdigit() or int(port) > 65_535:
        raise RuntimeError(f"cannot listen on {address}: write host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _bind_inet(host: str, port: int, *, reuse_port: bool) -> tuple[list[socket.socket], int]:
    """Bind every address of `host`; the wildcard takes IPv6 and IPv4 in one socket."""
    wildcard = host in {"", "0.0.0.0", "::", "*"}  # noqa: S104 - what the caller asked for
    if wildcard and socket.has_dualstack_ipv6() and host != "0.0.0.0":  # noqa: S104
        with contextlib.suppress(OSError):
            one = _open(socket.AF_INET6, ("::", port), reuse_port=reuse_port, dual=True)
            return [one], one.getsockname()[1]
    found = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)  # noqa: S104
    sockets: list[socket.socket] = []
    try:
        for family, _type, _proto, _name, target in dict.fromkeys(found):
            where = (target[0], port, *target[2:])
            sockets.append(_open(family, where, reuse_port=reuse_port))
            port = sockets[0].getsockname()[1]
    except OSError:
        for one in sockets:
            one.close()
        raise
    return sockets, port


def _open(
    family: int, where: tuple[object, ...], *, reuse_port: bool, dual: bool = False
) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setblocking(False)  # noqa: FBT003 - the standard library's signature
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not dual))
        one.bind(where)
    except OSError:
        one.close()
        raise
    return one


def _bind_unix(path: str) -> socket.socket:
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        one.setblocking(False)  # noqa: FBT003 - the standard library's signature
        if not path.startswith("\0"):
            _remove_stale(path)
        one.bind(path)
    except OSError as error:
        one.close()
        raise RuntimeError(f"cannot listen on unix:{path}: {_why(error)}") from error
    return one


def _remove_stale(path: str) -> None:
    """Remove a socket file that nobody listens on, as a killed server leaves it."""
    if not Path(path).is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink(missing_ok=True)


def _why(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the address is in use; stop what uses it or choose another"
    if error.errno == errno.EACCES:
        return "permission denied; choose a port above 1023 or a folder you may write"
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
