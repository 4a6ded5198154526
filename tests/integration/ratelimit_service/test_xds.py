"""The service as Envoy Gateway starts it, its rules from a management server.

The environment is what Envoy Gateway gives its rate-limit container, value for value, except for
addresses, ports and folders.
"""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf import any_pb2

from tests.fastlane import certificates
from tests.integration.ratelimit_service.limiter import Limiter, running
from tests.servers import needed_program
from tests.waiting import wait_until
from tests.xds_server import XdsServer, config, per_hour
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.servers import Server

OK, OVER = RateLimitResponse.OK, RateLimitResponse.OVER_LIMIT
MIB = 1024 * 1024

SHOP = config(
    "first-listener",
    {
        "key": "first-route",
        "value": "first-route",
        "descriptors": [per_hour("first-route-key-rule-0-match-0", 2)],
    },
)
BANK = config("second-listener", per_hour("client", 7))
WRONG = config("", per_hour("", 1), name="third-listener")

# What a test may set on top, for parts that are switched on one by one.
PLAIN: dict[str, str] = {}
PATIENCE = {
    "XDS_CLIENT_BACKOFF_INITIAL_INTERVAL": "50ms",
    "XDS_CLIENT_BACKOFF_MAX_INTERVAL": "200ms",
    "CONFIG_GRPC_XDS_SERVER_CONNECT_RETRY_INTERVAL": "50ms",
}


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make what Envoy Gateway mounts as /certs, and what its own server shows."""
    needed_program("openssl", "openssl")
    folder = tmp_path_factory.mktemp("certs")
    certificates.make(folder)
    for ours, theirs in (
        ("client.pem", "tls.crt"),
        ("client.key", "tls.key"),
        ("ca.pem", "ca.crt"),
    ):
        (folder / ours).rename(folder / theirs)
    return folder


def gateway(certs: Path) -> XdsServer:
    """Return Envoy Gateway's own side: its certificate says `localhost`, and it asks for ours."""
    pair = ((certs / "server.key").read_bytes(), (certs / "server.pem").read_bytes())
    authority = (certs / "ca.crt").read_bytes()
    return XdsServer(grpc.ssl_server_credentials([pair], authority, require_client_auth=True))


def environment(server: XdsServer, certs: Path, data: Path) -> dict[str, str]:
    return {
        "REDIS_SOCKET_TYPE": "tcp",
        "RUNTIME_ROOT": str(data),
        "RUNTIME_SUBDIRECTORY": "ratelimit",
        "RUNTIME_IGNOREDOTFILES": "true",
        "RUNTIME_WATCH_ROOT": "false",
        "LOG_LEVEL": "info",
        "USE_STATSD": "false",
        "FORCE_START_WITHOUT_INITIAL_CONFIG": "true",
        "CONFIG_TYPE": "GRPC_XDS_SOTW",
        "CONFIG_GRPC_XDS_SERVER_URL": f"localhost:{server.port}",
        "CONFIG_GRPC_XDS_NODE_ID": "envoy-ratelimit",
        "CONFIG_GRPC_XDS_SERVER_USE_TLS": "true",
        "CONFIG_GRPC_XDS_CLIENT_TLS_CERT": str(certs / "tls.crt"),
        "CONFIG_GRPC_XDS_CLIENT_TLS_KEY": str(certs / "tls.key"),
        "CONFIG_GRPC_XDS_SERVER_TLS_CACERT": str(certs / "ca.crt"),
    }


@contextlib.asynccontextmanager
async def started(
    folder: Path, valkey: Server, server: XdsServer, certs: Path, **extra: str
) -> AsyncIterator[Limiter]:
    environ = {**environment(server, certs, folder / "data"), **PATIENCE, **extra}
    with running(folder, f"127.0.0.1:{valkey.port}", **environ) as limiter:
        await wait_until(
            lambda: limiter.get("/healthcheck", limiter.http_port)[0] == 200,
            timeout=20,
            description="it passes Envoy Gateway's probe",
        )
        yield limiter
        await limiter.channel.close()
        assert "Traceback" not in limiter.said()


def rules_detail(limiter: Limiter) -> str:
    return str(limiter.readyz()[1]["checks"]["rules"]["detail"])


async def remaining(limiter: Limiter, client: str = "x") -> int:
    answer = await limiter.ask({"client": client}, domain="second-listener")
    return answer.statuses[0].limit_remaining


# Filled in as the service learns to do these too: its own TLS, and traces.
@pytest.mark.parametrize("extra", [PLAIN], ids=["plain"])
async def test_it_serves_what_envoy_gateway_sends(
    tmp_path: Path, valkey: Server, certs: Path, extra: dict[str, str]
) -> None:
    async with (
        gateway(certs) as server,
        started(tmp_path, valkey, server, certs, **extra) as limiter,
    ):
        server.serve("1", SHOP, BANK)
        await wait_until(lambda: server.acks == ["1"], description="it accepts")
        assert server.requests[0].node.id == "envoy-ratelimit"
        route = {"first-route": "first-route", "first-route-key-rule-0-match-0": "10.0.0.1"}
        codes = [(await limiter.ask(route, domain="first-listener")).overall_code for _ in range(3)]
        assert codes == [OK, OK, OVER]
        assert await remaining(limiter) == 6
        assert (await limiter.ask({"other": "x"}, domain="elsewhere")).overall_code == OK
        metrics = limiter.get("/metrics")[1]
        assert "sluice_ratelimit_xds_connected 1.0" in metrics
        assert 'sluice_ratelimit_config_loads_total{result="success"} 1.0' in metrics


async def test_before_the_first_rules_calls_are_told_so_and_probes_pass(
    tmp_path: Path, valkey: Server, certs: Path
) -> None:
    server = gateway(certs)
    async with started(tmp_path, valkey, server, certs) as limiter:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await remaining(limiter)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert caught.value.details() == "no rate limit configuration loaded"
        await wait_until(
            lambda: "cannot be reached" in rules_detail(limiter), description="it says why"
        )
        server.serve("1", BANK)
        async with server:
            await wait_until(lambda: server.acks == ["1"], description="it accepts")
            assert await remaining(limiter) == 6


async def test_without_force_start_it_is_not_ready_before_the_first_rules(
    tmp_path: Path, valkey: Server, certs: Path
) -> None:
    async with gateway(certs) as server:
        environ = {
            **environment(server, certs, tmp_path / "data"),
            "FORCE_START_WITHOUT_INITIAL_CONFIG": "false",
        }
        with running(tmp_path, f"127.0.0.1:{valkey.port}", **environ) as limiter:
            await wait_until(lambda: server.requests, timeout=20, description="it asks")
            await wait_until(lambda: limiter.readyz()[0] == 503, description="it is not ready")
            server.serve("1", BANK)
            await limiter.ready()
            assert await remaining(limiter) == 6
            await limiter.channel.close()


async def test_a_wrong_update_is_refused_and_the_rules_before_it_stay(
    tmp_path: Path, valkey: Server, certs: Path
) -> None:
    async with gateway(certs) as server, started(tmp_path, valkey, server, certs) as limiter:
        server.serve("1", BANK)
        await wait_until(lambda: server.acks == ["1"], description="it accepts")
        server.serve("2", config("second-listener", per_hour("client", 1)), WRONG)
        await wait_until(lambda: server.nacks, description="it refuses")
        (nack,) = server.nacks
        assert nack.version_info == "1"
        assert "third-listener: config file cannot have empty domain" in nack.error_detail.message
        assert (
            "third-listener: descriptors[0]: descriptor has empty key" in nack.error_detail.message
        )
        assert await remaining(limiter) == 6
        assert "generation 1 stays in force" in rules_detail(limiter)
        assert limiter.readyz()[0] == 200
        assert "sluice_ratelimit_config_stale 1.0" in limiter.get("/metrics")[1]


async def test_resources_come_change_and_go(tmp_path: Path, valkey: Server, certs: Path) -> None:
    async with gateway(certs) as server, started(tmp_path, valkey, server, certs) as limiter:
        server.serve("1", SHOP, BANK)
        await wait_until(lambda: server.acks == ["1"], description="it accepts")
        server.serve("2", config("second-listener", per_hour("client", 3)))
        await wait_until(lambda: server.acks == ["1", "2"], description="it accepts")
        assert await remaining(limiter) == 2
        route = {"first-route": "first-route", "first-route-key-rule-0-match-0": "10.0.0.1"}
        gone = await limiter.ask(route, domain="first-listener", hits=99)
        assert gone.overall_code == OK
        assert not gone.statuses[0].HasField("current_limit")
        server.serve("3")
        await wait_until(lambda: server.acks[-1] == "3", description="it accepts")
        assert (
            await limiter.ask({"client": "x"}, domain="second-listener", hits=99)
        ).overall_code == OK


async def test_a_killed_server_costs_no_call_and_is_found_again(
    tmp_path: Path, valkey: Server, certs: Path
) -> None:
    async with gateway(certs) as server, started(tmp_path, valkey, server, certs) as limiter:
        server.serve("1", BANK)
        await wait_until(lambda: server.acks == ["1"], description="it accepts")
        await server.kill()
        await wait_until(
            lambda: "cannot be reached" in rules_detail(limiter), description="it notices"
        )
        assert limiter.readyz()[0] == 200
        assert await remaining(limiter) == 6
        assert "sluice_ratelimit_xds_connected 0.0" in limiter.get("/metrics")[1]
        server.requests.clear()
        await server.start()
        await wait_until(lambda: server.requests, description="it is back")
        assert server.requests[0].version_info == "1"
        server.serve("2", config("second-listener", per_hour("client", 9)))
        await wait_until(lambda: server.acks == ["2"], description="it accepts")
        assert await remaining(limiter, client="y") == 8


async def test_huge_updates_are_taken_where_there_is_room_for_them(
    tmp_path: Path, valkey: Server, certs: Path
) -> None:
    large = config("large", *(per_hour(f"key {n:0200}", n) for n in range(20_000)))
    assert large.ByteSize() > 4 * MIB
    async with (
        gateway(certs) as server,
        started(tmp_path, valkey, server, certs, XDS_CLIENT_MAX_MSG_SIZE_IN_BYTES=str(16 * MIB)) as limiter,
    ):  # fmt: skip
        server.serve("1", BANK)
        await wait_until(lambda: server.acks == ["1"], description="it accepts")
        server.serve("2", BANK, large)
        await wait_until(lambda: server.acks == ["1", "2"], timeout=40, description="it accepts")
        assert await remaining(limiter) == 6


async def test_garbage_is_refused_and_sighup_connects_anew(
    tmp_path: Path, valkey: Server, certs: Path
) -> None:
    async with gateway(certs) as server, started(tmp_path, valkey, server, certs) as limiter:
        server.serve("1", BANK)
        await wait_until(lambda: server.acks == ["1"], description="it accepts")
        garbage = config("g").SerializeToString()
        empty = "type.googleapis.com/google.protobuf.Empty"
        server.serve("2", BANK, any_pb2.Any(type_url=empty, value=garbage))
        await wait_until(lambda: server.nacks, description="it refuses")
        assert "resource 2: is of type" in server.nacks[0].error_detail.message
        streams = server.streams
        limiter.stop(signal.SIGHUP)
        await wait_until(lambda: server.streams > streams, description="another stream")
        assert await remaining(limiter) == 6
        limiter.stop()
        assert await limiter.ended() == 0


async def test_tls_files_that_are_not_there_end_the_start_with_a_sentence(
    tmp_path: Path, valkey: Server, certs: Path
) -> None:
    environ = environment(gateway(certs), tmp_path, tmp_path / "data")
    with running(tmp_path, f"127.0.0.1:{valkey.port}", **environ) as limiter:
        assert await limiter.ended() == 1
        assert "CONFIG_GRPC_XDS_SERVER_TLS_CACERT" in limiter.said()
        assert "Traceback" not in limiter.said()
