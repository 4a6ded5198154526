"""The life of one part: started, found healthy, started again when it dies or hangs, stopped."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Final

from sluice.mesh.child import Child, how_it_ended
from sluice.mesh.ports import why_not_free
from sluice.outcome import OperatorError

if TYPE_CHECKING:
    from sluice.mesh.backoff import Backoff
    from sluice.mesh.guard import Guard
    from sluice.mesh.part import Part
    from sluice.mesh.part_log import PartLog
    from sluice.mesh.plan import Plan
    from sluice.mesh.voice import Voice

# A part that is not healthy after a minute, on any machine, waits for something that does not come.
START_SECONDS: Final = 60.0

# Healthy for so long, the cause of an earlier death is taken to be gone.
STEADY_SECONDS: Final = 10.0

# How long a part may finish what it has in hand before SIGTERM.
FINISH_SECONDS: Final = 3.0

# How long the kernel may take to carry out a SIGKILL: a process waits for its disk first.
KILL_SECONDS: Final = 1.0

# How often a part that starts is asked. A probe costs both sides about a millisecond.
_PROBE_EVERY_SECONDS: Final = 0.1

# How often a part that runs is asked whether it still answers, and how many times in a row it may
# not. With PROBE_SECONDS for each a hang is found within 12 seconds: sooner, and a machine that is
# short of breath for a moment would lose its parts.
ALIVE_EVERY_SECONDS: Final = 2.0
ALIVE_MISSES: Final = 3

# Killed by somebody's hand while it started: started again. Any other end before it was ever
# healthy (a wrong setting, a missing library) would only repeat itself.
_BY_HAND: Final = (-9, -15)


class Keeper:
    """Holds one part up. Its supervisor calls start, then keep until cancelled, then stop."""

    def __init__(
        self,
        part: Part,
        plan: Plan,
        *,
        argv: list[str],
        log: PartLog,
        guard: Guard,
        voice: Voice,
        backoff: Backoff,
    ) -> None:
        self.part = part
        self.log = log
        self._plan = plan
        self._argv = argv
        self._guard = guard
        self._voice = voice
        self._backoff = backoff
        self._child: Child | None = None
        self._code: int | None = None
        self._problem = "no answer yet"
        self._hung = ""
        self._healthy_since: float | None = None

    @property
    def was_started(self) -> bool:
        """Whether there is, or was, a process to stop."""
        return self._child is not None

    async def start(self) -> float:
        """Start the part and wait until it is healthy; answer the seconds it took.

        Raises OperatorError, with the part's last words, when it ends or does not become healthy.
        """
        begun = time.monotonic()
        try:
            async with asyncio.timeout(START_SECONDS):
                while (how := await self._attempt()) is not None:
                    if self._code not in _BY_HAND:
                        raise OperatorError(self._with_last_words(how))
                    await self._pause(how)
        except TimeoutError:
            why = f"is not healthy after {START_SECONDS:g} s: {self._problem}"
            raise OperatorError(self._with_last_words(why)) from None
        return time.monotonic() - begun

    async def keep(self) -> None:
        """Start the part again whenever it dies or hangs, until cancelled."""
        while True:
            how = await self._death_or_hang()
            if self._was_steady():
                self._backoff.reset()
            while True:
                await self._pause(how)
                begun = time.monotonic()
                again = await self._attempt()
                if again is None:
                    break
                how = again
            self._note(f"is healthy again ({time.monotonic() - begun:.1f} s)")

    async def stop(self) -> None:
        """Let the part finish, end it, and see to it that nothing of it is left."""
        child = self._child
        if child is None:
            return
        if not child.has_ended:
            await self._finish(child)
            child.terminate()
            grace = self.part.killed_after(self._plan)
            if not await child.ended_within(grace):
                self._note(f"did not end within {grace:g} s and is killed")
        self.kill()
        await child.ended_within(KILL_SECONDS)
        self._guard.forget(child.group)

    def kill(self) -> None:
        """End the part, and all it started, without asking."""
        if self._child is not None:
            self._child.kill_group()

    async def _attempt(self) -> str | None:
        """Start the part once; None when it became healthy, or what became of it instead."""
        self._code = None
        for port in self.part.ports:
            problem = why_not_free(self._plan.ports[port.variable])
            if problem is not None:
                return f"finds that port {self._plan.ports[port.variable]} {problem}"
        try:
            child = self._spawn()
        except OSError as error:
            return f"cannot be started ({error.strerror})"
        if await self._becomes_healthy(child):
            return None
        how = await self._death()
        return self._hung or how

    def _spawn(self) -> Child:
        output = self.log.open()
        try:
            child = Child(self._argv, self.part.told(self._plan), output=output)
        finally:
            os.close(output)
        self._guard.watch(child.group)
        self._child = child
        return child

    async def _becomes_healthy(self, child: Child) -> bool:
        begun = time.monotonic()
        note_after = 1.0
        misses = 0
        self._hung = ""
        while not child.has_ended:
            problem = await self.part.healthy(self._plan)
            if problem is None and not child.has_ended:
                self._healthy_since = time.monotonic()
                return True
            self._problem = problem or "its process has ended"
            waited = time.monotonic() - begun
            if waited >= note_after:
                self._note(f"is not healthy yet after {waited:.0f} s: {problem}")
                note_after *= 2
            if waited >= START_SECONDS and not self._hung:
                # It may well wait for another part. One that does not even answer hangs.
                hangs = await self.part.alive(self._plan)
                misses = misses + 1 if hangs else 0
                if misses == ALIVE_MISSES:
                    self._hung = _how_it_hung(hangs)
                    self.kill()
            await child.ended_within(_PROBE_EVERY_SECONDS)
        return False

    async def _death(self) -> str:
        """Wait for the process to end, end what it left behind, and say how it ended."""
        child = self._child
        if child is None:
            raise RuntimeError(f"{self.part.name} was not started")
        self._code = await child.ended()
        # Its workers, if it had some, hold its ports.
        child.kill_group()
        self._guard.forget(child.group)
        return f"ended ({how_it_ended(self._code)})"

    async def _death_or_hang(self) -> str:
        """Wait for the process to end, and end it if it lives without answering."""
        death = asyncio.ensure_future(self._death())
        hang = asyncio.ensure_future(self._hang())
        try:
            await asyncio.wait({death, hang}, return_when=asyncio.FIRST_COMPLETED)
            if death.done():
                return death.result()
            how = hang.result()
            # Not SIGTERM: what hangs does not hear it.
            self.kill()
            await death
        finally:
            death.cancel()
            hang.cancel()
        return how

    async def _hang(self) -> str:
        """Ask again and again, and return when there is no answer any more, saying how."""
        misses = 0
        while True:
            await asyncio.sleep(ALIVE_EVERY_SECONDS)
            problem = await self.part.alive(self._plan)
            misses = misses + 1 if problem else 0
            if misses == ALIVE_MISSES:
                return _how_it_hung(problem)

    async def _pause(self, how: str) -> None:
        delay = self._backoff.delay_seconds()
        self._note(f"{how}; restarting in {delay:.1f} s")
        await asyncio.sleep(delay)

    async def _finish(self, child: Child) -> None:
        finishing = asyncio.ensure_future(self.part.finish(self._plan))
        ended = asyncio.ensure_future(child.ended())
        await asyncio.wait(
            {finishing, ended}, timeout=FINISH_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        finishing.cancel()
        ended.cancel()

    def _was_steady(self) -> bool:
        since, self._healthy_since = self._healthy_since, None
        return since is not None and time.monotonic() - since >= STEADY_SECONDS

    def _with_last_words(self, how: str) -> str:
        said = f"{self.part.name} {how}"
        try:
            lines = self.log.tail()
        except OSError:
            lines = []
        if not lines:
            return f"{said} without a word"
        return "\n    ".join([f"{said}; its last words:", *lines])

    def _note(self, what: str) -> None:
        self._voice.note(f"{self.part.name} {what}")


def _how_it_hung(problem: str | None) -> str:
    return f"hangs ({problem}, {ALIVE_MISSES} times in a row) and was killed"
