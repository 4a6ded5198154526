"""All parts of a mesh, from the first start to the last end."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import signal
from typing import TYPE_CHECKING, Final

from sluice.mesh.backoff import Backoff
from sluice.mesh.guard import Guard
from sluice.mesh.keeper import Keeper
from sluice.mesh.part_log import PartLog
from sluice.mesh.parts import addresses

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence

    from sluice.mesh.part import Address, Part, Stage
    from sluice.mesh.plan import Plan
    from sluice.mesh.voice import Voice

# Everything has ended 15 seconds after it was asked to; what is left after this is killed.
STOP_SECONDS: Final = 13.0

# How often logs are measured and the guardian is looked after; a few system calls each time.
_HOUSEKEEPING_SECONDS: Final = 2.0

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """Runs the parts of one plan. Making it checks and prepares everything; run() starts it."""

    def __init__(self, parts: Sequence[Part], plan: Plan, voice: Voice) -> None:
        self._parts = parts
        self._plan = plan
        self._voice = voice
        self._argv = {part.name: part.argv(plan) for part in parts}
        self._logs = {part.name: PartLog(plan.state.log(part.name)) for part in parts}
        self._keepers: list[Keeper] = []
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Run the mesh until a signal ends it.

        Raises OperatorError when a part cannot be started and ReaderGoneError when nobody reads
        stdout, each after everything has ended.
        """
        self._listen_to_signals()
        guard = Guard(self._plan.state)
        self._keepers = [self._keeper(part, guard) for part in self._parts]
        life = asyncio.ensure_future(self._live(guard))
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({life, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            life.cancel()
            await asyncio.wait({life})
            await self._end()
            guard.close()
        if not life.cancelled():
            life.result()

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            # nohup ignores SIGHUP so that we survive the terminal. An ignored SIGINT means only
            # that a shell started us in the background: whoever sends it wants us to stop.
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._voice.note("killing what is left")
            self._kill_all()
        self._stop.set()

    def _keeper(self, part: Part, guard: Guard) -> Keeper:
        return Keeper(
            part,
            self._plan,
            argv=self._argv[part.name],
            log=self._logs[part.name],
            guard=guard,
            voice=self._voice,
            backoff=Backoff(random.random),
        )

    async def _live(self, guard: Guard) -> None:
        """Start the parts a stage at a time, say so, and keep them up until cancelled."""
        for _, keepers in itertools.groupby(self._keepers, key=_stage):
            await _together(self._start(keeper) for keeper in keepers)
        self._voice.say(f"ready {json.dumps(addresses(self._parts, self._plan))}")
        await _together([*(keeper.keep() for keeper in self._keepers), self._keep_house(guard)])

    async def _start(self, keeper: Keeper) -> None:
        seconds = await keeper.start()
        address = _in_words(addresses([keeper.part], self._plan)[keeper.part.name])
        self._voice.say(f"{keeper.part.name:<9}  {address}  ({seconds:.1f} s)")

    async def _keep_house(self, guard: Guard) -> None:
        """Look after guardian and logs. What fails is said once and tried again: parts run on."""
        said = ""
        while True:
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)
            try:
                guard.revive()
                for keeper in self._keepers:
                    keeper.log.trim()
            except OSError as error:
                why = f"{error.filename or 'the guardian'}: {error.strerror}"
                if why != said:
                    self._voice.note(f"keeping house failed, the parts run on: {why}")
                said = why

    async def _end(self) -> None:
        """Stop the parts, the last stage first, and see that it ends in time."""
        in_time = asyncio.get_running_loop().call_later(STOP_SECONDS, self._kill_all)
        started = [keeper for keeper in reversed(self._keepers) if keeper.was_started]
        for _, group in itertools.groupby(started, key=_stage):
            keepers = list(group)
            self._voice.note(f"stopping {', '.join(keeper.part.name for keeper in keepers)}")
            await asyncio.gather(*(keeper.stop() for keeper in keepers))
        in_time.cancel()

    def _kill_all(self) -> None:
        for keeper in self._keepers:
            keeper.kill()


def _stage(keeper: Keeper) -> Stage:
    return keeper.part.stage


def _in_words(address: Address) -> str:
    if isinstance(address, str):
        return address
    return "  ".join(f"{role} {place}" for role, place in address.items())


async def _together(works: Iterable[Coroutine[None, None, None]]) -> None:
    """Do all of it at once. The first error, or being cancelled, ends the rest."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        for task in asyncio.as_completed(tasks):
            await task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
