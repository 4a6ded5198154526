"""What all connections of one server share."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from fastlane.crew import Crew
from fastlane.door import Door
from fastlane.grpc.deadlines import Deadlines
from fastlane.grpc.held import Held
from fastlane.grpc.stalls import Stalls
from fastlane.turns import Turns

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from fastlane.grpc.batches import Batches
    from fastlane.grpc.call import Call
    from fastlane.grpc.link import Link
    from fastlane.grpc.options import Options
    from fastlane.grpc.plan import Start
    from fastlane.grpc.routes import Route, Router


# No limit, as an integer: three looks a call at a float's infinity would take 0.03 us more.
_ENDLESS: Final = sys.maxsize
# Methods of one server; beyond it the starter is only made anew.
_ROUTES = 4_096


class Engine:
    """The shared parts, wired once by the server."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        options: Options,
        router: Router,
        interceptors: Sequence[Any],
        compression: bytes | None,
        max_calls: int | None,
        thread_pool: Executor | None,
        batches: Batches,
        starter: Callable[[Route | None], Start],
        on_error: Callable[[Call, BaseException], None],
    ) -> None:
        self.loop = loop
        self.options = options
        self.router = router
        self.interceptors = tuple(interceptors)
        self.compression = compression
        self.max_receive = _ENDLESS if options.max_receive is None else options.max_receive
        self.max_send = _ENDLESS if options.max_send is None else options.max_send
        self.max_calls = _ENDLESS if max_calls is None else max_calls
        self.thread_pool = thread_pool
        self.batches = batches
        self.starter = lru_cache(maxsize=_ROUTES)(starter)
        """What starts the calls of a route; routes of interceptors do not come here."""
        self.on_error = on_error
        self.crew = Crew(loop)
        self.turns = Turns(loop, self.crew)
        self.door = Door(options.max_connections)
        self.held = Held(options.max_held, "server")
        self.unread = 0
        """Bytes of answers that wait for their peers to read them, over all connections."""
        self.deadlines = Deadlines(loop)
        self.links: set[Link] = set()
        self.stalls = Stalls(loop, self.links, options.arrival_seconds)
        self.stopping = False
        """Whether connections that were still being made come too late."""
        self.calls = 0
        """Calls whose status has not been decided, streams among them."""
        self.streams = 0
        """Those that are streams. They have a limit of their own, as large as that of the others:
        watchers that wait for hours must not lock callers out, nor callers watchers."""

    def is_over_limit(self, *, of_streams: bool) -> bool:
        """Whether there are more calls of this sort than may be."""
        return (self.streams if of_streams else self.calls - self.streams) > self.max_calls
