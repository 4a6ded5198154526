"""Where rules are read from, as the rules in force see it: documents, and what became of them.

A RuleSources is plain values, so that it can be sent to another process to be built there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from chassis.errors import ConfigError, Problem
from ratelimit_service.core import rules as core_rules

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ratelimit_service.core.rule import RuleSet
    from ratelimit_service.core.source import Node

# A file that is no rule file at all has a problem on each of its lines; nobody reads a thousand.
MAX_PROBLEMS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleFile:
    """One file or resource: its name, the SHA-256 of its bytes in hexadecimal, and its problems.

    `sha256` is "" where nothing could be read, `error` is "" where nothing is wrong, else one
    problem a line.
    """

    name: str
    sha256: str
    error: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """What a load made: the rules, or None and the problems; and the files, sorted by name."""

    rules: RuleSet | None
    files: tuple[RuleFile, ...]
    problems: tuple[Problem, ...] = ()


class RuleSources(Protocol):
    """Rule documents as they were read at one moment."""

    def built(self) -> Built:
        """Make rules of them."""
        ...


def build(
    documents: Iterable[Node | None],
    contents: dict[str, bytes],
    problems: list[Problem],
    *,
    merge_domains: bool,
) -> Built:
    """Make rules of `documents`, None for what could not be parsed, as `problems` then says.

    `contents` are the bytes read by file name; a problem's `file` is one of these names, or begins
    with one and a colon.
    """
    rules: RuleSet | None = None
    try:
        parsed = (document for document in documents if document is not None)
        rules = core_rules.build(parsed, merge_domains=merge_domains)
    except ConfigError as error:
        problems.extend(error.problems)
    shown = sorted(problems)
    if len(shown) > MAX_PROBLEMS:
        more = f"and {len(shown) - MAX_PROBLEMS} problems more, here and in what follows"
        shown[MAX_PROBLEMS:] = [Problem(file=shown[MAX_PROBLEMS].file, message=more)]
    return Built(
        rules=None if shown else rules,
        files=_described(contents, shown),
        problems=tuple(shown),
    )


def _described(contents: dict[str, bytes], problems: list[Problem]) -> tuple[RuleFile, ...]:
    errors: dict[str, list[str]] = {name: [] for name in contents}
    for problem in problems:
        name = problem.file
        while name not in contents and ": " in name:
            name = name.rpartition(": ")[0]
        errors.setdefault(name if name in contents else problem.file, []).append(str(problem))
    return tuple(
        RuleFile(
            name=name,
            sha256=hashlib.sha256(contents[name]).hexdigest() if name in contents else "",
            error="\n".join(errors[name]),
        )
        for name in sorted(errors)
    )
