"""TLS and mutual TLS, with ALPN."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc import aio

import fastlane
from tests.fastlane import certificates
from tests.fastlane.calls import PATH, add, echo
from tests.waiting import wait_until

# -- TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> certificates.Certificates:
    """Make certificates once."""
    if not certificates.has_openssl():
        pytest.skip("openssl makes the certificates: apt install openssl")
    return certificates.make(tmp_path_factory.mktemp("certificates"))


async def secure_call(port: int, credentials: grpc.ChannelCredentials) -> bytes:
    """Call PATH over TLS."""
    channel: Any
    async with aio.secure_channel(f"localhost:{port}", credentials) as channel:
        return bytes(await channel.unary_unary(PATH)(b"x", timeout=10))


async def tell_identity(_request: bytes, context: Any) -> bytes:
    """Answer with who the caller is."""
    names = context.peer_identities()
    return repr((context.peer_identity_key(), names)).encode()


async def test_tls_serves_who_trusts_it(
    server: fastlane.Server, made: certificates.Certificates
) -> None:
    add(server, grpc.unary_unary_rpc_method_handler(tell_identity))
    port = server.add_secure_port("localhost:0", fastlane.ssl_server_credentials([made.server]))
    await server.start()
    credentials = grpc.ssl_channel_credentials(made.authority)
    assert await secure_call(port, credentials) == b"(None, None)"


async def test_mutual_tls_knows_its_caller_and_refuses_strangers(
    server: fastlane.Server, made: certificates.Certificates
) -> None:
    add(server, grpc.unary_unary_rpc_method_handler(tell_identity))
    credentials = fastlane.ssl_server_credentials(
        [made.server], made.authority, require_client_auth=True
    )
    port = server.add_secure_port("localhost:0", credentials)
    await server.start()
    known = grpc.ssl_channel_credentials(made.authority, *made.client)
    assert await secure_call(port, known) == b"('x509_subject_alternative_name', [b'someone'])"
    with pytest.raises(aio.AioRpcError) as caught:
        await secure_call(port, grpc.ssl_channel_credentials(made.authority))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_credentials_that_cannot_be_read_say_what_to_use() -> None:
    with pytest.raises(TypeError, match=r"fastlane\.ssl_server_credentials"):
        fastlane.server().add_secure_port("127.0.0.1:0", object())


async def test_one_too_many_is_refused_over_tls_too(made: certificates.Certificates) -> None:
    server = fastlane.server(options=[("fastlane.max_connections", 1)])
    add(server, grpc.unary_unary_rpc_method_handler(echo))
    port = server.add_secure_port("localhost:0", fastlane.ssl_server_credentials([made.server]))
    await server.start()
    credentials = grpc.ssl_channel_credentials(made.authority)
    channel: Any
    async with aio.secure_channel(f"localhost:{port}", credentials) as channel:
        assert await channel.unary_unary(PATH)(b"x", timeout=10) == b"x"
        with pytest.raises(aio.AioRpcError) as caught:
            await secure_call(port, credentials)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert await channel.unary_unary(PATH)(b"y", timeout=10) == b"y", "who is in stays in"
    await server.stop(None)


async def test_a_handshake_that_does_not_come_makes_room_again(
    made: certificates.Certificates,
) -> None:
    options = [("fastlane.max_connections", 1), ("grpc.keepalive_timeout_ms", 200)]
    server = fastlane.server(options=options)
    add(server, grpc.unary_unary_rpc_method_handler(echo))
    port = server.add_secure_port("127.0.0.1:0", fastlane.ssl_server_credentials([made.server]))
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await asyncio.wait_for(reader.read(), 10) == b"", "nothing was said, and it is closed"
    writer.close()
    door = server._engine.door  # type: ignore[union-attr]
    await wait_until(lambda: not door.inside, description="the place is free")
    credentials = grpc.ssl_channel_credentials(made.authority)
    assert await secure_call(port, credentials) == b"x"
    await server.stop(None)
