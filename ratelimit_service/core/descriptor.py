"""What a caller asks: descriptors of (key, value) entries, and how many hits each stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from ratelimit_service.core.limit import Limit

Entries: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(kw_only=True, slots=True)  # not frozen: that triples the cost of making one
class Descriptor:
    """One descriptor. `hits` 0 only looks, below 0 gives back; `override` replaces the rule."""

    entries: Entries
    hits: int = 1
    override: Limit | None = None

    @property
    def size(self) -> int:
        """The characters of all keys and values."""
        return sum([len(key) + len(value) for key, value in self.entries])
