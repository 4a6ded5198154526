"""A request as its handler sees it, the same from HTTP/1.0, HTTP/1.1 and HTTP/2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastlane.http.body import Body
    from fastlane.http.grammar import Field, Fields
    from fastlane.http.heads import Head


class Informer(Protocol):
    """Who sends interim answers."""

    def inform(self, status: int, headers: Sequence[Field]) -> None:
        """Send one."""


class Request:
    """Method, target, fields and body. Read it, do not write it; `state` is yours."""

    __slots__ = (
        "_informer",
        "authority",
        "body",
        "head",
        "headers",
        "method",
        "path",
        "peer",
        "scheme",
        "state",
        "target",
        "version",
    )

    def __init__(self, head: Head, body: Body, peer: str, informer: Informer) -> None:
        self.head = head
        """All of the below at once; equal requests share it, so it is a key for what they imply."""
        self.version: str = head.version
        """`1.0`, `1.1` or `2`."""
        self.method: bytes = head.method
        self.target: bytes = head.target
        """Byte for byte as received: a path, or a URL in absolute form."""
        self.path: bytes = head.path
        """The target from its first slash on, query included."""
        self.scheme: bytes = head.scheme
        """As the client says, else the connection's: `http` or `https`."""
        self.authority: bytes = head.authority
        """Host and port; what Host and `:authority` agree on."""
        self.headers: Fields = head.headers
        """Fields in order, names in lower case, without those of framing and of the connection."""
        self.body = body
        self.peer = peer
        """`host:port` of the client, or `unix:`."""
        self.state: object = None
        self._informer = informer

    @property
    def length(self) -> int | None:
        """What the client declared the body's length to be."""
        return self.body.length

    def first(self, name: bytes) -> bytes | None:
        """Return the value of the first field called `name` (lower case)."""
        return next((value for key, value in self.headers if key == name), None)

    def all(self, name: bytes) -> list[bytes]:
        """Return the values of the fields called `name` (lower case)."""
        return [value for key, value in self.headers if key == name]

    async def read(self, limit: int = 1024 * 1024) -> bytes:
        """Return the whole body; raises `Refusal` (413) if it is over `limit` bytes."""
        return await self.body.read(limit)

    def inform(self, status: int, headers: Sequence[Field] = ()) -> None:
        """Send an interim answer, such as 103 with `link` fields; HTTP/1.0 clients get none."""
        self._informer.inform(status, headers)

    def __repr__(self) -> str:
        return f"<Request {self.method!r} {self.target!r} HTTP/{self.version}>"
