"""Rules from YAML files: read them, and turn each into the core's plain values.

Scalars stay as written (see core/source.py): PyYAML composes the node tree, whose marks say where
everything stands, and nothing is ever resolved to a number, a date or a boolean here.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from chassis.errors import ConfigError, Problem
from ratelimit_service.core.source import Mapping, Node, Place, Scalar, Sequence, kind
from ratelimit_service.storage import rule_sources

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ratelimit_service.core.rule import RuleSet
    from ratelimit_service.storage.rule_sources import Built

MAX_FILE_BYTES = 4 * 1024 * 1024  # some 50,000 rules; a larger file is not a rule file
MAX_BYTES = 16 * MAX_FILE_BYTES  # of all files together; they are in memory twice while they load
# An alias counts each time it is used: stops "billion laughs". 400 MiB while they are read.
MAX_NODES = 1_000_000
MAX_NESTING = 100  # 32 levels of descriptors, two nodes each, with room to spare
MAX_FILES = 10_000  # one a domain, and far more domains than an Envoy has listeners
MAX_FOLDERS_DEEP = 16  # folders in folders; symbolic links to folders are not followed

if TYPE_CHECKING:
    from yaml import SafeLoader as _Parser
else:
    _Parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Parser):
    """Composes nodes and resolves none of them, which saves a quarter of the time."""

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self._nodes_left = MAX_NODES

    def resolve(self, kind: type[yaml.Node], value: str, implicit: object) -> str:  # noqa: ARG002
        """Name a tag; nobody reads it."""
        return ""

    def descend_resolver(self, parent: yaml.Node | None, index: object) -> None:  # noqa: ARG002
        """Count a node: called for each, before it takes its room."""
        self._nodes_left -= 1
        if self._nodes_left < 0:
            raise _TooManyError

    def ascend_resolver(self) -> None:
        """Leave a node."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """Rule files as they were read at one moment: (name, content), and what could not be read."""

    files: tuple[tuple[str, bytes], ...]
    problems: tuple[Problem, ...]
    merge_domains: bool = False

    def build(self) -> RuleSet:
        """Return the rules in these files; raise ConfigError naming every problem."""
        built = self.built()
        if built.rules is None:
            raise ConfigError(built.problems)
        return built.rules

    def built(self) -> Built:
        """Make rules of these files, or say everything that is wrong with them."""
        problems = list(self.problems)
        documents = [parse(content, name, problems) for name, content in self.files]
        return rule_sources.build(
            documents, dict(self.files), problems, merge_domains=self.merge_domains
        )


def read(paths: Iterable[Path], *, dot_files: bool = False, merge_domains: bool = False) -> Sources:
    """Read rule files, and all files in directories of them and the directories below.

    As in the reference every file counts, whatever its ending. `dot_files`: also those, and
    folders, whose name begins with one dot. Two dots are Kubernetes's own: its volumes keep every
    file there once more. An empty directory gives rules that limit nothing. `merge_domains`: see
    core.rules.build.
    """
    files: list[tuple[str, bytes]] = []
    problems: list[Problem] = []
    finder = _Finder(problems, dot_files=dot_files)
    bytes_left = MAX_BYTES
    for file in (file for path in paths for file in finder.files_of(path)):
        content = _read(file, problems)
        if content is None:
            continue
        bytes_left -= len(content)
        if bytes_left < 0:
            message = f"with the files before it is more than {MAX_BYTES} bytes of rules"
            problems.append(Problem(file=str(file), message=message))
            break
        files.append((str(file), content))
    return Sources(files=tuple(files), problems=tuple(problems), merge_domains=merge_domains)


def read_runtime(
    directory: Path, *, watch_root: bool, dot_files: bool, merge_domains: bool = False
) -> Sources:
    """Read what the reference reads for RUNTIME_APPDIRECTORY, here `directory`.

    `watch_root` (RUNTIME_WATCH_ROOT): also what stands beside it under `<its name>.`, because the
    reference then goes by names in which a slash is a dot. `dot_files`: not
    RUNTIME_IGNOREDOTFILES.
    """
    paths = [directory]
    if watch_root:
        # What cannot be listed is told of when `directory` itself is read.
        with suppress(OSError):
            beside = sorted(directory.parent.iterdir())
            paths += [path for path in beside if path.name.startswith(f"{directory.name}.")]
    return read(paths, dot_files=dot_files, merge_domains=merge_domains)


def parse(content: bytes, name: str, problems: list[Problem]) -> Node | None:
    """Return the document in `content`, or None having noted what is wrong with it."""
    nodes = _compose(content, name, problems)
    if nodes is None:
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


def _compose(content: bytes, name: str, problems: list[Problem]) -> list[yaml.Node] | None:
    line = column = 0
    try:
        return list(yaml.compose_all(content, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        what = ", ".join(part for part in (error.context, error.problem) if part)
        said = f"error loading config file: not YAML: {what}"
    except yaml.reader.ReaderError as error:
        line, column = _place_of(content, error.position)
        said = f"error loading config file: not YAML text: {error.reason}"
    except _TooManyError:
        said = f"has more than {MAX_NODES} nodes; split the file"
    except RecursionError:  # of the parser in Python; the one in C has a bound
        said = f"nests deeper than {MAX_NESTING} levels; flatten it"
    problems.append(Problem(file=name, line=line, column=column, message=said))
    return None


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
            return Mapping(place=place, pairs=self._pairs(node, nesting_left - 1))
        if isinstance(node, yaml.SequenceNode):
            items = tuple(self._convert(item, nesting_left - 1) for item in node.value)
            return Sequence(place=place, items=items)
        # A plain scalar has no style; one quoted or a block ("|") is text whatever it says.
        return Scalar(place=place, text=node.value, plain=not getattr(node, "style", None))

    def _pairs(self, node: yaml.MappingNode, nesting_left: int) -> tuple[tuple[Node, Node], ...]:
        """Return the pairs of a map, and behind them those it merges in by `<<`.

        What the map says itself counts, and of several merged maps what the first says.
        """
        own: list[tuple[Node, Node]] = []
        merged: list[tuple[Node, Node]] = []
        for key, value in node.value:
            if _is_merge(key):
                merged += self._merged(self._convert(value, nesting_left))
            else:
                own.append((self._convert(key, nesting_left), self._convert(value, nesting_left)))
        names = {key.text for key, _ in own if isinstance(key, Scalar)}
        for key, value in merged:
            if isinstance(key, Scalar) and key.text not in names:
                names.add(key.text)
                own.append((key, value))
        return tuple(own)

    def _merged(self, value: Node) -> Iterator[tuple[Node, Node]]:
        for item in value.items if isinstance(value, Sequence) else (value,):
            if isinstance(item, Mapping):
                yield from item.pairs
            else:
                self._problems.append(
                    item.place.problem(f"'<<' merges a map, or a list of maps, not {kind(item)}")
                )


def _is_merge(key: yaml.Node) -> bool:
    return isinstance(key, yaml.ScalarNode) and key.value == "<<" and not key.style


class _TooManyError(Exception):
    """A document of more than MAX_NODES nodes. Never leaves this file."""


class _TooLargeError(Exception):
    """A document beyond the limits above. Never leaves this file."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place


class _Finder:
    """Finds the files that count as rules."""

    def __init__(self, problems: list[Problem], *, dot_files: bool) -> None:
        self._problems = problems
        self._hidden = ".." if dot_files else "."
        self._files_left = MAX_FILES

    def files_of(self, path: Path) -> list[Path]:
        """Return `path` if it is a file, else the files in it and below, by name."""
        try:
            if path.is_file() or not path.exists():
                return [path]
            if not path.is_dir():
                message = "is neither a file nor a directory; give a rule file or a directory"
                self._problems.append(Problem(file=str(path), message=message))
                return []
        except OSError as error:
            self._problems.append(_unreadable(path, error))
            return []
        found = list(self._below(path, MAX_FOLDERS_DEEP))
        if self._files_left < 0:
            message = f"holds more than {MAX_FILES} files, so it is not a directory of rules"
            self._problems.append(Problem(file=str(path), message=message))
        return found

    def _below(self, folder: Path, folders_left: int) -> Iterator[Path]:
        try:
            entries = sorted(folder.iterdir())
            for entry in entries:
                if self._files_left < 0:
                    return
                if entry.name.startswith(self._hidden):
                    continue
                # A link to nowhere is a rule file that is missing: it is told when it is read.
                if entry.is_file() or (entry.is_symlink() and not entry.exists()):
                    self._files_left -= 1
                    yield entry
                elif entry.is_dir() and not entry.is_symlink() and folders_left:
                    yield from self._below(entry, folders_left - 1)
        except OSError as error:
            self._problems.append(_unreadable(folder, error))


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
