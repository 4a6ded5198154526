"""`sluice up`: resolve what the user asked for, then run the mesh until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from chassis.errors import ConfigError
from ratelimit_service.storage import rules_file
from sluice.mesh.drain import VARIABLE as DRAIN_VARIABLE
from sluice.mesh.drain import fitting_drain
from sluice.mesh.envoy_config import asked_domain, read_template
from sluice.mesh.interpreter import module_environ
from sluice.mesh.keeper import FINISH_SECONDS
from sluice.mesh.parts import PARTS, REDIS, all_ports, choose
from sluice.mesh.plan import Plan, rules_folder, rules_of
from sluice.mesh.ports import LOOPBACK, assign_ports, why_not_free
from sluice.mesh.state import StateFolder
from sluice.mesh.store import Store, own_store
from sluice.mesh.supervisor import STOP_SECONDS, Supervisor
from sluice.mesh.voice import ReaderGoneError, Voice
from sluice.outcome import CannotReach, OperatorError, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sluice.mesh.part import Part


# A mesh that was just killed may hold its ports a moment longer.
_PORT_PATIENCE_SECONDS: Final = 1.0
_PORT_LOOK_SECONDS: Final = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What the command line and the environment say; None is not said."""

    only: str | None
    ports_from: int | None
    state: Path | None
    redis: str | None
    envoy: Path | None
    rules: Path | None
    environ: Mapping[str, str]


def run(options: Options) -> None:
    """Run the mesh until a signal ends it. Raises OperatorError with what to do."""
    # Until the supervisor listens to signals, SIGTERM does what Ctrl-C does: it unwinds, so that a
    # temporary state folder goes. Nothing runs yet that would have to be stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        _run(options)


def _run(options: Options) -> None:
    voice = Voice()
    parts = choose(options.only)
    ports = assign_ports(all_ports(), first=options.ports_from, environ=options.environ)
    store = _store(options, parts, ports)
    if not store.embedded:
        parts = tuple(part for part in parts if part.name != REDIS)
        voice.note(f"using the Redis {store.shown} instead of the embedded one")
    if not parts:
        raise WrongUsage("--only redis with a Redis of your own leaves nothing to run")
    rules = rules_folder(options.rules, options.environ)
    if {part.name for part in parts} >= {"ratelimit", "envoy"}:
        _note_unasked_rules(rules or rules_of(options.environ), voice)
    with StateFolder.open(options.state) as state:
        plan = Plan(
            ports=ports,
            environ=_for_parts(options.environ, parts, voice),
            state=state,
            store=store,
            envoy=options.envoy,
            rules=rules,
        )
        asyncio.run(_supervise(parts, plan, voice, block=options.ports_from is not None))


async def _supervise(parts: Sequence[Part], plan: Plan, voice: Voice, *, block: bool) -> None:
    await _check_needs(parts, plan)
    await _wait_for_free_ports(parts, plan, block=block)
    supervisor = Supervisor(parts, plan, voice)
    names = ", ".join(part.name for part in parts)
    kept = "goes with this run" if plan.state.temporary else "is kept"
    voice.note(f"starting {names}; the state in {plan.state.root} {kept}")
    try:
        await supervisor.run()
    except ReaderGoneError:
        return  # whoever started us reads no more: that is a wish to stop, and it has stopped
    voice.note("stopped")


def _store(options: Options, parts: Sequence[Part], ports: Mapping[str, int]) -> Store:
    # REDIS_URL in somebody's shell is no reason to refuse a run that needs no Redis.
    wanted = any(REDIS in {part.name, *part.needs} for part in parts)
    if options.redis is None or not wanted:
        return Store(url=f"redis://{LOOPBACK}:{ports['SLUICE_REDIS_PORT']}", embedded=True)
    return own_store(options.redis, options.environ)


async def _wait_for_free_ports(parts: Sequence[Part], plan: Plan, *, block: bool) -> None:
    """Raise OperatorError, naming every port that is taken, who wants it and the way out."""
    deadline = time.monotonic() + _PORT_PATIENCE_SECONDS
    while taken := [
        (part, port, reason)
        for part in parts
        for port in part.ports
        if (reason := why_not_free(plan.ports[port.variable])) is not None
    ]:
        if time.monotonic() < deadline:
            await asyncio.sleep(_PORT_LOOK_SECONDS)
            continue
        said = "; ".join(
            f"port {plan.ports[port.variable]} ({part.name}, {port.variable}) {reason}"
            for part, port, reason in taken
        )
        # A block is consecutive, so the variables do not move its ports.
        what = taken[0][1].variable if len(taken) == 1 else "each variable"
        way = "" if block else f"set {what} to a free port, "
        raise OperatorError(
            f"{said}: {way}choose other ports with --ports-from N, or stop what uses it"
        )


async def _check_needs(parts: Sequence[Part], plan: Plan) -> None:
    """Raise CannotReach when a part needs one that is not to be started and does not answer."""
    chosen = {part.name for part in parts}
    for part in parts:
        for needed in PARTS:
            absent = needed.name in part.needs and needed.name not in chosen
            if not absent or (needed.name == REDIS and not plan.store.embedded):
                continue
            problem = await needed.healthy(plan)
            if problem is not None:
                raise CannotReach(
                    f"{part.name} needs {needed.name}, which {problem} at {needed.address(plan)}: "
                    f"add {needed.name} to --only, or start it there"
                    + (", or give --redis URL" if needed.name == REDIS else "")
                )


def _note_unasked_rules(rules: Path, voice: Voice) -> None:
    """Say when the rules are about other domains than the one this mesh's Envoy asks about.

    Nothing else would: a domain without rules is unlimited. Mistakes in the rules are for the
    limiter to tell, with their lines.
    """
    asked = asked_domain(read_template())
    try:
        known = rules_file.read([rules]).build().domains
    except ConfigError:
        return
    if asked not in known:
        voice.note(
            f"no rule file in {rules} has domain {asked}, which this mesh's Envoy asks for: "
            "calls through Envoy are not limited"
        )


def _for_parts(environ: Mapping[str, str], parts: Sequence[Part], voice: Voice) -> dict[str, str]:
    """Answer the environment of `sluice up` as the parts get it."""
    cut = fitting_drain(parts, environ, stop_seconds=STOP_SECONDS, finish_seconds=FINISH_SECONDS)
    if cut is None:
        return module_environ(environ)
    written = environ[DRAIN_VARIABLE]
    voice.note(f"{DRAIN_VARIABLE}={written} is cut to {cut:g} s, so that a stop takes at most 15 s")
    return module_environ({**environ, DRAIN_VARIABLE: f"{cut:g}s"})
