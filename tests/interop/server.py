"""`python -m tests.interop.server --port N` hosts the interoperability services on fastlane."""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_health.v1._async import HealthServicer  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped]

import fastlane
from tests.interop.service import LoadReports, LoadReportService, TestService
from tests.interop.stubs import orca_grpc, testing_grpc

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc

_GRACE_SECONDS = 2.0


async def make_server(compression: grpc.Compression | None = None) -> fastlane.Server:
    """Return a server with the test service, load reports, health and reflection."""
    server = fastlane.server(compression=compression)
    reports = LoadReports()
    testing_grpc.add_TestServiceServicer_to_server(TestService(reports), server)
    orca_grpc.add_OpenRcaServiceServicer_to_server(LoadReportService(reports), server)
    health = HealthServicer()
    await health.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    names = ("grpc.testing.TestService", "grpc.health.v1.Health", reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    return server


async def serve(arguments: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT."""
    server = await make_server()
    address = f"{arguments.host}:{arguments.port}"
    if arguments.tls_cert:
        port = server.add_secure_port(address, _credentials(arguments))
    else:
        port = server.add_insecure_port(address)
    await server.start()
    print(f"listening on {arguments.host}:{port}", flush=True)
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, done.set)
    await done.wait()
    await server.stop(_GRACE_SECONDS)


def _credentials(arguments: argparse.Namespace) -> fastlane.ServerCredentials:
    pair = (Path(arguments.tls_key).read_bytes(), Path(arguments.tls_cert).read_bytes())
    return fastlane.ssl_server_credentials([pair])


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=10_000)
    parser.add_argument("--tls-cert", default="")
    parser.add_argument("--tls-key", default="")
    uvloop.run(serve(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
