"""An HTTP/2 client over a real socket, for tests of the HTTP shell."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events

from tests.fastlane.http_client import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fastlane.http_client import Client, Host

Fields = list[tuple[bytes, bytes]]


def request(path: bytes = b"/", method: bytes = b"GET", *fields: tuple[bytes, bytes]) -> Fields:
    """Return the fields of a request."""
    pseudo = [(b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"a")]
    return [*pseudo, *fields]


class Peer:
    """A client that says what it is told, right or wrong, and notes what it hears."""

    def __init__(self, client: Client) -> None:
        self.client = client
        config = h2.config.H2Configuration(
            header_encoding=False,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.state = h2.connection.H2Connection(config)
        self.state.initiate_connection()
        self.events: list[h2.events.Event] = []
        self.acknowledges = True

    @classmethod
    async def connect(cls, host: Host) -> Peer:
        """Open a connection and greet."""
        peer = cls(await host.connect())
        peer.flush()
        return peer

    def flush(self) -> None:
        """Send what there is."""
        self.client.send(self.state.data_to_send())

    def ask(self, fields: Fields, body: bytes | None = None, *, end: bool = True) -> int:
        """Send a request; returns its stream."""
        stream = self.state.get_next_available_stream_id()
        self.state.send_headers(stream, fields, end_stream=end and body is None)
        if body is not None:
            self.state.send_data(stream, body, end_stream=end)
        self.flush()
        return stream

    async def until(self, found: Callable[[h2.events.Event], bool]) -> h2.events.Event:
        """Return the first event that fits, reading on until there is one."""
        while True:
            for event in self.events:
                if found(event):
                    return event
            data = await asyncio.wait_for(self.client.reader.read(65_536), PATIENCE)
            if not data:
                raise AssertionError(f"closed after {self.events}")
            for event in self.state.receive_data(data):
                self.events.append(event)
                if isinstance(event, h2.events.DataReceived) and self.acknowledges:
                    size = event.flow_controlled_length or 0
                    self.state.acknowledge_received_data(size, event.stream_id)
            self.flush()

    async def answer(self, stream: int) -> tuple[dict[bytes, bytes], bytes]:
        """Return the fields and body of a response."""
        await self.until(
            lambda event: isinstance(event, h2.events.StreamEnded) and event.stream_id == stream
        )
        head = next(e for e in self.of(stream) if isinstance(e, h2.events.ResponseReceived))
        body = b"".join(e.data for e in self.of(stream) if isinstance(e, h2.events.DataReceived))
        return dict(head.headers), body

    def of(self, stream: int) -> list[h2.events.Event]:
        """Return what was heard of a stream."""
        return [event for event in self.events if getattr(event, "stream_id", None) == stream]

    async def reset(self, stream: int) -> int:
        """Return the code with which a stream is reset."""
        event = await self.until(
            lambda event: isinstance(event, h2.events.StreamReset) and event.stream_id == stream
        )
        assert isinstance(event, h2.events.StreamReset)
        return int(event.error_code)
