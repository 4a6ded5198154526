"""`sluice check`: are these files right? Every mistake at once, as file:line:column."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from chassis.errors import ConfigError
from ratelimit_service.storage import rules_file
from sluice.outcome import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from chassis.errors import Problem


def run(paths: Sequence[Path], *, as_json: bool) -> int:
    """Check rule files and directories of them, together: one domain may stand in one of them."""
    problems: tuple[Problem, ...] = ()
    files = rules = 0
    try:
        sources = rules_file.read(paths)
        files, rules = len(sources.files), len(sources.build().limited())
    except ConfigError as error:
        problems = error.problems
    if as_json:
        click.echo(json.dumps({"problems": [_as_object(problem) for problem in problems]}))
    elif problems:
        for problem in problems:
            click.echo(str(problem))
    else:
        click.echo(f"{_count(files, 'file')}, {_count(rules, 'rule')}: no problems")
    return ExitCode.PROBLEMS if problems else ExitCode.OK


def _as_object(problem: Problem) -> dict[str, object]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
    }


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
