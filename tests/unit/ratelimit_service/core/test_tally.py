"""What is counted of each rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratelimit_service.core import tally
from ratelimit_service.core.tally import Tallies

if TYPE_CHECKING:
    import pytest


def test_keys_that_callers_invent_end_in_the_tally_of_their_rule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tally, "MAX_TALLIES", 3)
    tallies = Tallies()
    for value in range(10):
        tallies.of(f"d.user_{value}", "d.user").total_hits += 1
    assert len(tallies.by_key) == 4
    assert tallies.by_key["d.user"].total_hits == 7
    assert tallies.of("d.user_1", "d.user").total_hits == 1
