"""A real gRPC server on Unix sockets: whose file they are, and when it goes."""

from __future__ import annotations

import socket
import stat
from typing import TYPE_CHECKING

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from chassis.health import Health
from chassis.listen import Listen, ListenError
from chassis.server import GrpcBackend, GrpcLimits, GrpcServer, make_server

if TYPE_CHECKING:
    from pathlib import Path


def bare_server(backend: GrpcBackend = GrpcBackend.FASTLANE) -> GrpcServer:
    return make_server([], health=Health(checks={}), limits=GrpcLimits(backend=backend))


async def test_several_addresses_at_once_one_of_them_a_socket(tmp_path: Path) -> None:
    server = bare_server()
    path = tmp_path / "g.sock"
    port = await server.start(Listen(), Listen(socket_path=str(path)))
    try:
        for target in (f"127.0.0.1:{port}", f"unix:{path}"):
            async with grpc.aio.insecure_channel(target) as channel:
                answer = await health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest()
                )
                assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    finally:
        await server.stop(0)


@pytest.mark.parametrize("backend", GrpcBackend)
async def test_a_socket_has_its_mode_and_goes_with_the_server(
    backend: GrpcBackend, tmp_path: Path
) -> None:
    path = tmp_path / "g.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))  # left behind by one that was killed
    server = bare_server(backend)
    assert await server.start(Listen(socket_path=str(path), socket_mode=0o620)) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o620
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    await server.stop(0)
    assert not path.exists()


@pytest.mark.parametrize("backend", GrpcBackend)
async def test_a_start_that_fails_leaves_no_socket(backend: GrpcBackend, tmp_path: Path) -> None:
    path = tmp_path / "g.sock"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        used = Listen(port=taken.getsockname()[1], variable="GRPC_PORT")
        with pytest.raises(ListenError):
            await bare_server(backend).start(Listen(socket_path=str(path)), used)
    assert not path.exists()
