"""The servicer's context: what `grpc.aio.ServicerContext` promises, over a call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from grpc import aio

from fastlane.grpc import messages
from fastlane.grpc.metadata import to_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from fastlane.grpc.call import Call
    from fastlane.grpc.metadata import Metadata
    from fastlane.grpc.routes import Route

    MetadataLike = aio.Metadata | Sequence[tuple[str, str | bytes]]


class Context(aio.ServicerContext[Any, Any]):
    """What a handler is given beside its request."""

    __slots__ = ("_call", "_code", "_details", "_initial", "_plain_next", "_route", "_trailing")

    def __init__(self, call: Call, route: Route) -> None:
        self._call = call
        self._route = route
        self._code: grpc.StatusCode | int | None = None
        self._details = ""
        self._trailing: MetadataLike = ()
        self._plain_next = False
        call.context = self

    # -- streams -----------------------------------------------------------------------------

    async def read(self) -> Any:
        """Return the next request, or grpc.aio.EOF after the last."""
        message = await self._call.read()
        return aio.EOF if message is None else self._route.parse(message)

    async def write(self, message: Any) -> None:
        """Send a response; waits while the peer is slower."""
        self._check_running()
        serialize = self._route.serialize
        raw: Any = message if serialize is None else serialize(message)
        plain, self._plain_next = self._plain_next, False
        await self._call.write(raw, plain=plain)

    async def send_initial_metadata(self, initial_metadata: MetadataLike) -> None:
        """Send the response's first metadata, once and before any message."""
        self._check_running()
        if self._call.headers_sent:
            raise ValueError("Initial metadata was sent: send it once, before any message")
        self._call.send_headers(initial_metadata)

    # -- status ------------------------------------------------------------------------------

    async def abort(
        self,
        code: grpc.StatusCode,
        details: str = "",
        trailing_metadata: MetadataLike = (),
    ) -> NoReturn:
        """End the call with a status that is not OK; raises, so that the handler ends too."""
        self._check_running()
        if code == grpc.StatusCode.OK:
            code, details = grpc.StatusCode.UNKNOWN, "abort() called with StatusCode.OK"
        self._code = code
        self._details = details
        self._call.finish(code, details, trailing_metadata or self._trailing)
        raise aio.AbortError("Locally aborted.")

    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        """End the call with a status object, as of grpc_status.rpc_status.to_status."""
        await self.abort(status.code, status.details, status.trailing_metadata)

    def set_trailing_metadata(self, trailing_metadata: MetadataLike) -> None:
        """Set the metadata that goes with the status."""
        to_fields(trailing_metadata)
        self._trailing = trailing_metadata

    def set_code(self, code: grpc.StatusCode) -> None:
        """Set the status code for when the handler returns."""
        self._code = code

    def set_details(self, details: str) -> None:
        """Set the status message for when the handler returns."""
        self._details = details

    def code(self) -> Any:
        """Return the status code set so far; 0 when none was."""
        return 0 if self._code is None else self._code

    def details(self) -> str:
        """Return the status message set so far."""
        return self._details

    def trailing_metadata(self) -> Any:
        """Return the metadata set for the status."""
        return self._trailing

    @property
    def final_code(self) -> grpc.StatusCode:
        """The status when the handler returns now."""
        if self._code is None:
            return grpc.StatusCode.OK
        if isinstance(self._code, int):
            return next(
                (code for code in grpc.StatusCode if code.value[0] == self._code),
                grpc.StatusCode.UNKNOWN,
            )
        return self._code

    @property
    def is_plain(self) -> bool:
        """Whether nothing was set: the response is message and OK."""
        return (
            self._code is None and not self._details and not self._trailing and not self._plain_next
        )

    # -- compression -------------------------------------------------------------------------

    def set_compression(self, compression: grpc.Compression) -> None:
        """Compress responses, if the caller accepts it; before any message."""
        if self._call.headers_sent:
            raise RuntimeError("Compression is set before the first message is sent")
        name = messages.encoding_name(compression)
        self._call.encoding = name if name in self._call.plan.accepts else None

    def disable_next_message_compression(self) -> None:
        """Send the next message as it is."""
        self._plain_next = True

    @property
    def sends_plain(self) -> bool:
        """Whether the next message goes uncompressed."""
        return self._plain_next

    # -- the caller --------------------------------------------------------------------------

    def invocation_metadata(self) -> Metadata:  # type: ignore[override]  # pairs, as grpc.aio
        """Return the caller's metadata: (key, value) pairs, value bytes if the key ends in -bin."""
        return self._call.plan.metadata

    def peer(self) -> str:
        """Return the caller's address, as ipv4:127.0.0.1:50051."""
        return self._call.link.peer

    def peer_identities(self) -> Iterable[bytes] | None:
        """Return who the caller's certificate names, or None without one."""
        identity = self._call.link.identity
        return identity.names if identity is not None else None

    def peer_identity_key(self) -> str | None:
        """Return which property of `auth_context` identifies the caller."""
        identity = self._call.link.identity
        return identity.key if identity is not None else None

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """Return what is known of the transport's security."""
        return self._call.link.auth_context

    def time_remaining(self) -> float:
        """Return the seconds until the deadline, or None without one."""
        deadline = self._call.deadline
        if deadline is None:
            return None  # type: ignore[return-value]  # as grpc.aio does
        return max(0.0, deadline - self._call.engine.loop.time())

    # -- the end -----------------------------------------------------------------------------

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Have `callback(context)` called when the call is over."""
        call = self._call
        if call.callbacks is None:
            call.callbacks = []
            call.ties = True
        call.callbacks.append(lambda: callback(self))

    def cancel(self) -> None:
        """Cancel the call without a status, as a handler in a thread may."""
        self._call.cancel()

    def cancelled(self) -> bool:
        """Whether the caller, or the loss of its connection, cancelled the call."""
        return self._call.cancelled

    def done(self) -> bool:
        """Whether the call is over."""
        return self._call.over

    def _check_running(self) -> None:
        if self._call.cancelled:
            raise asyncio.CancelledError
        if self._call.over:
            raise asyncio.InvalidStateError("RPC already finished.")
