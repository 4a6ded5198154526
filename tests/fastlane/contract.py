"""What the contract tests share: short names for handlers, and two helpers."""

from __future__ import annotations

from typing import Any, Final

import grpc
import pytest
from grpc import aio

PATH: Final = "/test.Service/Method"
MiB: Final = 1024 * 1024

unary = grpc.unary_unary_rpc_method_handler
to_stream = grpc.unary_stream_rpc_method_handler
from_stream = grpc.stream_unary_rpc_method_handler
both = grpc.stream_stream_rpc_method_handler


async def echo(request: bytes, _context: Any) -> bytes:
    """Answer with the question."""
    return request


async def failed(call: Any) -> aio.AioRpcError:
    """Return the error that a call ends with."""
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return caught.value
