"""Patterns with `*`, each `*` standing for any characters, none included.

The first pattern in the order of the files wins, as envoyproxy/ratelimit has it. Patterns are found
by what stands before their first `*` and behind their last, so a level with a thousand of them
costs what one with ten does, unless they all begin and end alike. No regular expressions: a value
of a caller must not be able to make one backtrack.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ratelimit_service.core.rule import Branch


def matches(parts: tuple[str, ...], text: str) -> bool:
    """Return whether `text` is the literal `parts` of a pattern with anything between them."""
    if len(parts) == 1:
        return parts[0] == text
    start, end = len(parts[0]), len(text) - len(parts[-1])
    if start > end or not text.startswith(parts[0]) or not text.endswith(parts[-1]):
        return False
    for part in parts[1:-1]:
        found = text.find(part, start, end)
        if found < 0:
            return False
        start = found + len(part)
    return True


class _Entry(NamedTuple):
    order: int
    parts: tuple[str, ...]
    branch: Branch


@dataclass(slots=True)
class _Patterns:
    """Patterns by their ends: the texts before the first `*` and behind the last."""

    by_ends: dict[tuple[str, str], list[_Entry]] = field(default_factory=dict)
    lengths: dict[tuple[int, int], None] = field(default_factory=dict)  # of ends; an ordered set

    def add(self, pattern: str, order: int, branch: Branch) -> None:
        parts = tuple(pattern.split("*"))
        self.lengths[len(parts[0]), len(parts[-1])] = None
        self.by_ends.setdefault((parts[0], parts[-1]), []).append(_Entry(order, parts, branch))

    def first(self, text: str, best: _Entry | None = None) -> _Entry | None:
        """Return the first of the patterns that match and of `best`, None if there is neither."""
        for head, tail in self.lengths:
            for entry in self.by_ends.get((text[:head], text[len(text) - tail :]), ()):
                if best is not None and best.order < entry.order:
                    break
                if matches(entry.parts, text):
                    best = entry
                    break
        return best


@dataclass(slots=True)
class Wildcards:
    """The wildcard branches of one level.

    A `*` in the value alone leaves the key to be met exactly, so that no value runs over into
    another's key. With a `*` in the key the pattern is `key_value`, or the key where there is no
    value, and stands for the whole text `key_value` of an entry.
    """

    size: int = 0
    _by_key: dict[str, _Patterns] = field(default_factory=dict)
    _joined: _Patterns | None = None

    def add(self, branch: Branch) -> None:
        """Add the last in the order of the files."""
        if "*" not in branch.key:
            patterns = self._by_key.setdefault(branch.key, _Patterns())
            patterns.add(branch.value or "", self.size, branch)
        else:
            self._joined = self._joined or _Patterns()
            self._joined.add(branch.pattern, self.size, branch)
        self.size += 1

    def find(self, key: str, value: str) -> Branch | None:
        """Return the first branch that an entry meets."""
        patterns = self._by_key.get(key)
        best = None if patterns is None else patterns.first(value)
        if self._joined is not None:
            best = self._joined.first(f"{key}_{value}", best)
        return None if best is None else best.branch

    def covering(self, branch: Branch) -> Branch | None:
        """Return the wildcard that takes everything `branch`, one of the others, could match."""
        if "*" not in branch.key:
            found = self.find(branch.key, _any_text(branch.value or "*"))
        elif self._joined is not None:
            entry = self._joined.first(_any_text(branch.pattern))
            found = None if entry is None else entry.branch
        return None if found is branch else found


def _any_text(pattern: str) -> str:
    # What no literal holds can only be met by a `*`: so whoever matches this, matches all that
    # `pattern` does.
    return pattern.replace("*", "\udfff")
