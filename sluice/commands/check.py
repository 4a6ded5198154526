"""`sluice check`: are these files and variables right? All mistakes at once, with their places."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chassis.errors import ConfigError
from chassis.settings import flag
from ratelimit_service.storage import rules_file
from sluice.commands.check_env import EnvReport, check_env, read_env_file
from sluice.outcome import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chassis.errors import Problem
    from ratelimit_service.storage.rules_file import Sources


def run(
    paths: Sequence[Path], *, env: Path | None = None, environ: Mapping[str, str], as_json: bool
) -> int:
    """Check rule files and directories of them, together: one domain may stand in one of them.

    `env`, if given, is a file of variables to check too; an empty path means `environ` itself.
    MERGE_DOMAIN_CONFIG in them (without `env`: in `environ`) counts for the rules.
    Warnings are said and do not count: the rules they are about work as they are written.
    """
    problems: list[Problem] = []
    warnings: list[Problem] = []
    said: list[str] = []
    variables: list[dict[str, str]] | None = None
    if env is not None:
        environ, report = _variables(env, environ)
        said += report.lines()
        variables = report.as_objects()
        problems += report.problems
    if paths:
        sources = rules_file.read(paths, merge_domains=_merges_domains(environ))
        said += _rules(sources, problems, warnings)
    if as_json:
        told: dict[str, object] = {
            "problems": [_as_object(problem) for problem in problems],
            "warnings": [_as_object(warning) for warning in warnings],
        }
        click.echo(json.dumps(told if variables is None else told | {"variables": variables}))
    else:
        for line in (*said, *map(str, problems)):
            click.echo(line)
    return ExitCode.PROBLEMS if problems else ExitCode.OK


def _merges_domains(environ: Mapping[str, str]) -> bool:
    try:
        return flag(environ.get("MERGE_DOMAIN_CONFIG") or "false")
    except ValueError:
        return False  # what is wrong with it is for --env to say


def _rules(sources: Sources, problems: list[Problem], warnings: list[Problem]) -> list[str]:
    try:
        found = sources.build()
    except ConfigError as error:
        problems.extend(error.problems)
        return []
    warnings.extend(found.warnings)
    said = [
        str(replace(warning, message=f"warning: {warning.message}")) for warning in found.warnings
    ]
    counted = f"{_count(len(sources.files), 'file')}, {_count(len(found.rules()), 'rule')}"
    doubts = f", {_count(len(warnings), 'warning')}" if warnings else ""
    return [*said, f"{counted}: no problems{doubts}"]


def _variables(env: Path, environ: Mapping[str, str]) -> tuple[Mapping[str, str], EnvReport]:
    """Return the variables to check, and what is said of them."""
    if env == Path():
        return environ, check_env(environ, source="environment")
    try:
        file = read_env_file(env)
    except ConfigError as error:
        return {}, EnvReport(findings=(), problems=error.problems)
    return file.values, check_env(file.values, source=str(env), lines=file.lines)


def _as_object(problem: Problem) -> dict[str, object]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
    }


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
