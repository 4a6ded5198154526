"""What `sluice up` refuses: one sentence that says what to do, the exit code, nothing running."""

from __future__ import annotations

import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
import redis

from sluice.demo.mesh_process import free_block
from sluice.mesh.store import ANSWER_SECONDS, own_store
from sluice.outcome import CannotReach
from tests.integration.sluice.running import Up, stand_in_envoy
from tests.servers import needed_program, start_redis, start_valkey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


async def refused(*arguments: str, first_port: int | None = None) -> tuple[int, str]:
    """Run it to its end; answer the exit code and what it said in the end."""
    with Up(*arguments, first_port=first_port) as up:
        code = await up.ended()
        assert not up.living()
        assert "Traceback" not in up.said
        assert not any(line.startswith("ready") for line in up.out)
        return code, up.err[-1]


async def test_a_port_in_use_is_named_with_its_part_and_the_way_out() -> None:
    first = free_block()
    with socket.create_server(("127.0.0.1", first + 6)):
        code, said = await refused("--only", "redis,demo", first_port=first)
    assert code == 1
    assert said == (
        f"sluice: port {first + 6} (redis, SLUICE_REDIS_PORT) is in use: "
        "choose other ports with --ports-from N, or stop what uses it"
    )


async def test_a_port_shared_by_a_server_with_so_reuseport_is_in_use_too() -> None:
    first = free_block()
    with socket.create_server(("127.0.0.1", first + 7), reuse_port=True):
        code, said = await refused("--only", "demo", first_port=first)
    assert code == 1
    assert f"port {first + 7} " in said


async def test_an_unknown_part_is_wrong_usage() -> None:
    code, said = await refused("--only", "redis,nginx")
    assert code == 2
    assert said == (
        "sluice: --only: there is no part called nginx; the parts are redis, ratelimit, demo, envoy"
    )


async def test_a_state_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, said = await refused("--only", "demo", "--state", str(tmp_path / "file" / "state"))
    assert code == 1
    assert "cannot be made, as a part of its path is a file" in said
    assert "--state DIR" in said


@pytest.mark.parametrize(
    ("place", "what"), [("redis", "no folder"), ("envoy/mesh.yaml/x", "no file")]
)
async def test_what_is_in_the_way_in_a_state_folder_is_named(
    tmp_path: Path, place: str, what: str
) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    code, said = await refused("--only", "redis,envoy", "--state", str(tmp_path))
    assert code == 1
    assert f"is {what}, and one is needed there: remove it" in said


async def test_an_empty_name_is_not_the_folder_it_is_started_in() -> None:
    code, said = await refused("--only", "demo", "--state", "")
    assert code == 2
    assert "--state" in said
    assert "is empty" in said


async def test_a_state_folder_in_use_by_another_run(tmp_path: Path) -> None:
    with Up("--only", "redis", "--state", str(tmp_path)) as first:
        await first.ready()
        code, said = await refused("--only", "demo", "--state", str(tmp_path))
        assert code == 1
        assert f"process {first.process.pid}" in said


async def test_an_envoy_that_is_not_there(tmp_path: Path) -> None:
    code, said = await refused("--only", "envoy", "--envoy", str(tmp_path / "envoy"))
    assert code == 1
    assert "does not exist" in said


async def test_an_envoy_that_no_kernel_can_run(tmp_path: Path) -> None:
    broken = tmp_path / "envoy"
    broken.write_bytes(b"\x7fELF but not really")
    broken.chmod(0o755)
    with Up("--only", "envoy", "--envoy", str(broken)) as up:
        assert await up.ended() == 1
        assert f"{broken} cannot be run" in up.err[-3] + up.err[-2] + up.err[-1]


async def test_a_part_that_ends_at_its_start_is_quoted(tmp_path: Path) -> None:
    envoy = stand_in_envoy(tmp_path, 'sys.exit("mesh.yaml:12: I do not like this")')
    with Up("--only", "demo,envoy", "--envoy", envoy) as up:
        assert await up.ended() == 1
        assert "sluice: envoy ended (exit code 1); its last words:" in up.err
        assert up.err[-1].strip() == "mesh.yaml:12: I do not like this"
        assert not up.living()


async def test_a_redis_that_does_not_answer_is_not_reachable() -> None:
    first = free_block()
    code, said = await refused(
        "--only", "ratelimit", "--redis", f"redis://ada:secret@127.0.0.1:{first}", first_port=first
    )
    assert code == 3
    assert f"the Redis redis://ada:******@127.0.0.1:{first} cannot be used" in said
    assert "(Connection refused); start it, or set REDIS_URL" in said


async def test_a_redis_named_by_the_environment_counts_where_one_is_needed() -> None:
    nobody = {"REDIS_URL": f"redis://127.0.0.1:{free_block()}"}
    with Up("--only", "ratelimit", environ=nobody) as up:
        assert await up.ended() == 3
    with Up("--only", "demo", environ=nobody) as up:
        assert list(await up.ready()) == ["demo"]


async def test_a_redis_that_refuses_the_password() -> None:
    with start_valkey("--requirepass", "right") as server:
        url = f"redis://:wrong@127.0.0.1:{server.port}"
        code, said = await refused("--only", "ratelimit", "--redis", url)
        assert code == 3
        assert "wrong or no credentials; set REDIS_AUTH" in said
        assert "start it" not in said
        assert "wrong@" not in said

        code, said = await refused("--only", "ratelimit", "--redis", server.url)
        assert code == 3
        assert "wrong or no credentials; set REDIS_AUTH" in said


def test_a_password_of_the_environment_is_the_one_the_services_use() -> None:
    with start_valkey("--requirepass", "right") as server:
        assert own_store(server.url, {"REDIS_AUTH": "right"}).url == server.url
        with pytest.raises(CannotReach, match="wrong or no credentials"):
            own_store(server.url, {"REDIS_AUTH": "wrong"})


@pytest.fixture(scope="module")
def tls_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Run a Redis that speaks TLS only, with a certificate nobody has signed, for elsewhere."""
    folder = tmp_path_factory.mktemp("tls")
    pem, key = folder / "cert.pem", folder / "key.pem"
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    files = ("-keyout", str(key), "-out", str(pem))
    openssl = needed_program("openssl", "openssl")
    subprocess.run(
        [openssl, "req", "-x509", *curve, *files, "-subj", "/CN=elsewhere", "-days", "2"],
        check=True,
        capture_output=True,
    )
    options = ("--tls-cert-file", str(pem), "--tls-key-file", str(key))
    trust = ("--tls-ca-cert-file", str(pem), "--tls-auth-clients", "no")
    with start_redis(*options, *trust, scheme="rediss") as server:
        yield server.port


def unusable(url: str, **environ: str) -> str:
    """Answer the one sentence that says why, within the time of an impatient person."""
    begun = time.monotonic()
    with pytest.raises(CannotReach) as raised:
        own_store(url, environ)
    assert time.monotonic() - begun < ANSWER_SECONDS
    assert raised.value.exit_code == 3
    said = str(raised.value)
    assert "\n" not in said
    assert "Errno" not in said
    return said


def test_tls_or_none_and_whom_to_trust_are_told(tls_port: int) -> None:
    assert "if it speaks TLS, set REDIS_TLS=true" in unusable(f"redis://127.0.0.1:{tls_port}")
    said = unusable(f"rediss://127.0.0.1:{tls_port}")
    assert "name the PEM file of who signs its certificate with REDIS_TLS_CACERT" in said
    with start_valkey() as plain:
        said = unusable(f"rediss://127.0.0.1:{plain.port}", REDIS_TIMEOUT="500ms")
        assert "leave REDIS_TLS out or write redis://" in said


def test_how_servers_are_arranged_is_told() -> None:
    with start_valkey() as server:
        said = unusable(server.url, REDIS_TYPE="CLUSTER")
        assert "it is no cluster; set REDIS_TYPE=SINGLE" in said
        said = unusable(f"main,127.0.0.1:{server.port}", REDIS_TYPE="SENTINEL")
        assert "it is no sentinel; leave REDIS_TYPE out" in said


def test_a_redis_that_would_refuse_every_charge_is_told_and_nothing_is_written() -> None:
    with start_valkey() as server, redis.Redis(port=server.port) as client:
        assert own_store(server.url, {}).url == server.url
        client.execute_command("ACL", "SETUSER", "default", "resetkeys", "~other:*")
        assert "widen its ACL" in unusable(server.url)
        assert own_store(server.url, {"SLUICE_KEY_PREFIX": "other:"}).url == server.url
        assert client.dbsize() == 0


async def test_a_cluster_that_is_none_ends_it_with_one_line() -> None:
    with start_valkey() as server:
        environ = {"REDIS_TYPE": "CLUSTER", "REDIS_URL": server.url}
        with Up("--only", "ratelimit", environ=environ) as up:
            assert await up.ended() == 3
            assert len(up.err) == 1, "no log of the door beside it"


async def test_a_limiter_without_any_redis_says_what_to_add() -> None:
    code, said = await refused("--only", "ratelimit")
    assert code == 3
    assert "ratelimit needs redis" in said
    assert "add redis to --only" in said


async def test_a_redis_of_ones_own_leaves_nothing_of_redis_alone() -> None:
    with start_valkey() as server:
        code, said = await refused("--only", "redis", "--redis", server.url)
    assert code == 2
    assert "nothing to run" in said


@pytest.mark.parametrize("name", ["absent", "empty"])
async def test_rules_that_are_not_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    code, said = await refused("--only", "demo", "--rules", str(tmp_path / name))
    assert code == 1
    assert "--rules" in said
