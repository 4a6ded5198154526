"""grpc-go's interoperability client against the test service on fastlane."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from tests import golang
from tests.fastlane.processes import interop_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not golang.has_go(), reason="Go builds the client: apt install golang-go"),
]

CLIENT: Final = "google.golang.org/grpc/interop/client@v1.85.0"
REPORTING: Final = '{"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}'
CASES: Final = [
    ("empty_unary",),
    ("large_unary",),
    ("client_streaming",),
    ("server_streaming",),
    ("ping_pong",),
    ("empty_stream",),
    ("timeout_on_sleeping_server",),
    ("cancel_after_begin",),
    ("cancel_after_first_response",),
    ("custom_metadata",),
    ("status_code_and_message",),
    ("special_status_message",),
    ("unimplemented_method",),
    ("unimplemented_service",),
    ("pick_first_unary",),
    ("rpc_soak",),
    ("channel_soak",),
    ("orca_per_rpc", f"-service_config_json={REPORTING}"),
    ("orca_oob", f"-service_config_json={REPORTING}"),
]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the client and return the program."""
    return golang.install(CLIENT, tmp_path_factory.mktemp("interop"))


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Run the server for all cases."""
    with interop_server() as number:
        yield number


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_grpc_go_agrees(client: Path, port: int, case: tuple[str, ...]) -> None:
    name, *extras = case
    done = subprocess.run(
        [client, "-server_host=127.0.0.1", f"-server_port={port}", f"-test_case={name}", *extras],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
