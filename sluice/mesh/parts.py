"""The table of parts. A new part of the mesh is one entry in PARTS and the functions it names.

Places of a block of ports (Port.offset) that are taken: 0 to 7. A part keeps its places for good:
scripts count on them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sluice.mesh import envoy_config
from sluice.mesh.binaries import VALKEY, find_embedded, find_envoy
from sluice.mesh.drain import service_grace
from sluice.mesh.interpreter import module_command
from sluice.mesh.part import Part, Stage
from sluice.mesh.ports import LOOPBACK, Port
from sluice.mesh.probes import (
    NoAnswerError,
    http_alive,
    http_answers,
    http_call,
    redis_alive,
    redis_answers,
)
from sluice.outcome import OperatorError, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sluice.mesh.part import Address
    from sluice.mesh.plan import Plan

REDIS: Final = "redis"

# How to enter a Redis. REDIS_TIMEOUT and the like are about any, so they stay.
_WAYS_IN: Final = (
    "REDIS_TYPE",
    "REDIS_SOCKET_TYPE",
    "REDIS_AUTH",
    "REDIS_SENTINEL_AUTH",
    "REDIS_TLS",
    "REDIS_TLS_CACERT",
    "REDIS_TLS_CLIENT_CERT",
    "REDIS_TLS_CLIENT_KEY",
    "REDIS_TLS_SKIP_HOSTNAME_VERIFICATION",
)

_ACTIVE_CALLS: Final = "http.ingress.downstream_rq_active"
_LOOK_SECONDS: Final = 0.05


def _valkey_argv(plan: Plan) -> list[str]:
    options = {
        "bind": LOOPBACK,
        "port": str(plan.ports["SLUICE_REDIS_PORT"]),
        "dir": str(plan.state.folder("redis")),
        "protected-mode": "yes",
        # A balance must survive a kill: every write is in the kernel before it is answered, and on
        # the disk a second later. Snapshots beside that would only cost forks.
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        # A bucket that is evicted is a full bucket again; better an error than a limit forgotten.
        "maxmemory-policy": "noeviction",
        "loglevel": "notice",
        "daemonize": "no",
    }
    program = str(find_embedded(VALKEY))
    return [program, *(word for name, value in options.items() for word in (f"--{name}", value))]


async def _valkey_healthy(plan: Plan) -> str | None:
    return await redis_answers(plan.ports["SLUICE_REDIS_PORT"])


async def _valkey_alive(plan: Plan) -> str | None:
    # An error will do: a server that loads its data answers PING, with LOADING.
    return await redis_alive(plan.ports["SLUICE_REDIS_PORT"])


def _python(module: str) -> Callable[[Plan], list[str]]:
    return lambda _plan: module_command(module)


def _ratelimit_environ(plan: Plan) -> Mapping[str, str]:
    told = {
        "GRPC_HOST": LOOPBACK,
        "RATELIMIT_ADMIN_HOST": LOOPBACK,
        "HOST": LOOPBACK,
        "DEBUG_HOST": LOOPBACK,
        "REDIS_URL": plan.store.url,
    }
    if plan.store.embedded:
        # What a shell says of another Redis is not said of this one; empty counts as unset.
        told |= dict.fromkeys(_WAYS_IN, "")
    if plan.rules is not None:
        told |= {
            "RUNTIME_ROOT": str(plan.rules.parent),
            "RUNTIME_SUBDIRECTORY": "",
            "RUNTIME_APPDIRECTORY": plan.rules.name or ".",
            # The folder itself is watched: its parent may be somebody's home.
            "RUNTIME_WATCH_ROOT": "false",
        }
    return told


async def _ratelimit_healthy(plan: Plan) -> str | None:
    return await http_answers(plan.ports["DEBUG_PORT"], "/readyz")


async def _ratelimit_alive(plan: Plan) -> str | None:
    # Not /readyz: without Redis it is not ready, and a restart would not bring Redis back.
    return await http_alive(plan.ports["DEBUG_PORT"], "/healthz")


async def _demo_healthy(plan: Plan) -> str | None:
    return await http_answers(plan.ports["SLUICE_DEMO_PORT"], "/")


async def _demo_alive(plan: Plan) -> str | None:
    return await http_alive(plan.ports["SLUICE_DEMO_PORT"], "/")


def _envoy_argv(plan: Plan) -> list[str]:
    program = find_envoy(plan.envoy)
    template = envoy_config.read_template()
    if (plan.state.root / "envoy").resolve() == envoy_config.config_folder().resolve():
        raise OperatorError(
            f"the state folder {plan.state.root} is Sluice's own, whose envoy/mesh.yaml would be "
            "overwritten: choose another with --state DIR"
        )
    rendered = plan.state.write("envoy", "mesh.yaml", envoy_config.render(template, plan.ports))
    # Without hot restart there is no shared memory to collide with another Envoy's. Two workers:
    # Envoy would start one a core, and the services need cores too.
    return [
        str(program),
        *("--config-path", str(rendered)),
        "--disable-hot-restart",
        *("--concurrency", "2"),
        *("--log-level", "warning"),
    ]


async def _envoy_healthy(plan: Plan) -> str | None:
    return await http_answers(plan.ports["SLUICE_ENVOY_ADMIN_PORT"], "/ready")


async def _envoy_alive(plan: Plan) -> str | None:
    return await http_alive(plan.ports["SLUICE_ENVOY_ADMIN_PORT"], "/ready")


async def _envoy_finish(plan: Plan) -> None:
    """Stop accepting, and wait for the calls in flight: Envoy ends at once on SIGTERM."""
    admin = plan.ports["SLUICE_ENVOY_ADMIN_PORT"]
    try:
        await http_call(admin, "POST", "/drain_listeners")
        while True:
            _, said = await http_call(admin, "GET", f"/stats?filter=^{_ACTIVE_CALLS}$")
            if f"{_ACTIVE_CALLS}: 0\n" in said:
                return
            await asyncio.sleep(_LOOK_SECONDS)
    except NoAnswerError:
        return  # it is gone or hangs, so there is nothing to wait for


PARTS: Final = (
    Part(
        name=REDIS,
        stage=Stage.STORE,
        ports=(Port(role="redis", variable="SLUICE_REDIS_PORT", default=6380, offset=6),),
        argv=_valkey_argv,
        healthy=_valkey_healthy,
        alive=_valkey_alive,
        grace_seconds=2.0,
    ),
    Part(
        name="ratelimit",
        stage=Stage.SERVICE,
        ports=(
            Port(role="grpc", variable="GRPC_PORT", default=8081, offset=2),
            Port(role="admin", variable="RATELIMIT_ADMIN_PORT", default=8083, offset=3),
            Port(role="http", variable="PORT", default=8080, offset=4),
            Port(role="ops", variable="DEBUG_PORT", default=6070, offset=5),
        ),
        argv=_python("ratelimit_service"),
        environ=_ratelimit_environ,
        healthy=_ratelimit_healthy,
        alive=_ratelimit_alive,
        grace_seconds=5.5,
        grace=service_grace,
        needs=(REDIS,),
    ),
    Part(
        name="demo",
        stage=Stage.SERVICE,
        ports=(Port(role="http", variable="SLUICE_DEMO_PORT", default=8099, offset=7),),
        argv=_python("sluice.demo.origin"),
        healthy=_demo_healthy,
        alive=_demo_alive,
        grace_seconds=2.0,
    ),
    Part(
        name="envoy",
        stage=Stage.EDGE,
        ports=(
            Port(role="http", variable="SLUICE_ENVOY_PORT", default=8000, offset=0),
            Port(role="admin", variable="SLUICE_ENVOY_ADMIN_PORT", default=9901, offset=1),
        ),
        argv=_envoy_argv,
        healthy=_envoy_healthy,
        alive=_envoy_alive,
        finish=_envoy_finish,
        grace_seconds=2.0,
    ),
)


def all_ports() -> tuple[Port, ...]:
    """Answer every port of every part."""
    return tuple(port for part in PARTS for port in part.ports)


def choose(only: str | None) -> tuple[Part, ...]:
    """Answer the parts to run, in the order of the table. None means all of them."""
    if only is None:
        return PARTS
    wanted = {name.strip() for name in only.split(",")} - {""}
    known = [part.name for part in PARTS]
    unknown = sorted(wanted.difference(known))
    if unknown or not wanted:
        said = f"there is no part called {', '.join(unknown)}" if unknown else "names no part"
        raise WrongUsage(f"--only: {said}; the parts are {', '.join(known)}")
    return tuple(part for part in PARTS if part.name in wanted)


def addresses(parts: Iterable[Part], plan: Plan) -> dict[str, Address]:
    """Answer the object of the `ready` line, part to address, with a Redis of the user's own."""
    # The URL with its credentials, as promised: scripts connect with it. Notes mask them.
    found: dict[str, Address] = {} if plan.store.embedded else {REDIS: plan.store.url}
    for part in parts:
        found[part.name] = plan.store.url if part.name == REDIS else part.address(plan)
    return found
