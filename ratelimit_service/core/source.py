"""A parsed rule file as plain values that remember where they stand.

The core reads rules from these, so that it knows no YAML library, keeps every scalar as it was
written (`0123`, `yes`, `12:30` stay text) and can point at the line and column of any problem.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from chassis.errors import Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where something stands: file as shown to people, line and column from 1.

    Line 0: there are no lines, and the file's name says it all.
    """

    file: str
    line: int
    column: int

    def problem(self, message: str) -> Problem:
        """Return `message` as a problem found here."""
        return Problem(file=self.file, line=self.line, column=self.column, message=message)

    def seen_from(self, other: Place) -> str:
        """Return what a message about `other` calls this place."""
        if not self.line:
            return self.file
        return f"line {self.line}" if self.file == other.file else f"{self.file}:{self.line}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scalar:
    """One scalar: its text exactly as written, and whether it stood without quotes."""

    place: Place
    text: str
    plain: bool

    @property
    def is_null(self) -> bool:
        """Whether YAML reads it as null."""
        return self.plain and self.text in {"", "~", "null", "Null", "NULL"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Mapping:
    """Pairs in the order of the file; keys may be any node, as YAML allows."""

    place: Place
    pairs: tuple[tuple[Node, Node], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sequence:
    """Items in the order of the file."""

    place: Place
    items: tuple[Node, ...]


Node: TypeAlias = Scalar | Mapping | Sequence


def kind(node: Node) -> str:
    """Return what a person would call `node`."""
    if isinstance(node, Mapping):
        return "a map"
    if isinstance(node, Sequence):
        return "a list"
    return "nothing" if node.is_null else f"'{node.text}'"
