"""What all connections of a server share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastlane.crew import Crew
from fastlane.door import Door
from fastlane.http.one import HeadMemo
from fastlane.http.request import Request
from fastlane.http.response import Response
from fastlane.http.wording import WordingOne, WordingTwo
from fastlane.turns import Turns

if TYPE_CHECKING:
    import asyncio

    from fastlane.http.limits import Limits
    from fastlane.http.link import Link

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(slots=True)
class Counters:
    """What has happened so far: plain integers, to be read by whoever exports them."""

    connections: int = 0
    requests: int = 0
    refused: int = 0
    """Requests that were no HTTP, or too large or too slow."""


class Engine:
    """The handler, the limits, the crew that runs handlers, and the connections."""

    def __init__(self, handler: Handler, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        self.handler = handler
        self.limits = limits
        self.loop = loop
        self.crew = Crew(loop)
        self.turns = Turns(loop, self.crew)
        self.door = Door(limits.connections)
        self.links: set[Link] = set()
        self.counters = Counters()
        self.one = WordingOne()
        self.two = WordingTwo()
        self.heads = {scheme: HeadMemo(limits, scheme) for scheme in (b"http", b"https")}
        self.stopping = False
