"""Descriptors as they are typed, and limits in words."""

from __future__ import annotations

import pytest

from sluice.limiter import allowance, descriptors_of
from sluice.outcome import WrongUsage


def test_a_descriptor_is_typed_as_pairs() -> None:
    first, second = descriptors_of(["a=b", "path=/x=y,empty="], 3)
    assert [(one.key, one.value) for one in first.entries] == [("a", "b")]
    assert [(one.key, one.value) for one in second.entries] == [("path", "/x=y"), ("empty", "")]
    assert first.hits_addend.value == second.hits_addend.value == 3


@pytest.mark.parametrize("text", ["", "alice", "=x", "a=b,", "a=b,,c=d", ","])
def test_what_is_no_descriptor_is_wrong_usage(text: str) -> None:
    with pytest.raises(WrongUsage, match="write key=value"):
        descriptors_of([text], 1)


@pytest.mark.parametrize(
    ("limit", "unit", "multiplier", "said"),
    [
        (5, "MINUTE", 1, "5 a minute"),
        (3, "UNIT_HOUR", 1, "3 an hour"),
        (100, "UNIT_MINUTE", 5, "100 per 5 minutes"),
    ],
)
def test_a_limit_in_words(limit: int, unit: str, multiplier: int, said: str) -> None:
    assert allowance(limit, unit, multiplier) == said
