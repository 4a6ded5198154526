"""Addresses to listen on, and a clear word when one cannot be had."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chassis.errors import OperatorError

# sockaddr_un has 108 bytes on Linux, the last of them NUL.
_LONGEST_SOCKET_PATH = 107


class ListenError(OperatorError):
    """A port or a socket that cannot be listened on; the text names the variable to change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listen:
    """Where to listen: `host` and `port` (0 lets the system choose), or a Unix `socket_path`.

    `variable` is the environment variable that sets the port, for the error message.
    `reuse_port` lets several processes share the port (SO_REUSEPORT), the kernel spreads clients.
    `socket_mode` are the socket file's permissions (None: what the umask leaves); who may write to
    it may connect.
    """

    host: str = "127.0.0.1"
    port: int = 0
    variable: str = "PORT"
    socket_path: str = ""
    socket_mode: int | None = None
    reuse_port: bool = False

    def __str__(self) -> str:
        if self.socket_path:
            return f"unix:{self.socket_path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class SocketFile:
    """The file of a Unix socket that is ours, from when it is bound until nobody listens on it."""

    def __init__(self, listen: Listen) -> None:
        self._path = Path(listen.socket_path)
        if listen.socket_mode is not None:
            self._path.chmod(listen.socket_mode)
        self._identity = self._look()

    def remove(self) -> None:
        """Remove the file, unless it is gone, or a successor's."""
        if self._identity is not None and self._look() == self._identity:
            self._path.unlink(missing_ok=True)

    def _look(self) -> tuple[int, int] | None:
        try:
            found = self._path.lstat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


def split_address(address: str) -> tuple[str, int]:
    """Read `host:port`, `[::1]:port` or, for every address of this machine, `:port`, as Go does.

    ValueError with the second half of a sentence.
    """
    host, colon, port = address.strip().rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not colon or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError("is not an address; write host:port, or :port for every address")
    if ":" in bare and not host.startswith("["):
        raise ValueError("has an IPv6 address without brackets; write [::1]:port")
    return bare or "0.0.0.0", int(port)  # noqa: S104  what it says


def check(listen: Listen) -> None:
    """Raise ListenError if the address is taken, not allowed, or not one of this machine.

    The servers' own libraries only say that binding failed; this asks the kernel why.
    """
    if listen.socket_path:
        _check_socket(listen)
        return
    try:
        found = socket.getaddrinfo(
            listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise ListenError(
            f"the host {listen.host!r} to listen on is unknown ({error.strerror}); "
            f"set {listen.variable.replace('PORT', 'HOST')} to an address of this machine"
        ) from error
    absent: OSError | None = None
    usable = False
    for family, kind, protocol, _, address in found:
        try:
            _try(listen, family, kind, protocol, address)
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise _explain(listen, error) from error
            absent = error
        else:
            usable = True
    # `localhost` also means ::1, which a machine without IPv6 lacks: one that works is enough.
    if absent is not None and not usable:
        raise _explain(listen, absent) from absent


def _try(listen: Listen, family: int, kind: int, protocol: int, address: tuple[Any, ...]) -> None:
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listen.reuse_port:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        probe.bind(address)
        # SO_REUSEADDR lets a bind pass beside a listener bound the same way: listen tells.
        probe.listen(1)


def _explain(listen: Listen, error: OSError) -> ListenError:
    where = f"port {listen.port} on {listen.host}"
    if error.errno == errno.EADDRINUSE:
        return ListenError(
            f"{where} is in use; end the process that has it, "
            f"or set {listen.variable} to a free one"
        )
    if error.errno == errno.EACCES:
        return ListenError(
            f"{where} may not be opened by this user; set {listen.variable} to 1024 or above"
        )
    host_variable = listen.variable.replace("PORT", "HOST")
    return ListenError(
        f"{where} cannot be opened ({error.strerror}); "
        f"set {listen.variable} and {host_variable} to an address of this machine"
    )


def _check_socket(listen: Listen) -> None:
    path = Path(listen.socket_path)
    if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
        raise ListenError(
            f"the socket {path} has a longer path than the system takes; "
            f"set {listen.variable} to one of at most {_LONGEST_SOCKET_PATH} bytes"
        )
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise ListenError(
            f"the socket {path} cannot be made in {path.parent}; create that folder and let this "
            f"user write to it, or set {listen.variable} to another path"
        )
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise ListenError(
            f"{path} is a file and not a socket; set {listen.variable} to another path"
        )
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            # Nobody listens: left behind by a process that was killed.
            path.unlink(missing_ok=True)
            return
        except OSError:
            pass  # somebody does, who is busy, or does not let this user in
    raise ListenError(
        f"the socket {path} is in use; end the process that has it, "
        f"or set {listen.variable} to another path"
    )


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches `host`, an address or a name."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
