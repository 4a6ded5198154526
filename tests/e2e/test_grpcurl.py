"""An operator with grpcurl: what it lists, describes and calls by reflection alone."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from tests import golang
from tests.integration.ratelimit_service.limiter import running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers import Server

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not golang.has_go(), reason="Go builds grpcurl: apt install golang-go"),
]

GRPCURL: Final = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3"
SERVICE: Final = "envoy.service.ratelimit.v3.RateLimitService"


@pytest.fixture(scope="module")
def grpcurl(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Build the program and return what runs it."""
    program = golang.install(GRPCURL, tmp_path_factory.mktemp("grpcurl"))

    def run(*arguments: str) -> str:
        command = [str(program), "-plaintext", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("server", ["fastlane", "grpcio"])
async def test_list_describe_and_call(
    grpcurl: Callable[..., str], server: str, tmp_path: Path, valkey: Server
) -> None:
    with running(tmp_path, valkey.url, SLUICE_GRPC_SERVER=server) as limiter:
        await limiter.ready()
        where = f"127.0.0.1:{limiter.grpc_port}"
        assert SERVICE in grpcurl(where, "list").splitlines()
        assert "rpc ShouldRateLimit" in grpcurl(where, "describe", SERVICE)
        asked = {
            "domain": "shop",
            "descriptors": [{"entries": [{"key": "client_id", "value": "alice"}]}],
        }
        answer = json.loads(grpcurl("-d", json.dumps(asked), where, f"{SERVICE}/ShouldRateLimit"))
        (status,) = answer["statuses"]
        assert (status["code"], status["limit_remaining"]) == ("OK", 4)
        health = grpcurl(where, "grpc.health.v1.Health/Check")
        assert "SERVING" in health
        await limiter.channel.close()
