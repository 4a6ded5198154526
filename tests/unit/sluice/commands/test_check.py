"""`sluice check` of rules: problems end it with 1, warnings are said and do not."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from sluice import cli

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = "rate_limit: {unit: day, requests_per_unit: 1}"
GOOD = f"domain: good\ndescriptors: [{{key: k, {LIMIT}}}]\n"
DOUBTFUL = "domain: doubtful\ndescriptors: [{key: k}]\n"
BROKEN = "domain: broken\ndescriptors: [{value: v}]\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # main() sets its own


def test_good_rules_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    assert cli.main(["check", "good.yaml"]) == 0
    assert capsys.readouterr().out == "1 file, 1 rule: no problems\n"


def test_a_warning_is_said_and_exits_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "doubtful.yaml").write_text(DOUBTFUL)
    assert cli.main(["check", "good.yaml", "doubtful.yaml"]) == 0
    warning, summary = capsys.readouterr().out.splitlines()
    assert warning.startswith("doubtful.yaml:2:15: warning: 'doubtful.k' has neither a limit")
    assert summary == "2 files, 1 rule: no problems, 1 warning"


def test_a_problem_is_said_and_exits_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "doubtful.yaml").write_text(DOUBTFUL)
    (tmp_path / "broken.yaml").write_text(BROKEN)
    assert cli.main(["check", "."]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("broken.yaml:2:15: descriptor has empty key")


def test_programs_are_told_both_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "doubtful.yaml").write_text(DOUBTFUL)
    assert cli.main(["check", "--json", "doubtful.yaml"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["problems"] == []
    (warning,) = told["warnings"]
    assert (warning["file"], warning["line"], warning["column"]) == ("doubtful.yaml", 2, 15)


@pytest.mark.parametrize(("merge", "code"), [("true", 0), ("false", 1), ("perhaps", 1)])
def test_one_domain_stands_in_several_files_where_the_variable_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, merge: str, code: int
) -> None:
    (tmp_path / "one.yaml").write_text(GOOD)
    (tmp_path / "two.yaml").write_text(GOOD.replace("key: k", "key: l"))
    monkeypatch.setenv("MERGE_DOMAIN_CONFIG", merge)
    assert cli.main(["check", "one.yaml", "two.yaml"]) == code
