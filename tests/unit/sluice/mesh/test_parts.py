"""The table of parts: what holds of every entry, and how a run chooses among them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from chassis.redis_settings import RedisSettings
from chassis.settings import describe, load
from sluice.mesh.keeper import FINISH_SECONDS, KILL_SECONDS
from sluice.mesh.part import Stage
from sluice.mesh.parts import PARTS, addresses, all_ports, choose
from sluice.mesh.plan import Plan
from sluice.mesh.ports import BLOCK_SIZE, assign_ports
from sluice.mesh.state import StateFolder
from sluice.mesh.store import Store
from sluice.mesh.supervisor import STOP_SECONDS
from sluice.outcome import OperatorError, WrongUsage

# Promises of the interface: what users put in scripts and firewalls.
PROMISED = {
    "SLUICE_ENVOY_PORT": 8000,
    "SLUICE_ENVOY_ADMIN_PORT": 9901,
    "GRPC_PORT": 8081,
    "RATELIMIT_ADMIN_PORT": 8083,
    "PORT": 8080,
    "DEBUG_PORT": 6070,
    "SLUICE_REDIS_PORT": 6380,
}
PROMISED_END_SECONDS = 15.0


def plan(tmp_path: Path, *, store: Store | None = None, rules: Path | None = None) -> Plan:
    ports = assign_ports(all_ports(), first=21000, environ={})
    return Plan(
        ports=ports,
        environ={"HOME": "/home/ada", "GRPC_HOST": "0.0.0.0", "GRPC_PORT": "1"},  # noqa: S104  must not win
        state=StateFolder(tmp_path, temporary=False, lock=-1),
        store=store or Store(url="redis://127.0.0.1:21006", embedded=True),
        envoy=None,
        rules=rules,
    )


def test_the_promised_default_ports_hold() -> None:
    defaults = {port.variable: port.default for port in all_ports()}
    assert defaults.items() >= PROMISED.items()


def test_no_two_ports_share_a_place_a_variable_or_a_default() -> None:
    for field in ("offset", "variable", "default"):
        counts = Counter(getattr(port, field) for port in all_ports())
        assert counts.most_common(1)[0][1] == 1, field
    assert max(port.offset for port in all_ports()) < BLOCK_SIZE


def test_the_table_is_in_the_order_of_the_stages() -> None:
    assert [part.stage for part in PARTS] == sorted(part.stage for part in PARTS)


def test_what_a_part_needs_is_a_part_of_an_earlier_stage() -> None:
    stages = {part.name: part.stage for part in PARTS}
    for part in PARTS:
        assert all(stages[needed] < part.stage for needed in part.needs)


def test_all_stages_together_end_in_time() -> None:
    longest = {
        stage: max(part.grace_seconds for part in PARTS if part.stage is stage) for stage in Stage
    }
    assert sum(longest.values()) + FINISH_SECONDS <= STOP_SECONDS, "then all is killed"
    assert STOP_SECONDS + KILL_SECONDS < PROMISED_END_SECONDS


def test_everything_runs_unless_parts_are_named() -> None:
    assert choose(None) == PARTS
    assert [part.name for part in choose(" envoy, redis ,redis")] == ["redis", "envoy"]


@pytest.mark.parametrize("only", ["redis,nginx,apache", "", " , "])
def test_a_wrong_choice_says_which_parts_exist(only: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        choose(only)
    said = str(caught.value)
    assert all(part.name in said for part in PARTS)
    assert not only.startswith("redis") or "apache, nginx" in said


def test_ready_tells_a_place_a_role_or_a_url(tmp_path: Path) -> None:
    assert addresses(PARTS, plan(tmp_path)) == {
        "redis": "redis://127.0.0.1:21006",
        "ratelimit": {
            "grpc": "127.0.0.1:21002",
            "admin": "127.0.0.1:21003",
            "http": "127.0.0.1:21004",
            "ops": "127.0.0.1:21005",
        },
        "demo": "127.0.0.1:21007",
        "envoy": {"http": "127.0.0.1:21000", "admin": "127.0.0.1:21001"},
    }


def test_ready_tells_the_users_own_redis_as_given(tmp_path: Path) -> None:
    own = Store(url="redis://ada:secret@db:6379/2", embedded=False)
    assert addresses(choose("demo"), plan(tmp_path, store=own)) == {
        "redis": "redis://ada:secret@db:6379/2",
        "demo": "127.0.0.1:21007",
    }


def test_the_limiter_is_told_its_ports_its_store_and_its_rules(tmp_path: Path) -> None:
    (ratelimit,) = choose("ratelimit")
    told = ratelimit.told(plan(tmp_path, rules=Path("/srv/mesh/limits")))
    assert told["HOME"] == "/home/ada"
    assert told["GRPC_HOST"] == "127.0.0.1"
    assert told["GRPC_PORT"] == "21002"
    assert told["REDIS_URL"] == "redis://127.0.0.1:21006"
    assert Path(told["RUNTIME_ROOT"], told["RUNTIME_APPDIRECTORY"]) == Path("/srv/mesh/limits")


def test_what_a_shell_says_of_another_redis_is_not_said_of_the_embedded_one(
    tmp_path: Path,
) -> None:
    (ratelimit,) = choose("ratelimit")
    tuning = {"REDIS_TIMEOUT", "REDIS_COMMAND_TIMEOUT", "REDIS_POOL_SIZE"}
    elsewhere = {row.env: "/elsewhere" for row in describe(RedisSettings) if row.env not in tuning}
    assert len(elsewhere) > 8
    made = plan(tmp_path)
    told = ratelimit.told(replace(made, environ={**made.environ, **elsewhere}))
    assert load(RedisSettings, told) == RedisSettings(url="redis://127.0.0.1:21006")
    own = Store(url="rediss://db", embedded=False)
    told = ratelimit.told(replace(made, environ=elsewhere, store=own))
    assert told["REDIS_AUTH"] == told["REDIS_TLS_CACERT"] == "/elsewhere"


def test_rules_that_the_environment_names_stay_its_own(tmp_path: Path) -> None:
    (ratelimit,) = choose("ratelimit")
    assert "RUNTIME_ROOT" not in ratelimit.told(plan(tmp_path, rules=None))


def test_envoys_file_is_rendered_into_the_state_folder(tmp_path: Path) -> None:
    (envoy,) = choose("envoy")
    argv = envoy.argv(plan(tmp_path))
    rendered = Path(argv[argv.index("--config-path") + 1])
    assert rendered.is_relative_to(tmp_path)
    assert "port_value: 21002" in rendered.read_text()


def test_a_state_folder_over_sluices_own_does_not_overwrite_its_envoy_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "envoy" / "mesh.yaml"
    own.parent.mkdir()
    own.write_text("template: ${GRPC_PORT}\n")
    monkeypatch.setattr("sluice.mesh.envoy_config.config_folder", lambda: own.parent)
    (envoy,) = choose("envoy")
    with pytest.raises(OperatorError, match="is Sluice's own"):
        envoy.argv(plan(tmp_path))
    assert own.read_text() == "template: ${GRPC_PORT}\n"
