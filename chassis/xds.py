"""An xDS client: follows one type of resource of a management server, over its aggregated stream.

State of the world: each response holds all there is. Each is accepted (ACK) or refused with the
reason (NACK), and a server that is away is tried again, for ever. What was last accepted is told to
the server when it is back, so that it need not send it again.

Facts: envoy/service/discovery/v3/{ads,discovery}.proto.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import grpc
import grpc.aio
from google.protobuf import struct_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, status_pb2  # type: ignore[import-untyped]

from chassis.errors import OperatorError
from wire.envoy.config.core.v3 import base_pb2
from wire.envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import structlog
    from google.protobuf import any_pb2

    from chassis.xds_settings import XdsSettings

    Stream: TypeAlias = grpc.aio.StreamStreamCall[
        discovery_pb2.DiscoveryRequest, discovery_pb2.DiscoveryResponse
    ]

# A name that resolves slowly and a handshake across the world; beyond it nobody is there.
_CONNECT_SECONDS: Final = 30.0
_KEEPALIVE_TIMEOUT_MS: Final = 20_000  # gRPC's default
# A stream that lived this long was healthy, even if it had nothing to say.
_PROVEN_SECONDS: Final = 60.0
# What a server may put into our logs and /readyz.
_MAX_REASON: Final = 500
# What we put into its logs; gRPC's own limit for a message is 4 MiB.
_MAX_REFUSAL: Final = 64 * 1024
_WRAPPER: Final = "type.googleapis.com/envoy.service.discovery.v3.Resource"


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource as it came: the type URL and the serialised message."""

    type_url: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Update:
    """Everything there is, at the server's `version`."""

    version: str
    resources: tuple[Resource, ...]


class Consumer(Protocol):
    """Who takes what the server sends."""

    async def take(self, update: Update) -> str:
        """Put all of `update` in force and return "", or change nothing and return why."""
        ...


class XdsClient:
    """Follows the resources of `type_url` while `run` runs.

    `connected`: a stream stands. `trouble`: why not, or "". `streams`: how many have stood.
    """

    def __init__(
        self,
        settings: XdsSettings,
        *,
        type_url: str,
        user_agent: str,
        consumer: Consumer,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self.connected = False
        self.trouble = ""
        self.streams = 0
        self.version = ""
        self._settings = settings
        self._type_url = type_url
        self._consumer = consumer
        self._log = log
        self._again = asyncio.Event()
        self._connecting = settings.connect_backoff()
        self._streaming = settings.stream_backoff()
        self._node = base_pb2.Node(id=settings.node_id, user_agent_name=user_agent)
        if settings.node_metadata:
            metadata = struct_pb2.Struct()
            metadata.update(settings.node_metadata)
            self._node.metadata.CopyFrom(metadata)

    def renew(self) -> None:
        """Open a new stream, at once."""
        self._again.set()

    async def run(self) -> None:
        """Follow the server until cancelled."""
        while True:
            attempt = asyncio.create_task(self._attempt(), name="xds stream")
            renewal = asyncio.create_task(self._again.wait(), name="xds renewal")
            try:
                await asyncio.wait({attempt, renewal}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self.connected = False
                for task in (attempt, renewal):
                    task.cancel()
                await asyncio.wait({attempt, renewal})
            if not attempt.cancelled():
                await self._pause(attempt.result())
            self._again.clear()

    async def _attempt(self) -> float:
        """Hold one stream as long as it lasts; return how long to wait before the next."""
        loop = asyncio.get_running_loop()
        try:
            credentials = await asyncio.to_thread(credentials_of, self._settings)
        except OperatorError as error:
            return self._broken(str(error), self._connecting.delay_seconds())
        async with self._channel(credentials) as channel:
            reached = await _reached(channel)
            stream = self._open(channel)
            started = loop.time()
            code, why = await self._follow(stream, reached=reached)
        if not reached:
            wait = self._connecting.delay_seconds()
            return self._broken(f"cannot be reached: {why}", wait)
        self._connecting.reset()
        if loop.time() - started > _PROVEN_SECONDS:
            self._streaming.reset()
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in why:
            why += "; raise XDS_CLIENT_MAX_MSG_SIZE_IN_BYTES"
        name = "" if code is grpc.StatusCode.OK else f" with {code.name}"
        why = f"{name}: {why}" if why else name
        return self._broken(f"ended the stream{why}", self._streaming.delay_seconds())

    def _broken(self, why: str, wait: float) -> float:
        self.connected = False
        self.trouble = f"the xDS server {self._settings.target} {why[:_MAX_REASON]}"
        self._log.warning(self.trouble, retry_in_seconds=round(wait, 1))
        return wait

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._again.wait()

    def _channel(self, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
        settings = self._settings
        options: list[tuple[str, str | int]] = [
            ("grpc.max_receive_message_length", settings.message_limit),
            ("grpc.keepalive_time_ms", int(settings.keepalive_seconds * 1000)),
            ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
            ("grpc.http2.max_pings_without_data", 0),  # else a quiet stream is pinged only twice
            # Channels share connections, and the wait after one that failed; waits are ours.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
            ("grpc.service_config_disable_resolution", 1),
        ]
        if credentials is None:
            return grpc.aio.insecure_channel(settings.target, options)
        if settings.server_name:
            options.append(("grpc.ssl_target_name_override", settings.server_name))
        return grpc.aio.secure_channel(settings.target, credentials, options)

    def _open(self, channel: grpc.aio.Channel) -> Stream:
        # The generated stubs type a channel's kind of call loosely.
        stub = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel)
        headers = [(name.lower(), value) for name, value in self._settings.headers.items()]
        stream: Stream = stub.StreamAggregatedResources(metadata=headers)
        return stream

    async def _follow(self, stream: Stream, *, reached: bool) -> tuple[grpc.StatusCode, str]:
        """Ask, and take what comes, until the stream ends; return how it ended."""
        try:
            await stream.write(self._request())
            if reached:
                self.connected, self.trouble = True, ""
                self.streams += 1
                self._log.info("xDS stream stands", server=self._settings.target)
            while True:
                response = await stream.read()
                if not isinstance(response, discovery_pb2.DiscoveryResponse):
                    break  # the end
                self._streaming.reset()
                await stream.write(await self._answer(response))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # a write after the end is an invalid state; either way the call knows why
        finally:
            stream.cancel()
        return await stream.code(), await stream.details() or ""

    async def _answer(
        self, response: discovery_pb2.DiscoveryResponse
    ) -> discovery_pb2.DiscoveryRequest:
        """Take a response or refuse it; return what to tell the server."""
        if response.type_url == self._type_url:
            resources = tuple(_unwrapped(resource) for resource in response.resources)
            refusal = await self._consumer.take(Update(response.version_info, resources))
        else:
            refusal = f"asked for {self._type_url}, and got {response.type_url[:_MAX_REASON]}"
        if refusal:
            self._log.error(
                "xDS update refused", version=response.version_info, nonce=response.nonce
            )
            return self._request(response.nonce, refusal)
        self.version = response.version_info
        return self._request(response.nonce)

    def _request(self, nonce: str = "", refusal: str = "") -> discovery_pb2.DiscoveryRequest:
        request = discovery_pb2.DiscoveryRequest(
            version_info=self.version,
            node=self._node,
            type_url=self._type_url,
            response_nonce=nonce,
        )
        if refusal:
            status = status_pb2.Status(
                code=code_pb2.INVALID_ARGUMENT, message=refusal[:_MAX_REFUSAL]
            )
            request.error_detail.CopyFrom(status)
        return request


def credentials_of(settings: XdsSettings) -> grpc.ChannelCredentials | None:
    """Return what to connect with, None without TLS; OperatorError where files cannot be used."""
    if not settings.tls:
        return None
    certificate, key = settings.client_certificate, settings.client_key
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # gRPC takes any bytes, and fails later with words that name no file.
    if settings.authorities is not None:
        with _mendable("CONFIG_GRPC_XDS_SERVER_TLS_CACERT", settings.authorities):
            context.load_verify_locations(settings.authorities)
    if certificate is not None and key is not None:
        with _mendable("CONFIG_GRPC_XDS_CLIENT_TLS_CERT and _KEY", certificate):
            context.load_cert_chain(certificate, key, password=lambda: "")
    return grpc.ssl_channel_credentials(
        root_certificates=settings.authorities.read_bytes() if settings.authorities else None,
        private_key=key.read_bytes() if key else None,
        certificate_chain=certificate.read_bytes() if certificate else None,
    )


@contextlib.contextmanager
def _mendable(variable: str, file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # ssl.SSLError is one
        why = getattr(error, "reason", None) or error.strerror or str(error)
        raise OperatorError(
            f"{variable}: {file} cannot be used ({why}); give PEM files that belong together"
        ) from error


async def _reached(channel: grpc.aio.Channel) -> bool:
    """Connect; return whether it worked."""
    state = channel.get_state(try_to_connect=True)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CONNECT_SECONDS):
            while state not in {
                grpc.ChannelConnectivity.READY,
                grpc.ChannelConnectivity.TRANSIENT_FAILURE,
            }:
                await channel.wait_for_state_change(state)
                state = channel.get_state(try_to_connect=True)
    return state is grpc.ChannelConnectivity.READY


def _unwrapped(resource: any_pb2.Any) -> Resource:
    """Return a resource without the envelope that a server may put it in."""
    if resource.type_url == _WRAPPER:
        with contextlib.suppress(DecodeError):
            resource = discovery_pb2.Resource.FromString(resource.value).resource
    return Resource(resource.type_url, resource.value)
