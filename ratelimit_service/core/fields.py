"""Read typed fields from a map of a rule file, gathering every problem on the way.

A reader never stops at the first mistake: it notes it and answers with a default, so that one
pass over a file names everything that has to be mended.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from enum import Enum
from typing import TYPE_CHECKING, TypeVar
from unicodedata import category

from ratelimit_service.core.source import Mapping, Node, Place, Scalar, Sequence, kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from chassis.errors import Problem

_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"})
_FALSE = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"})
_INTEGER = re.compile(r"[-+]?(0x[0-9a-fA-F_]+|0o?[0-7_]+|0b[01_]+|[0-9][0-9_]*)")
_UINT32_MAX = 2**32 - 1

E_ = TypeVar("E_", bound=Enum)


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" where one of `known` is close to `word`, else ""."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def integer(text: str) -> int | None:
    """Return the integer YAML 1.1 reads in `text` (decimal, 0x, 0o, leading 0, 0b), or None."""
    if not _INTEGER.fullmatch(text):
        return None
    digits = text.replace("_", "").lower()
    unsigned = digits.lstrip("+-")
    if len(unsigned) > 1 and unsigned[0] == "0" and unsigned[1].isdigit():
        digits = digits.replace("0", "0o", 1)
    try:
        return int(digits, 0)
    except ValueError:
        return None


class Fields:
    """The fields of one map. `problems` is shared by all readers of a file."""

    def __init__(
        self, mapping: Mapping, *, known: tuple[str, ...], what: str, problems: list[Problem]
    ) -> None:
        self.place = mapping.place
        self.problems = problems
        self._values: dict[str, Node] = {}
        for key, value in mapping.pairs:
            self._admit(key, value, known, what)

    def _admit(self, key: Node, value: Node, known: tuple[str, ...], what: str) -> None:
        if not isinstance(key, Scalar) or key.is_null or (key.plain and _is_number(key.text)):
            self.note(key.place, f"config error, key is not of type string: {kind(key)}")
        elif key.plain and key.text == "<<":
            self.note(key.place, "merge keys (<<) are not read; write the fields out here")
        elif key.text not in known:
            hint = suggestion(key.text, known) or f"; {what} takes {', '.join(known)}"
            self.note(key.place, f"config error, unknown key '{key.text}'{hint}")
        elif key.text in self._values:
            self.note(key.place, f"key '{key.text}' stands twice here; keep one of the two")
        else:
            self._values[key.text] = value

    def note(self, place: Place, message: str) -> None:
        """Add a problem."""
        self.problems.append(place.problem(message))

    def where(self, name: str) -> Place:
        """Return where the value of `name` stands, or the map where there is none."""
        node = self._values.get(name)
        return self.place if node is None else node.place

    def has(self, name: str) -> bool:
        """Return whether `name` is given and is not null."""
        node = self._values.get(name)
        return node is not None and not (isinstance(node, Scalar) and node.is_null)

    def text(self, name: str) -> str:
        """Return the text of `name` as it stands in the file, "" where it is absent or null."""
        node = self._values.get(name)
        if node is None or (isinstance(node, Scalar) and node.is_null):
            return ""
        if not isinstance(node, Scalar):
            self.note(node.place, f"'{name}' must be text, not {kind(node)}")
            return ""
        if any(category(character) == "Cc" for character in node.text):
            self.note(node.place, f"'{name}' holds a control character; remove it")
        return node.text

    def flag(self, name: str) -> bool:
        """Return a boolean, False where it is absent."""
        text = self.text(name)
        if text in _TRUE:
            return True
        if text and text not in _FALSE:
            self.note(self.where(name), f"'{name}' is '{text}'; write true or false")
        return False

    def uint32(self, name: str) -> int | None:
        """Return a whole number from 0 to 4294967295, None where there is none."""
        if not self.has(name):
            return None
        text = self.text(name)
        value = integer(text)
        if value is None or not 0 <= value <= _UINT32_MAX:
            self.note(
                self.where(name),
                f"'{name}' is '{text}'; write a whole number from 0 to {_UINT32_MAX}",
            )
            return None
        return value

    def choice(self, name: str, options: type[E_], default: E_) -> E_:
        """Return the member of `options` whose value stands there, in any case."""
        text = self.text(name)
        if not text:
            return default
        for option in options:
            if option.value == text.lower():
                return option
        names = ", ".join(str(option.value) for option in options)
        self.note(self.where(name), f"'{name}' is '{text}'; write one of {names}")
        return default

    def mapping(self, name: str) -> Mapping | None:
        """Return a map, None where it is absent."""
        node = self._values.get(name)
        if node is None or (isinstance(node, Scalar) and node.is_null):
            return None
        if not isinstance(node, Mapping):
            self.note(node.place, f"'{name}' must be a map, not {kind(node)}")
            return None
        return node

    def maps(self, name: str) -> Iterator[Mapping]:
        """Yield the maps of the list `name`."""
        node = self._values.get(name)
        if node is None or (isinstance(node, Scalar) and node.is_null):
            return
        if not isinstance(node, Sequence):
            self.note(node.place, f"'{name}' must be a list of maps, not {kind(node)}")
            return
        for item in node.items:
            if isinstance(item, Mapping):
                yield item
            else:
                self.note(
                    item.place,
                    "config error, yaml file contains list of type other than map: "
                    f"{kind(item)}; write each item as '- key: ...'",
                )


def _is_number(text: str) -> bool:
    """Return whether YAML 1.1 reads the plain scalar as a number, which no key may be."""
    return bool(
        _INTEGER.fullmatch(text) or re.fullmatch(r"[-+]?(\d[\d_]*)?\.\d*([eE][-+]\d+)?", text)
    )
