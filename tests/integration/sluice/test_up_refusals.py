"""What `sluice up` refuses: one sentence that says what to do, the exit code, nothing running."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from sluice.demo.mesh_process import free_block
from sluice.mesh.store import own_store
from sluice.outcome import CannotReach
from tests.integration.sluice.running import Up, stand_in_envoy
from tests.servers import start_valkey

if TYPE_CHECKING:
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
    assert "cannot be written" in said
    assert "--state DIR" in said


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
    assert f"redis://ada:******@127.0.0.1:{first} cannot be reached" in said


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
        assert "refuses the user and password" in said
        assert "wrong@" not in said

        code, said = await refused("--only", "ratelimit", "--redis", server.url)
        assert code == 3
        assert "asks for a password" in said


def test_a_password_of_the_environment_is_the_one_the_services_use() -> None:
    with start_valkey("--requirepass", "right") as server:
        assert own_store(server.url, {"REDIS_AUTH": "right"}).url == server.url
        with pytest.raises(CannotReach, match="refuses the user and password"):
            own_store(server.url, {"REDIS_AUTH": "wrong"})


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
