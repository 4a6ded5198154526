"""The life of a service process: start in order, serve, drain, close in reverse, exit with a code.

    SIGTERM, SIGINT   NOT_SERVING at once, then every step is closed, last started first, with grace
    a second one      exit now
    SIGHUP            reload, if the service can

What the operator can mend (settings, rule files, a used port) is told as plain text on stderr and
an exit code: 2 for settings, 1 for the rest, never a traceback.

    def build() -> App: ...                        # the composition root, inside the event loop
    def main() -> int: return run(build)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chassis.errors import OperatorError
from chassis.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from chassis.health import Health

# All closing together; a supervisor waits 5 seconds after SIGTERM before it kills.
CLOSE_SECONDS = 4.0

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One part to start and to close. `close` is called only if `start` succeeded."""

    name: str
    start: Callable[[], Awaitable[Any]]
    close: Callable[[], Awaitable[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class App:
    """A service put together: its steps in starting order, its health, and how to reload.

    `reload` runs at SIGHUP, one at a time; an OperatorError of it is logged and nothing changes.
    """

    name: str
    steps: tuple[Step, ...]
    health: Health
    reload: Callable[[], Awaitable[None]] | None = None


def run(build: Callable[[], App]) -> int:
    """Build the app in a new event loop (uvloop where there is one), run it, return the code."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_live(build))
    except OperatorError as error:
        print(error, file=sys.stderr)  # for the operator, whatever the log's format is
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: PLC0415  optional: there is none for PyPy

        return uvloop.new_event_loop
    return None


async def _live(build: Callable[[], App]) -> int:
    signals = _Signals()
    app = build()
    signals.install(reloads=app.reload is not None)
    started: list[Step] = []
    clean = True
    try:
        starting = asyncio.create_task(_start(app, started), name="start")
        stopping = asyncio.create_task(signals.stop.wait(), name="stop")
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            await _serve(app, signals, stopping)
        else:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        stopping.cancel()
    except OperatorError:
        raise
    except Exception:
        # Told by the log and not by Python, so that no secret is in it.
        log.exception("failed: this is a bug", service=app.name)
        clean = False
    finally:
        clean = await _close(app, started) and clean
    return 0 if clean else 1


async def _start(app: App, started: list[Step]) -> None:
    for step in app.steps:
        log.debug("starting", part=step.name)
        await step.start()
        started.append(step)
    log.info("started", service=app.name, pid=os.getpid())


async def _serve(app: App, signals: _Signals, stopping: asyncio.Task[Any]) -> None:
    while not stopping.done():
        reloading = asyncio.create_task(signals.reload.wait(), name="reload")
        await asyncio.wait({reloading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not reloading.done():
            reloading.cancel()
        elif app.reload is not None:
            signals.reload.clear()
            await _reload(app.name, app.reload)


async def _reload(name: str, reload: Callable[[], Awaitable[None]]) -> None:
    try:
        await reload()
    except OperatorError as error:
        log.error("reload refused, nothing has changed", service=name, problems=str(error))  # noqa: TRY400  a traceback says nothing here
    except Exception:
        log.exception("reload failed, nothing has changed: this is a bug", service=name)


async def _close(app: App, started: list[Step]) -> bool:
    """Drain and close what was started, last first; False if something did not close well."""
    app.health.drain()
    clean = True
    deadline = asyncio.get_running_loop().time() + CLOSE_SECONDS
    for step in reversed(started):
        log.debug("closing", part=step.name)
        try:
            async with asyncio.timeout_at(deadline):
                await step.close()
        except TimeoutError:
            clean = False
            log.error("did not close in time", part=step.name, seconds=CLOSE_SECONDS)  # noqa: TRY400  a traceback says nothing here
        except Exception:
            clean = False
            log.exception("did not close: this is a bug", part=step.name)
    log.info("stopped", service=app.name)
    return clean


class _Signals:
    """What the process has been told."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.reload = asyncio.Event()

    def install(self, *, reloads: bool) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log_stray_exception)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        # Left alone SIGHUP ends the process; a service that cannot reload had better stay.
        loop.add_signal_handler(signal.SIGHUP, self.reload.set if reloads else _ignore)

    def _stop(self, number: signal.Signals) -> None:
        if self.stop.is_set():
            log.warning("told to stop again: exiting now", signal=number.name)
            sys.stderr.flush()
            os._exit(128 + number)
        log.info("stopping", signal=number.name)
        self.stop.set()


def _ignore() -> None:
    log.info("SIGHUP ignored: this service has nothing to reload")


def _log_stray_exception(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    log.error(
        "an exception nobody waited for: this is a bug",
        message=context.get("message", ""),
        exc_info=context.get("exception"),
    )
