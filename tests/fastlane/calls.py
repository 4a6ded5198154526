"""One untyped method on a fastlane server: serving it, and calling it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from grpc import aio

if TYPE_CHECKING:
    import grpc

    import fastlane

PATH = "/test.Service/Method"


def add(server: fastlane.Server, handler: Any) -> None:
    """Serve PATH with a grpc handler."""
    server.add_registered_method_handlers("test.Service", {"Method": handler})


def channel_to(port: int) -> Any:
    """Return a channel of untyped messages."""
    return aio.insecure_channel(f"127.0.0.1:{port}")


async def call(target: str, message: bytes = b"x", **options: Any) -> bytes:
    """Call PATH once."""
    channel: Any
    async with aio.insecure_channel(target) as channel:
        return bytes(await channel.unary_unary(PATH)(message, timeout=10, **options))


async def echo(request: bytes, _context: Any) -> bytes:
    """Answer with the question."""
    return request


async def code_of(target: str, message: bytes = b"x") -> tuple[grpc.StatusCode, str]:
    """Call PATH once and return how it failed."""
    with pytest.raises(aio.AioRpcError) as caught:
        await call(target, message)
    return caught.value.code(), caught.value.details() or ""
