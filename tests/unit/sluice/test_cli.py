"""The command line: help that is true, exit codes that are kept, no traceback for anybody."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
import pytest

from chassis.build import version
from sluice import cli
from sluice.mesh.parts import PARTS
from sluice.outcome import CannotReach, OperatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def excepthook() -> Iterator[None]:
    before = sys.excepthook
    yield
    sys.excepthook = before


def commands() -> list[list[str]]:
    return [[], *([name] for name in cli.cli.commands)]


@pytest.mark.parametrize("path", commands(), ids=lambda path: " ".join(path) or "sluice")
def test_every_command_explains_itself_with_an_example(
    path: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*path, "--help"]) == 0
    said = capsys.readouterr().out
    assert "Example" in said
    assert f"  sluice {' '.join(path)}".rstrip() in said


def test_the_help_of_up_names_every_part_and_port(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["up", "--help"])
    said = capsys.readouterr().out
    for part in PARTS:
        line = next(line for line in said.splitlines() if line.split()[:1] == [part.name])
        for port in part.ports:
            assert f"{port.default} {port.variable}" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["up", "--ports-from", "many"],
        ["up", "--ports-from", "65505"],
        ["up", "--only", "nginx"],
        ["up", "--state", ""],
        ["up", "--rules", ""],
        ["up", "--envoy", ""],
        ["check", ""],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2_with_a_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    said = capsys.readouterr()
    assert said.err.strip()
    assert not said.out


def test_the_version_is_the_one_that_services_tell(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"sluice {version()}\n"


def replace_up(monkeypatch: pytest.MonkeyPatch, ends: Callable[[], None]) -> None:
    monkeypatch.setitem(cli.cli.commands, "up", click.Command("up", callback=ends))


@pytest.mark.parametrize(
    ("error", "code"), [(OperatorError("mend it"), 1), (CannotReach("start it"), 3)]
)
def test_an_operators_error_is_its_sentence_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: OperatorError,
    code: int,
) -> None:
    def fail() -> None:
        raise error

    replace_up(monkeypatch, fail)
    assert cli.main(["up"]) == code
    assert capsys.readouterr().err == f"sluice: {error}\n"


def test_a_mistake_of_ours_is_a_sentence_and_a_file_for_the_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cli._report_bug(ValueError, ValueError("odd\nand long"), None)
    said = capsys.readouterr().err
    (report,) = tmp_path.iterdir()
    assert said.count("\n") == 1
    assert "ValueError: odd" in said
    assert str(report) in said
    assert "and long" in report.read_text()
