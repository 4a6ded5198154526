"""Rules from YAML files: read them, and turn each into the core's plain values.

Scalars stay as written (see core/source.py): PyYAML composes the node tree, whose marks say where
everything stands, and nothing is ever resolved to a number, a date or a boolean here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from chassis.errors import ConfigError, Problem
from ratelimit_service.core import rules as core_rules
from ratelimit_service.core.source import Mapping, Node, Place, Scalar, Sequence

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ratelimit_service.core.rules import RuleSet

MAX_FILE_BYTES = 4 * 1024 * 1024  # some 50,000 rules; a larger file is not a rule file
MAX_NODES = 1_000_000  # an alias counts each time it is used: stops "billion laughs"
MAX_NESTING = 100  # 32 levels of descriptors, two nodes each, with room to spare

_LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """Rule files as they were read at one moment: (name, content), and what could not be read."""

    files: tuple[tuple[str, bytes], ...]
    problems: tuple[Problem, ...]

    def build(self) -> RuleSet:
        """Return the rules in these files; raise ConfigError naming every problem."""
        problems = list(self.problems)
        documents = [parse(content, name, problems) for name, content in self.files]
        try:
            rules = core_rules.build(document for document in documents if document is not None)
        except ConfigError as error:
            problems.extend(error.problems)
        if problems:
            raise ConfigError(sorted(problems))
        return rules


def read(paths: Iterable[Path]) -> Sources:
    """Read rule files, and all files in directories of them.

    In a directory every file counts whose name does not start with a dot, as the reference reads
    it; subdirectories do not. An empty directory gives rules that limit nothing.
    """
    files: list[tuple[str, bytes]] = []
    problems: list[Problem] = []
    for path in paths:
        for file in _files_of(path, problems):
            content = _read(file, problems)
            if content is not None:
                files.append((str(file), content))
    return Sources(files=tuple(files), problems=tuple(problems))


def parse(content: bytes, name: str, problems: list[Problem]) -> Node | None:
    """Return the document in `content`, or None having noted what is wrong with it."""
    try:
        nodes = list(yaml.compose_all(content, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(part for part in (error.context, error.problem) if part)
        problems.append(
            Problem(
                file=name,
                line=mark.line + 1 if mark else 1,
                column=mark.column + 1 if mark else 1,
                message=f"error loading config file: not YAML: {what}",
            )
        )
        return None
    except yaml.reader.ReaderError as error:
        line, column = _place_of(content, error.position)
        what = f"not YAML text: {error.reason}"
        problems.append(
            Problem(
                file=name, line=line, column=column, message=f"error loading config file: {what}"
            )
        )
        return None
    if len(nodes) > 1:
        line = nodes[1].start_mark.line + 1
        problems.append(
            Problem(file=name, line=line, message="a rule file holds one document; split the file")
        )
        return None
    if not nodes or nodes[0] is None:
        place = Place(file=name, line=1, column=1)
        return Mapping(place=place, pairs=())
    return _Converter(name, problems).convert(nodes[0])


def _place_of(content: bytes, position: int) -> tuple[int, int]:
    """Return line and column of a byte, both from 1."""
    before = content[:position]
    return before.count(b"\n") + 1, position - before.rfind(b"\n")


class _Converter:
    """Turns PyYAML's nodes into the core's, within limits."""

    def __init__(self, name: str, problems: list[Problem]) -> None:
        self._name = name
        self._problems = problems
        self._nodes_left = MAX_NODES

    def convert(self, node: yaml.Node) -> Node | None:
        """Return the whole tree below `node`; None where it is too large or refers to itself."""
        try:
            return self._convert(node, MAX_NESTING)
        except _TooLargeError as error:
            self._problems.append(error.place.problem(str(error)))
            return None

    def _convert(self, node: yaml.Node, nesting_left: int) -> Node:
        mark = node.start_mark
        place = Place(file=self._name, line=mark.line + 1, column=mark.column + 1)
        self._nodes_left -= 1
        if not nesting_left:
            raise _TooLargeError(place, f"nests deeper than {MAX_NESTING} levels; flatten it")
        if self._nodes_left < 0:
            raise _TooLargeError(place, f"has more than {MAX_NODES} nodes; split the file")
        if isinstance(node, yaml.MappingNode):
            pairs = tuple(
                (self._convert(key, nesting_left - 1), self._convert(value, nesting_left - 1))
                for key, value in node.value
            )
            return Mapping(place=place, pairs=pairs)
        if isinstance(node, yaml.SequenceNode):
            items = tuple(self._convert(item, nesting_left - 1) for item in node.value)
            return Sequence(place=place, items=items)
        # A plain scalar has no style; one quoted or a block ("|") is text whatever it says.
        return Scalar(place=place, text=node.value, plain=not getattr(node, "style", None))


class _TooLargeError(Exception):
    """A document beyond the limits above. Never leaves this file."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place


def _files_of(path: Path, problems: list[Problem]) -> list[Path]:
    try:
        if path.is_file() or not path.exists():
            return [path]
        if not path.is_dir():
            message = "is neither a file nor a directory; give a rule file or a directory"
            problems.append(Problem(file=str(path), message=message))
            return []
        return sorted(entry for entry in path.iterdir() if entry.is_file() and entry.name[0] != ".")
    except OSError as error:
        problems.append(_unreadable(path, error))
        return []


def _read(file: Path, problems: list[Problem]) -> bytes | None:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        problems.append(_unreadable(file, error))
        return None
    if len(content) > MAX_FILE_BYTES:
        message = f"is larger than {MAX_FILE_BYTES} bytes, so it is not a rule file; split it"
        problems.append(Problem(file=str(file), message=message))
        return None
    return content


def _unreadable(path: Path, error: OSError) -> Problem:
    return Problem(
        file=str(path),
        message=f"cannot be read ({error.strerror or error}); give a rule file or a directory",
    )
