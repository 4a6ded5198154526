"""The life of a service process: start in order, serve, drain, close in reverse, exit with a code.

    SIGTERM, SIGINT   NOT_SERVING at once, then every step is closed, last started first, with grace
    a second one      exit now
    SIGHUP            reload, if the service can

All of it ends within the app's `close_seconds` and a moment, whatever a reload or a thread does.

What the operator can mend (settings, rule files, a used port) is told as plain text on stderr and
an exit code: 2 for settings, 1 for the rest, never a traceback.

    def build() -> App: ...                        # the composition root, inside the event loop
    def main() -> int: return run(build)
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chassis.errors import OperatorError
from chassis.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from chassis.health import Health

# All closing together. With EXIT_SECONDS it stays below the 5 seconds after which a supervisor
# that waits for SIGTERM to be obeyed may kill.
CLOSE_SECONDS = 4.0
# When everything is closed: how long threads that cannot be cancelled may still take. What they
# do is of no use to anybody any more.
EXIT_SECONDS = 0.5

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
    It is cancelled when the process is told to stop. `close_seconds` is how long all closing
    together may take; what has not closed by then is left behind.
    """

    name: str
    steps: tuple[Step, ...]
    health: Health
    reload: Callable[[], Awaitable[None]] | None = None
    close_seconds: float = CLOSE_SECONDS


def run(build: Callable[[], App]) -> int:
    """Build the app in a new event loop (uvloop where there is one), run it, return the code.

    Does not return, but ends the process with that code, when threads are left that do not end.
    """
    bounds = _Bounds()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            code = runner.run(_live(build, bounds))
        except OperatorError as error:
            print(error, file=sys.stderr)  # for the operator, whatever the log's format is
            code = error.exit_code
        except KeyboardInterrupt:
            code = 130
        bounds.exit_after(EXIT_SECONDS, code=code)
    bounds.lift()
    return code


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: PLC0415  optional: there is none for PyPy

        return uvloop.new_event_loop
    return None


async def _live(build: Callable[[], App], bounds: _Bounds) -> int:
    signals = _Signals()
    app = build()
    signals.install(reloads=app.reload is not None)
    started: list[Step] = []
    life = asyncio.create_task(_serve(app, signals, started), name="life")
    stop = asyncio.create_task(signals.stop.wait(), name="stop")
    await asyncio.wait({life, stop}, return_when=asyncio.FIRST_COMPLETED)
    bounds.exit_after(app.close_seconds + EXIT_SECONDS, code=1)
    stop.cancel()
    clean = await _close(app, started, life)
    failure = life.exception() if life.done() and not life.cancelled() else None
    if isinstance(failure, OperatorError):
        raise failure
    if failure is not None:
        # Told by the log and not by Python, so that no secret is in it.
        log.error("failed: this is a bug", service=app.name, exc_info=failure)
    return 0 if clean and failure is None else 1


async def _serve(app: App, signals: _Signals, started: list[Step]) -> None:
    """Start, then reload whenever told, until cancelled."""
    for step in app.steps:
        log.debug("starting", part=step.name)
        await step.start()
        started.append(step)
    _calm_collector()
    log.info("started", service=app.name, pid=os.getpid())
    while True:
        await signals.reload.wait()
        signals.reload.clear()
        if app.reload is not None:
            await _reload(app.name, app.reload)


def _calm_collector() -> None:
    """Have the cycle collector leave alone what the start has made, and look less often.

    By default it looks at every 700 new containers, and every hundredth time at all there are,
    modules and rules included: 20% of the CPU of a rate-limit decision. A look at the 50,000
    youngest takes 5 ms; one at all there are may take ten times as long, and is rare.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 5, 1000)


async def _reload(name: str, reload: Callable[[], Awaitable[None]]) -> None:
    try:
        await reload()
    except OperatorError as error:
        log.error("reload refused, nothing has changed", service=name, problems=str(error))  # noqa: TRY400  a traceback says nothing here
    except Exception:
        log.exception("reload failed, nothing has changed: this is a bug", service=name)


async def _close(app: App, started: list[Step], life: asyncio.Task[None]) -> bool:
    """Drain, end what goes on, close what was started, last first; False if not all went well."""
    deadline = asyncio.get_running_loop().time() + app.close_seconds
    app.health.drain()
    life.cancel()
    clean = await _within(deadline, app, "start or reload", lambda: asyncio.wait({life}))
    for step in reversed(started):
        log.debug("closing", part=step.name)
        clean = await _within(deadline, app, step.name, step.close) and clean
    log.info("stopped", service=app.name)
    return clean


async def _within(
    deadline: float, app: App, part: str, close: Callable[[], Awaitable[Any]]
) -> bool:
    try:
        async with asyncio.timeout_at(deadline):
            await close()
    except TimeoutError:
        log.error("did not close in time", part=part, seconds=app.close_seconds)  # noqa: TRY400  a traceback says nothing here
    except Exception:
        log.exception("did not close: this is a bug", part=part)
    else:
        return True
    return False


class _Bounds:
    """Ends the process, come what may, a time after it was told to stop.

    asyncio waits for what it cannot cancel, such as a thread that reads from a disk that hangs.
    This waits in a thread of its own, because the event loop may be among what hangs.
    """

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None

    def exit_after(self, seconds: float, *, code: int) -> None:
        """Exit with the code so many seconds from now; takes the place of the call before."""
        self.lift()
        self._timer = threading.Timer(seconds, _exit_now, kwargs={"code": code})
        self._timer.daemon = True
        self._timer.start()

    def lift(self) -> None:
        """Let the process go on."""
        if self._timer is not None:
            self._timer.cancel()


def _exit_now(*, code: int) -> None:
    log.warning("exiting without waiting for what still runs", code=code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


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
            _exit_now(code=128 + number)
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
