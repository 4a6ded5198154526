"""What a rule has decided, as plain integers for the metrics.

The five numbers are envoyproxy/ratelimit's, in hits (src/limiter/base_limiter.go:159-188), with two
differences: a call that is refused is over limit whole, because it takes nothing here; and hits
near the limit, beyond the near-limit share of it, are within it too.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

# Rules have few keys; those with detailed_metric or value_to_metric have as many as their values,
# which a caller may invent. Beyond this many they share the tally of their rule.
MAX_TALLIES = 10_000


@dataclass(slots=True)
class Tally:
    """Hits of one key, from the start of the process."""

    total_hits: int = 0
    over_limit: int = 0
    near_limit: int = 0
    within_limit: int = 0
    shadow_mode: int = 0


NUMBERS = tuple(number.name for number in fields(Tally))


class Tallies:
    """The tallies of all keys; they outlive the rules that a reload replaces."""

    def __init__(self) -> None:
        self.by_key: dict[str, Tally] = {}

    def of(self, key: str, rule: str) -> Tally:
        """Return the tally of `key`, or that of its rule where there are too many keys."""
        tally = self.by_key.get(key)
        if tally is None:
            if len(self.by_key) >= MAX_TALLIES and key != rule:
                return self.of(rule, rule)
            tally = self.by_key[key] = Tally()
        return tally
