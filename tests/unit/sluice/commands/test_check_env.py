"""`sluice check --env`, as a person calls it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sluice import cli

if TYPE_CHECKING:
    from pathlib import Path

FILE = """\
# what the reference was started with
GRPC_PORT=8081
export REDIS_URL="redis://ann:hunter22@redis:6379"

USE_STATSD='true'
SHADOW_MOD=true
BACKEND_TYPE=memcache
NEAR_LIMIT_RATIO=80
PATH=/usr/bin
"""


def check(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
    code = cli.main(["check", *words])
    return code, capsys.readouterr().out.splitlines()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ratelimit.env"
    path.write_text(FILE)
    return path


def test_a_file_is_told_of_line_by_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = check(capsys, f"--env={file}")
    assert code == 1
    said = {line.split()[-1] if ":" not in line else line.split()[1] for line in lines[:6]}
    assert "honoured  GRPC_PORT" in lines
    assert "honoured  REDIS_URL" in lines
    (statsd,) = [line for line in lines if "USE_STATSD" in line]
    assert statsd.startswith("replaced  USE_STATSD: ")
    assert "OpenTelemetry Collector" in statsd
    assert said
    assert [line.partition(" ")[0] for line in lines if line.startswith(str(file))] == [
        f"{file}:7:1:", f"{file}:6:1:", f"{file}:8:1:",
    ]  # fmt: skip
    assert "did you mean SHADOW_MODE?" in lines[-2]
    assert "PATH" not in "\n".join(lines)
    assert "hunter22" not in "\n".join(lines)


def test_the_environment_itself_is_the_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("USE_STATSD", "false")
    monkeypatch.setenv("GRPC_PORT", "many")
    code, lines = check(capsys, "--env")
    assert code == 1
    assert "honoured  USE_STATSD" in lines
    assert any(line.startswith("environment: GRPC_PORT=many: is not") for line in lines)
    monkeypatch.setenv("GRPC_PORT", "1234")
    assert check(capsys, "--env")[0] == 0


def test_what_has_no_effect_is_no_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "e"
    file.write_text("STATSD_PORT=8125\nREDIS_STARTUP_MAX_INTERVAL=30s\n")
    code, lines = check(capsys, "--env", str(file))
    assert (code, len(lines)) == (0, 2)
    assert lines[0].startswith("no effect  REDIS_STARTUP_MAX_INTERVAL: ")


def test_a_program_gets_the_same(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = check(capsys, f"--env={file}", "--json")
    told = json.loads("\n".join(lines))
    assert code == 1
    assert {one["variable"]: one["standing"] for one in told["variables"]} == {
        "BACKEND_TYPE": "refused", "GRPC_PORT": "honoured", "NEAR_LIMIT_RATIO": "honoured",
        "REDIS_URL": "honoured", "SHADOW_MOD": "unknown", "USE_STATSD": "replaced",
    }  # fmt: skip
    assert [problem["line"] for problem in told["problems"]] == [7, 6, 8]


def test_rules_and_variables_at_once(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("domain: shop\ndescriptors: []\n")
    code, lines = check(capsys, str(rules), f"--env={file}")
    assert code == 1
    assert "1 file, 0 rules: no problems" in lines


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"GRPC_PORT=1\nnot a variable\n=x\n", ["e:2:1: is not a variable", "e:3:1: is not"]),
        (b"\xff\xfe", ["e: is not text"]),
        (b"#" * (1024 * 1024 + 1), ["e: is larger than 1048576 bytes"]),
    ],
)
def test_a_file_that_is_none_is_told(
    content: bytes, told: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "e").write_bytes(content)
    code, lines = check(capsys, "--env=e")
    assert code == 1
    problems = [line for line in lines if line.startswith("e:")]
    assert len(problems) == len(told)
    for line, beginning in zip(problems, told, strict=True):
        assert line.startswith(beginning)


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = check(capsys, f"--env={tmp_path / 'none'}")
    assert code == 1
    assert "cannot be read (No such file or directory)" in lines[-1]


def test_nothing_to_check_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check"]) == 2
    assert "name rule files or folders, or say --env" in capsys.readouterr().err
