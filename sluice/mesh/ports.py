"""Which port each part of the mesh listens on.

Two ways: the defaults of the interface documentation, each moved by the environment variable of
its name, or a block of consecutive ports. In a block every port has a fixed place, so that two
runs with the same first port and different parts find each other.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from chassis.parsers import whole
from sluice.outcome import OperatorError, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LOOPBACK: Final = "127.0.0.1"

# A mesh promises to stay within this many ports, so that users can set a block aside for it.
BLOCK_SIZE: Final = 32

_port = whole(1, 65535)


@dataclass(frozen=True, kw_only=True, slots=True)
class Port:
    """One listening port of a part.

    `role` is its key in the `ready` object (grpc, admin, http, ops), `variable` the environment
    variable that moves it and tells the part, `offset` its place in a block of BLOCK_SIZE.
    """

    role: str
    variable: str
    default: int
    offset: int


def assign_ports(
    ports: Iterable[Port], *, first: int | None, environ: Mapping[str, str]
) -> dict[str, int]:
    """Give every port its number, by variable.

    `first` starts a block and wins over the environment: PORT is set in many a container, and a
    block that is consecutive but for one port would be no block. Raises WrongUsage, naming every
    variable that is no port and every two that are the same.
    """
    if first is not None:
        return {port.variable: first + port.offset for port in ports}
    numbers: dict[str, int] = {}
    wrong: list[str] = []
    for port in ports:
        written = environ.get(port.variable, "")
        try:
            number = _port(written) if written else port.default
        except ValueError as error:
            wrong.append(f"{port.variable}={written} {error}")
            continue
        same = next((name for name, other in numbers.items() if other == number), None)
        if same:
            wrong.append(f"{port.variable} and {same} are both {number}; give each its own port")
        numbers[port.variable] = number
    if wrong:
        raise WrongUsage("\n".join(wrong))
    return numbers


def why_not_free(number: int) -> str | None:
    """Tell why a program of ours cannot listen on this port of the loopback interface now.

    Answers None when it can. The trial socket sets no SO_REUSEPORT, so a listener that does (a
    rate-limit service, an Envoy) still shows: the kernel would let ours share its calls.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        # Without it, connections of a mesh that just ended would count as in use for a minute.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Bound and not listening: a client that waits for a part to come back must not meet us.
        try:
            trial.bind((LOOPBACK, number))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "is in use"
            if error.errno == errno.EACCES:
                return "is not allowed for this user"
            raise OperatorError(f"port {number} cannot be tried: {error.strerror}") from error
    return None
