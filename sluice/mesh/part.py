"""What a part of the mesh is: how it is started, told, asked, stopped and shown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, TypeAlias

from sluice.mesh.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sluice.mesh.plan import Plan
    from sluice.mesh.ports import Port

# What `ready` says of a part: host:port or a URL, or an object by role (grpc, admin, http, ops).
Address: TypeAlias = "str | dict[str, str]"


class Stage(IntEnum):
    """When a part starts: a stage at a time, the parts of a stage together. Stopped in reverse."""

    STORE = 0
    SERVICE = 1
    EDGE = 2


def loopback_places(ports: Mapping[str, int], of: tuple[Port, ...]) -> Address:
    """Answer host:port, or an object by role where there are several."""
    places = {port.role: f"{LOOPBACK}:{ports[port.variable]}" for port in of}
    return places if len(places) > 1 else next(iter(places.values()))


def _tell_nothing(_plan: Plan) -> Mapping[str, str]:
    return {}


async def _finish_nothing(_plan: Plan) -> None:
    """Most parts drain by themselves on SIGTERM."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One part of the mesh.

    name           its name for --only, in lines and in `ready`
    stage          when it starts and stops
    ports          every port it listens on; it is told each by the port's variable
    argv           its program and arguments; makes what it needs (folders, rendered files) and
                   raises OperatorError when it cannot
    environ        what else it is told, on top of the environment of `sluice up`
    healthy        None when it is healthy, or why it is not
    alive          None when it answers at all, though perhaps not healthy, or how it does not;
                   a part that does not for some seconds is killed and started again
    finish         what is done before SIGTERM, such as refusing new calls
    grace_seconds  how long after SIGTERM it is killed: its own promise and a little more
    grace          the same where a setting moves it
    needs          the parts without which it never becomes healthy
    """

    name: str
    stage: Stage
    ports: tuple[Port, ...]
    argv: Callable[[Plan], list[str]]
    healthy: Callable[[Plan], Awaitable[str | None]]
    alive: Callable[[Plan], Awaitable[str | None]]
    grace_seconds: float
    environ: Callable[[Plan], Mapping[str, str]] = _tell_nothing
    finish: Callable[[Plan], Awaitable[None]] = _finish_nothing
    grace: Callable[[Plan], float] | None = None
    needs: tuple[str, ...] = ()

    @property
    def finishes(self) -> bool:
        """Whether anything is done before its SIGTERM."""
        return self.finish is not _finish_nothing

    def killed_after(self, plan: Plan) -> float:
        """Answer how many seconds after SIGTERM it is killed in this run."""
        return self.grace_seconds if self.grace is None else self.grace(plan)

    def address(self, plan: Plan) -> Address:
        """Answer what `ready` says of this part."""
        return loopback_places(plan.ports, self.ports)

    def told(self, plan: Plan) -> dict[str, str]:
        """Answer the whole environment the part starts with."""
        ports = {port.variable: str(plan.ports[port.variable]) for port in self.ports}
        return {**plan.environ, **ports, **self.environ(plan)}
