"""Read typed fields from a map of a rule file, gathering every problem on the way.

A reader never stops at the first mistake: it notes it and answers with a default, so that one
pass over a file names everything that has to be mended.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar
from unicodedata import category

from ratelimit_service.core.source import Mapping, Node, Place, Scalar, Sequence, kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from chassis.errors import Problem

_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"})
_FALSE = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"})
_INTEGER = re.compile(r"[-+]?(0x[0-9a-fA-F_]+|0o?[0-7_]+|0b[01_]+|[0-9][0-9_]*)")
# A level is three messages of a protobuf Struct, and a hundred messages deep Envoy stops reading.
MAX_TREE_DEPTH = 16
_UINT32_MAX = 2**32 - 1
_DOUBLE_MAX = sys.float_info.max

_DECIMAL = re.compile(r"[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?")

# Keys that envoyproxy/ratelimit knows, and where it reads them. Elsewhere it lets them stand.
_FILE = "at the top of the file"
_DESCRIPTOR = "beside the 'key' of a descriptor"
_LIMIT = "in a rate_limit"
_HOMES = {
    "domain": _FILE,
    "key": _DESCRIPTOR,
    "value": _DESCRIPTOR,
    "descriptors": _DESCRIPTOR,
    "rate_limit": _DESCRIPTOR,
    "shadow_mode": _DESCRIPTOR,
    "quota_mode": _DESCRIPTOR,
    "detailed_metric": _DESCRIPTOR,
    "value_to_metric": _DESCRIPTOR,
    "share_threshold": _DESCRIPTOR,
    "metadata": _DESCRIPTOR,
    "unit": _LIMIT,
    "requests_per_unit": _LIMIT,
    "unlimited": _LIMIT,
    "name": _LIMIT,
    "replaces": _LIMIT,
}

E_ = TypeVar("E_", bound=Enum)


@dataclass(slots=True)
class Findings:
    """What was found on the way: `problems` are wrong, `warnings` are hardly meant."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


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
    """The fields of one map. `findings` is shared by all readers.

    `ours`: envoyproxy/ratelimit knows no such map, so nothing need be let pass in it.
    """

    def __init__(
        self,
        mapping: Mapping,
        *,
        known: tuple[str, ...],
        what: str,
        findings: Findings,
        ours: bool = False,
    ) -> None:
        self.place = mapping.place
        self.findings = findings
        self._homes = {} if ours else _HOMES
        self._values: dict[str, Node] = {}
        for key, value in mapping.pairs:
            self._admit(key, value, known, what)

    def _admit(self, key: Node, value: Node, known: tuple[str, ...], what: str) -> None:
        if isinstance(key, Scalar) and key.text in known:
            if key.text in self._values:
                self.note(key.place, f"key '{key.text}' stands twice here; keep one of the two")
            else:
                self._values[key.text] = value
        elif not isinstance(key, Scalar) or key.is_null or (key.plain and _is_number(key.text)):
            self.note(key.place, f"config error, key is not of type string: {kind(key)}")
        elif key.text in self._homes:
            home = self._homes[key.text]
            self.warn(key.place, f"'{key.text}' has no effect in {what}; it is read {home}")
        else:
            hint = suggestion(key.text, known) or f"; {what} takes {', '.join(known)}"
            self.note(key.place, f"config error, unknown key '{key.text}'{hint}")

    def note(self, place: Place, message: str) -> None:
        """Add a problem."""
        self.findings.problems.append(place.problem(message))

    def warn(self, place: Place, message: str) -> None:
        """Add a warning."""
        self.findings.warnings.append(place.problem(message))

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
        if not node.text.isprintable() and any(
            category(character) == "Cc" for character in node.text
        ):
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

    def whole(self, name: str, *, least: int = 0, most: int = _UINT32_MAX) -> int | None:
        """Return a whole number within bounds, None where there is none."""
        if not self.has(name):
            return None
        text = self.text(name)
        value = integer(text)
        if value is None or not least <= value <= most:
            self.note(
                self.where(name),
                f"'{name}' is '{text}'; write a whole number from {least} to {most}",
            )
            return None
        return value

    def share(self, name: str) -> float | None:
        """Return a number above 0 and up to 1, None where there is none."""
        if not self.has(name):
            return None
        text = self.text(name)
        value = float(text.replace("_", "")) if _DECIMAL.fullmatch(text) else 0.0
        if not 0 < value <= 1:
            self.note(self.where(name), f"'{name}' is '{text}'; write a number above 0, up to 1")
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

    def tree(self, name: str) -> dict[str, Any] | None:
        """Return a map as plain JSON values, None where it is absent or empty.

        Plain scalars are read as YAML 1.1 has them: null, true, 5, 0x1F, 1.5; all others are text.
        """
        mapping = self.mapping(name)
        return None if mapping is None else self._json_map(mapping, MAX_TREE_DEPTH) or None

    def _json_map(self, mapping: Mapping, levels_left: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in mapping.pairs:
            if not isinstance(key, Scalar):
                self.note(key.place, f"config error, key is not of type string: {kind(key)}")
            elif key.text in found:
                self.note(key.place, f"key '{key.text}' stands twice here; keep one of the two")
            else:
                found[key.text] = self._json(value, levels_left - 1)
        return found

    def _json(self, node: Node, levels_left: int) -> Any:
        if isinstance(node, Scalar):
            value = _json_scalar(node)
            if isinstance(value, float | int) and not abs(value) <= _DOUBLE_MAX:
                self.note(node.place, f"'{node.text}' is beyond what JSON can hold; quote it")
            return value
        if not levels_left:
            self.note(node.place, f"nests deeper than {MAX_TREE_DEPTH} levels; flatten it")
            return None
        if isinstance(node, Mapping):
            return self._json_map(node, levels_left)
        return [self._json(item, levels_left - 1) for item in node.items]

    def items(self, name: str) -> tuple[Node, ...] | None:
        """Return what a list holds, or the one scalar in its place; None where it is absent."""
        node = self._values.get(name)
        if node is None or (isinstance(node, Scalar) and node.is_null):
            return None
        if isinstance(node, Mapping):
            self.note(node.place, f"'{name}' must be a list, not {kind(node)}")
            return None
        return node.items if isinstance(node, Sequence) else (node,)

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


def _json_scalar(node: Scalar) -> str | float | bool | None:
    if node.is_null:
        return None
    if not node.plain:
        return node.text
    if node.text in _TRUE or node.text in _FALSE:
        return node.text in _TRUE
    number: float | None = integer(node.text)
    if number is None and _DECIMAL.fullmatch(node.text):
        number = float(node.text.replace("_", ""))
    return node.text if number is None else number


def _is_number(text: str) -> bool:
    """Return whether YAML 1.1 reads the plain scalar as a number, which no key may be."""
    return bool(
        _INTEGER.fullmatch(text) or re.fullmatch(r"[-+]?(\d[\d_]*)?\.\d*([eE][-+]\d+)?", text)
    )
