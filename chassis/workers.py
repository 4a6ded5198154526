"""N processes of one service on one port: the kernel spreads connections among them (SO_REUSEPORT).

One Python process uses one core. `python -m SERVICE --workers N` runs this supervisor instead of
the service; it starts the same command N times with SLUICE_WORKER=0 ... N-1 in the environment.
All workers share the service's ports, but the ops port, which is about one process: worker K has
its own at DEBUG_PORT + K.

    SIGTERM, SIGINT   every worker drains, then the supervisor exits 0
    SIGHUP            rolling restart: each worker's successor is ready before it is told to drain

A worker that dies is started again; one that never became ready ends them all, with its exit code.
A worker whose supervisor is gone drains and exits.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from chassis.lifecycle import Step, run
from chassis.log import LogSettings, configure, get_logger
from chassis.settings import SettingsError, load, setting, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from chassis.lifecycle import App

MAX_WORKERS: Final = 64  # one a core on the largest hosts; more only share cores
_WORKER: Final = "SLUICE_WORKER"
# What a supervisor tells its workers: its process id, and the pipe that hears of their readiness.
_SUPERVISOR: Final = "SLUICE_SUPERVISOR"
# A worker that is not ready after a minute waits for something that does not come.
READY_SECONDS: Final = 60.0
# A worker whose pipe is closed has only to say why and to exit.
LAST_WORDS_SECONDS: Final = 5.0
# Beyond the longest drain that can be set; a worker's own bound ends it sooner.
STOP_SECONDS: Final = 310.0
FIRST_RESTART_SECONDS: Final = 0.5
LONGEST_RESTART_SECONDS: Final = 15.0
# A worker that served this long before it died did not die of how it was started.
PROVEN_SECONDS: Final = 60.0
_PARENT_LOOK_SECONDS: Final = 1.0

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSettings:
    """Which worker this process is; a field of a service's Settings."""

    index: int = setting(
        _WORKER, -1, parse=whole(-1, MAX_WORKERS - 1), doc="set by --workers; -1: it is alone"
    )

    @property
    def shares_ports(self) -> bool:
        """Whether others listen on the same ports."""
        return self.index >= 0

    def own_port(self, port: int) -> int:
        """Return this worker's own port where the service's is `port` (0: any free one)."""
        return port + max(0, self.index) if port else 0


def main(
    module: str, build: Callable[[], App], arguments: Sequence[str], environ: Mapping[str, str]
) -> int:
    """Run a service as `python -m module [--workers N]` says; return the exit code."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description="Settings come from the environment: docs/settings.md lists them.",
        epilog=f"example: GRPC_PORT=8081 python -m {module} --workers 4",
    )
    parser.add_argument(
        "--workers",
        type=int,
        choices=range(1, MAX_WORKERS + 1),
        metavar="N",
        default=1,
        help=f"processes that share the ports, 1 to {MAX_WORKERS} (default 1)",
    )
    count = parser.parse_args(arguments).workers
    if count == 1:
        return run(build)
    try:
        configure(load(LogSettings, environ))
    except SettingsError as error:
        print(error, file=sys.stderr)  # for the operator, whatever the log's format is
        return error.exit_code
    with asyncio.Runner() as runner:
        return runner.run(_Supervisor(module, count, environ).run())


class Membership:
    """A worker's side: it says when it is ready, and ends when its supervisor is gone."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._told = environ.get(_SUPERVISOR, "")
        self._watch: asyncio.Task[None] | None = None

    def step(self) -> Step:
        """Return the last step of the app: whoever comes to it serves."""
        return Step(name="worker", start=self._start, close=self._close)

    async def _start(self) -> None:
        if not self._told:
            return
        supervisor, _, descriptor = self._told.partition(":")
        with contextlib.suppress(OSError):  # a supervisor that is gone needs no word
            os.write(int(descriptor), b"1")
        os.close(int(descriptor))
        self._watch = asyncio.create_task(_end_with(int(supervisor)), name="supervisor watch")

    async def _close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()


async def _end_with(supervisor: int) -> None:
    while os.getppid() == supervisor:  # noqa: ASYNC110  the kernel sends no event for it
        await asyncio.sleep(_PARENT_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


@dataclass(slots=True)
class _Worker:
    """One place among the workers, and the process that has it."""

    index: int
    process: asyncio.subprocess.Process
    started: float


class _StartError(Exception):
    """A worker ended before it was ready. Never leaves this file."""

    def __init__(self, code: int) -> None:
        super().__init__(f"a worker ended with {code} before it was ready")
        self.code = code


class _Supervisor:
    def __init__(self, module: str, count: int, environ: Mapping[str, str]) -> None:
        # -P: a redis.py in the folder it was started in is not ours.
        self._command = (sys.executable, "-P", "-m", module)
        self._count = count
        self._environ = environ
        self._workers: dict[int, _Worker] = {}
        self._stop = asyncio.Event()
        self._roll = asyncio.Event()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._roll.set)
        keepers: Sequence[asyncio.Task[None]] = ()
        try:
            # The first alone: what is wrong with the settings is said once, not N times.
            for index in range(self._count):
                self._workers[index] = await self._start(index)
            log.info("workers are ready", count=self._count, pid=os.getpid())
            keepers = [asyncio.create_task(self._keep(index)) for index in range(self._count)]
            await self._until_stopped()
        except _StartError as failed:
            return failed.code
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
            await asyncio.gather(*(self._end(worker) for worker in self._workers.values()))
        return 0

    async def _until_stopped(self) -> None:
        stopping = asyncio.create_task(self._stop.wait())
        while not stopping.done():
            rolling = asyncio.create_task(self._roll.wait())
            await asyncio.wait({stopping, rolling}, return_when=asyncio.FIRST_COMPLETED)
            if rolling.done() and not stopping.done():
                self._roll.clear()
                await self._restart_in_turn(stopping)
            rolling.cancel()

    async def _restart_in_turn(self, stopping: asyncio.Task[bool]) -> None:
        for index in range(self._count):
            if stopping.done():
                return
            try:
                successor = await self._start(index)
            except _StartError as failed:
                log.error("rolling restart stopped, the old workers stay", code=failed.code)  # noqa: TRY400
                return
            old, self._workers[index] = self._workers[index], successor
            await self._end(old)
        log.info("workers restarted", count=self._count)

    async def _start(self, index: int) -> _Worker:
        """Start a worker and return when it is ready."""
        receiver, sender = os.pipe()
        try:
            told = {_WORKER: str(index), _SUPERVISOR: f"{os.getpid()}:{sender}"}
            process = await asyncio.create_subprocess_exec(
                *self._command, env={**self._environ, **told}, pass_fds=(sender,)
            )
        finally:
            os.close(sender)
        worker = _Worker(index, process, asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(READY_SECONDS):
                ready = await _read_byte(receiver)
        except TimeoutError:
            ready = b""
        except asyncio.CancelledError:
            await self._end(worker)
            raise
        finally:
            os.close(receiver)
        if not ready:
            # It has ended, or soon will; ending it by force would hide its exit code.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS_SECONDS):
                    await process.wait()
            await self._end(worker)
            raise _StartError(process.returncode or 1)
        return worker

    async def _keep(self, index: int) -> None:
        """Start the worker of this place again whenever it dies by itself."""
        delay = FIRST_RESTART_SECONDS
        while True:
            worker = self._workers[index]
            code = await worker.process.wait()
            if self._workers[index] is not worker:
                continue  # it was replaced, not lost
            if asyncio.get_running_loop().time() - worker.started > PROVEN_SECONDS:
                delay = FIRST_RESTART_SECONDS
            log.warning("a worker ended", worker=index, code=code, again_in_seconds=delay)
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_RESTART_SECONDS)
            with contextlib.suppress(_StartError):
                self._workers[index] = await self._start(index)

    async def _end(self, worker: _Worker) -> None:
        """Let a worker drain; kill it if it does not end."""
        if worker.process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            worker.process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await worker.process.wait()
        except TimeoutError:
            log.error("a worker did not drain and is killed", worker=worker.index)  # noqa: TRY400
            worker.process.kill()
            await worker.process.wait()


async def _read_byte(descriptor: int) -> bytes:
    """Return what comes, or nothing when every writer is gone."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _resolve, readable)
    try:
        await readable
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, 1)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
