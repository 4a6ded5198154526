"""What a bench is held to, and how it came out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A figure that is promised. Absolute ones were set on a machine twice as fast as some."""

    name: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the promise is kept."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def show(targets: Sequence[Target]) -> int:
    """Print each promise with what was measured; return 1 if one is broken, as an exit code."""
    print()
    for target in targets:
        sign = ">=" if target.at_least else "<="
        verdict = "ok" if target.is_met else "MISSED"
        print(f"{target.name:48}{target.value:12,.2f} {sign} {target.limit:<10,g}{verdict}")
    return 0 if all(target.is_met for target in targets) else 1
