"""`sluice check --env`: what becomes of each variable, of ours and of envoyproxy/ratelimit.

From the environment, or from a file of KEY=VALUE lines as Docker and systemd read them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from chassis.errors import ConfigError, Problem
from chassis.settings import SettingsError, load
from ratelimit_service.config import Finding, Settings, Standing, judge
from sluice.mesh.parts import PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Files of settings have some hundred lines; what is larger is another file.
_MAX_FILE_BYTES: Final = 1024 * 1024
_LINE: Final = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?P<value>.*)")
_WRONG: Final = frozenset({Standing.REFUSED, Standing.UNKNOWN})


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvReport:
    """What there is to say: a finding for each variable, and the problems among them."""

    findings: tuple[Finding, ...]
    problems: tuple[Problem, ...]

    def lines(self) -> list[str]:
        """Return a line for each variable that is set."""
        if not self.findings:
            return ["no variable of Sluice or of envoyproxy/ratelimit is set"]
        width = max(len(one.standing.value) for one in self.findings)
        return [
            f"{one.standing.value:<{width}}  {one.variable}"
            # What is wrong is said among the problems.
            + (f": {one.why}" if one.why and one.standing not in _WRONG else "")
            for one in self.findings
        ]

    def as_objects(self) -> list[dict[str, str]]:
        """Return the findings for JSON."""
        return [
            {"variable": one.variable, "standing": one.standing.value, "why": one.why}
            for one in self.findings
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvFile:
    """A file's variables, and the lines they stand in."""

    values: Mapping[str, str]
    lines: Mapping[str, int]


def check_env(
    environ: Mapping[str, str], *, source: str, lines: Mapping[str, int] | None = None
) -> EnvReport:
    """Judge every variable of `environ` that is the reference's, ours, or nearly so.

    `source` is what problems name: the environment, or a file and the `lines` in it.
    """
    known = {port.variable for part in PARTS for port in part.ports}
    findings = judge(environ, known=known)
    told = [f"{one.variable}: {one.why}" for one in findings if one.standing in _WRONG]
    try:
        load(Settings, environ)
    except SettingsError as error:
        told.extend(error.problems)
    places = lines or {}
    problems = []
    for message in told:
        name = re.split("[^A-Z0-9_]", message, maxsplit=1)[0]
        line = places.get(name, 0)
        problems.append(Problem(file=source, line=line, column=min(line, 1), message=message))
    return EnvReport(findings=findings, problems=tuple(problems))


def read_env_file(file: Path) -> EnvFile:
    """Read KEY=VALUE lines; ConfigError names every line that is none.

    Empty lines and those that begin with # are skipped, `export ` is too, and quotes around a
    value come off.
    """
    text = _text(file)
    found: dict[str, str] = {}
    lines: dict[str, int] = {}
    problems: list[Problem] = []
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            told = "is not a variable; write KEY=VALUE"
            problems.append(Problem(file=str(file), line=number, column=1, message=told))
        else:
            found[match["name"]] = _unquoted(match["value"].strip())
            lines[match["name"]] = number
    if problems:
        raise ConfigError(problems)
    return EnvFile(values=found, lines=lines)


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(_MAX_FILE_BYTES + 1)
        if len(content) <= _MAX_FILE_BYTES:
            return content.decode("utf-8")
        told = f"is larger than {_MAX_FILE_BYTES} bytes; name a file of KEY=VALUE lines"
    except OSError as error:
        told = f"cannot be read ({error.strerror or error}); name a file of KEY=VALUE lines"
    except UnicodeDecodeError:
        told = "is not text; name a file of KEY=VALUE lines"
    raise ConfigError([Problem(file=str(file), message=told)])


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value
