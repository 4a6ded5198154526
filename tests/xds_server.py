"""A small xDS management server for tests: real gRPC, one stream or several, and it remembers.

async with XdsServer() as server:
    server.serve("1", config("shop", ...))        # what a new stream, and every open one, is sent
    await wait_until(lambda: server.acks)         # the requests that accepted a response
    await server.kill(); await server.start()     # away, and back on the same port
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Self

import grpc
import grpc.aio
from google.protobuf import any_pb2

from ratelimit_service.transport.rule_resource import TYPE_URL
from tests.servers import free_port
from wire.envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from wire.ratelimit.config.ratelimit.v3 import rls_conf_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from google.protobuf.message import Message


def config(
    domain: str, *descriptors: dict[str, Any], name: str = ""
) -> rls_conf_pb2.RateLimitConfig:
    """Return a resource; descriptors are dicts of the message's fields."""
    return rls_conf_pb2.RateLimitConfig(
        name=name or domain,
        domain=domain,
        descriptors=[rls_conf_pb2.RateLimitDescriptor(**fields) for fields in descriptors],
    )


def per_hour(key: str, requests: int, value: str = "") -> dict[str, Any]:
    """Return a descriptor that allows so many requests an hour."""
    return {
        "key": key,
        "value": value,
        "rate_limit": {"unit": "HOUR", "requests_per_unit": requests},
    }


def packed(resource: Message) -> any_pb2.Any:
    """Return the resource as xDS carries it."""
    wrapped = any_pb2.Any()
    wrapped.Pack(resource)
    return wrapped


class XdsServer(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):
    """The server; `streams` counts the streams opened, `headers` are those of the last."""

    def __init__(self, credentials: grpc.ServerCredentials | None = None) -> None:
        self.port = free_port()
        self.requests: list[discovery_pb2.DiscoveryRequest] = []
        self.streams = 0
        self.headers: dict[str, Any] = {}
        self.refuse_with: grpc.StatusCode | None = None
        self._credentials = credentials
        self._server: grpc.aio.Server | None = None
        self._state: discovery_pb2.DiscoveryResponse | None = None
        self._nonce = 0
        self._open: set[asyncio.Queue[discovery_pb2.DiscoveryResponse]] = set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def acks(self) -> list[str]:
        """The versions accepted, in order."""
        return [
            request.version_info
            for request in self.requests
            if request.response_nonce and not request.HasField("error_detail")
        ]

    @property
    def nacks(self) -> list[discovery_pb2.DiscoveryRequest]:
        return [request for request in self.requests if request.HasField("error_detail")]

    async def start(self) -> None:
        """Listen, on the same port each time."""
        # A server that was there a moment ago may have left connections in TIME_WAIT.
        options = [("grpc.so_reuseport", 1), ("grpc.max_send_message_length", -1)]
        self._server = grpc.aio.server(options=options)
        ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(self, self._server)
        if self._credentials is None:
            self._server.add_insecure_port(self.address)
        else:
            self._server.add_secure_port(self.address, self._credentials)
        await self._server.start()

    async def kill(self) -> None:
        """End every stream and stop listening."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None
            self._open.clear()

    def serve(
        self, version: str, *resources: Message | any_pb2.Any, type_url: str = TYPE_URL
    ) -> None:
        """Make this the state of the world."""
        self._nonce += 1
        self._state = discovery_pb2.DiscoveryResponse(
            version_info=version,
            type_url=type_url,
            nonce=f"nonce {self._nonce}",
            resources=[r if isinstance(r, any_pb2.Any) else packed(r) for r in resources],
        )
        for stream in self._open:
            stream.put_nowait(self._state)

    async def StreamAggregatedResources(  # noqa: N802  the RPC's name
        self,
        request_iterator: AsyncIterator[discovery_pb2.DiscoveryRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[discovery_pb2.DiscoveryResponse]:
        self.streams += 1
        self.headers = dict(context.invocation_metadata() or ())
        if self.refuse_with is not None:
            await context.abort(self.refuse_with, "not you")
        queue: asyncio.Queue[discovery_pb2.DiscoveryResponse] = asyncio.Queue()
        reading = asyncio.create_task(self._read(request_iterator, queue))
        try:
            while True:
                yield await queue.get()
        finally:
            self._open.discard(queue)
            reading.cancel()

    async def DeltaAggregatedResources(  # noqa: N802  the RPC's name
        self,
        request_iterator: AsyncIterator[discovery_pb2.DeltaDiscoveryRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[discovery_pb2.DeltaDiscoveryResponse]:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "state of the world only")
        yield discovery_pb2.DeltaDiscoveryResponse()

    async def _read(
        self,
        requests: AsyncIterator[discovery_pb2.DiscoveryRequest],
        queue: asyncio.Queue[discovery_pb2.DiscoveryResponse],
    ) -> None:
        with contextlib.suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
            async for request in requests:
                first = not request.response_nonce
                self.requests.append(request)
                if first:
                    self._open.add(queue)
                    # As servers do: what the client has already is not sent again.
                    if self._state and self._state.version_info != request.version_info:
                        queue.put_nowait(self._state)
