"""`sluice top`: what the rate limiter does now, again each second, until q or Ctrl-C."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import sys
import termios
import time
import tty
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from sluice.activity import Look, between
from sluice.limiter import call
from sluice.outcome import CannotReach, ExitCode, OperatorError
from sluice.screen import console, plain, span, table
from wire.sluice.ratelimit.v1 import ratelimit_pb2 as pb
from wire.sluice.ratelimit.v1.ratelimit_pb2_grpc import RateLimitAdminServiceStub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console, RenderableType

    from sluice.activity import Activity

REFRESH_SECONDS: Final = 1.0
# To tell its numbers costs a service time: with many rules they are asked less often than each
# second, so that looking takes a tenth of a core at most.
_REST: Final = 9.0
_PATIENCE_SECONDS: Final = 2.0
_MOST_BYTES: Final = 64 * 2**20  # a limiter with 100,000 rules says some 30 MB
_HOT_KEYS: Final = 20
_DESCRIPTOR_CHARACTERS: Final = 60


@dataclass(frozen=True, slots=True)
class View:
    """What is shown: activity, hot keys, or in one sentence why there are none of them."""

    activity: Activity | None
    hot: Sequence[pb.HotKey]
    trouble: str = ""


class Watch:
    """Looks at a limiter; each view is of the time since the one before."""

    def __init__(self, ops: str, admin: str) -> None:
        self._ops = ops
        self._admin = admin
        self._before: Look | None = None

    def look(self) -> None:
        """Begin; CannotReach where the ops port does not answer."""
        self._before = self._numbers()

    def view(self) -> View:
        """Return what happened since; trouble where the limiter is away."""
        try:
            now = self._numbers()
            activity = between(self._before, now) if self._before is not None else None
            self._before = now
        except OperatorError as error:
            self._before = None
            return View(None, (), str(error))
        try:
            return View(activity, self._hot_keys())
        except OperatorError as error:
            return View(activity, (), str(error))

    def _numbers(self) -> Look:
        url = f"http://{self._ops}/stats"
        try:
            with urllib.request.urlopen(url, timeout=_PATIENCE_SECONDS) as answer:
                numbers = json.loads(answer.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            error.close()
            raise OperatorError(
                f"{url} answers {error.code}; name the limiter's ops port with --ops"
            ) from error
        except ValueError as error:
            raise OperatorError(
                f"{url} does not answer numbers; name the limiter's ops port with --ops"
            ) from error
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise CannotReach(
                f"{self._ops} does not answer ({reason}); is `sluice up` running?"
            ) from error
        return Look(time.monotonic(), numbers)

    def _hot_keys(self) -> Sequence[pb.HotKey]:
        request = pb.ListHotKeysRequest(page_size=_HOT_KEYS)
        answer = call(
            self._admin,
            lambda channel: RateLimitAdminServiceStub(channel).ListHotKeys(
                request, timeout=_PATIENCE_SECONDS
            ),
        )
        return list(answer.keys)


def run(ops: str, admin: str, *, once: bool, as_json: bool) -> int:
    """Show what the limiter with these ports (host:port) does.

    Without a terminal, or as JSON, a view follows the other; with `once` there is one, of a second.
    """
    watch = Watch(ops, admin)
    watch.look()
    live = sys.stdout.isatty() and not as_json and not once
    try:
        with _keys() as pressed, _screen(live=live, as_json=as_json) as show:
            while True:
                started = time.monotonic()
                if pressed(REFRESH_SECONDS):
                    return ExitCode.OK
                view = watch.view()
                show(view)
                if once:
                    return ExitCode.CANNOT_REACH if view.activity is None else ExitCode.OK
                took = time.monotonic() - started - REFRESH_SECONDS
                if pressed(max(0.0, _REST * took - REFRESH_SECONDS)):
                    return ExitCode.OK
    except KeyboardInterrupt:
        return ExitCode.OK  # it is how one leaves


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """Give a function that waits for so many seconds, and tells whether q was pressed."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        yield _wait
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def pressed(seconds: float) -> bool:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            ready, _, _ = select.select([descriptor], [], [], left)
            if ready:
                typed = os.read(descriptor, 64)
                if not typed or b"q" in typed.lower():
                    return True
        return False

    try:
        tty.setcbreak(descriptor)
        yield pressed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _wait(seconds: float) -> bool:
    time.sleep(seconds)
    return False


@contextlib.contextmanager
def _screen(*, live: bool, as_json: bool) -> Iterator[Callable[[View], None]]:
    """Give a function that shows a view."""
    if as_json:
        yield lambda view: click.echo(json.dumps(_as_object(view)))
        return
    screen = console()
    if not live:
        yield lambda view: screen.print(_drawn(view, screen))
        return
    with Live(console=screen, screen=True, auto_refresh=False) as shown:
        shown.update(Text("a second, please ..."), refresh=True)
        yield lambda view: shown.update(_drawn(view, screen, live=True), refresh=True)


def _drawn(view: View, screen: Console, *, live: bool = False) -> RenderableType:
    parts: list[RenderableType] = []
    if view.activity is not None:
        parts += _summary(view.activity)
    if view.trouble:
        parts.append(Text(plain(view.trouble)))
    room = max(1, screen.height - 7) if live else _HOT_KEYS
    if view.hot:
        shown = table("hits/s", "over", "domain", "hot key", "rule", right=("hits/s", "over"))
        for hot in view.hot[:room]:
            entries = ",".join(f"{one.key}={one.value}" for one in hot.descriptor.entries)
            shown.add_row(
                _rate(hot.hits_per_second),
                f"{hot.over_limit_share:.0%}",
                plain(hot.domain, _DESCRIPTOR_CHARACTERS),
                plain(entries, _DESCRIPTOR_CHARACTERS),
                plain(hot.rule, _DESCRIPTOR_CHARACTERS) or "-",
            )
        parts += [Text(), shown]
    elif not view.trouble:
        parts += [Text(), Text("nobody asks")]
    if live:
        parts += [Text(), Text("q ends", style="dim")]
    return Group(*parts)


def _summary(activity: Activity) -> list[RenderableType]:
    undecided = ""
    if activity.undecided_per_second:
        undecided = f", {_rate(activity.undecided_per_second)}/s without Redis"
    lines: list[RenderableType] = [
        Text(
            f"{_rate(activity.requests_per_second)} requests/s, "
            f"{activity.over_limit_share:.1%} over limit{undecided}"
        ),
        Text(f"answered in p50 {_time(activity.p50_seconds)}, p99 {_time(activity.p99_seconds)}"),
    ]
    for name, redis in activity.redis.items():
        failures = ""
        if redis.failures_per_second:
            failures = f", {_rate(redis.failures_per_second)} failures/s"
        lines.append(
            Text(
                f"Redis ({plain(name)}) {'up' if redis.up else 'AWAY'}, "
                f"{_rate(redis.calls_per_second)} calls/s, "
                f"answers in {_time(redis.wait_seconds)}{failures}"
            )
        )
    return lines


def _as_object(view: View) -> dict[str, Any]:
    return {
        "activity": dataclasses.asdict(view.activity) if view.activity is not None else None,
        "hot_keys": [
            {
                "domain": hot.domain,
                "descriptor": {
                    "entries": [
                        {"key": one.key, "value": one.value} for one in hot.descriptor.entries
                    ]
                },
                "rule": hot.rule,
                "hits_per_second": hot.hits_per_second,
                "over_limit_share": hot.over_limit_share,
            }
            for hot in view.hot
        ],
        "trouble": view.trouble,
    }


def _rate(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 or number == 0 else f"{number:.2g}"


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else span(seconds)
