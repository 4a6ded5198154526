"""The page of rules says what the code reads, and its examples are good ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ratelimit_service.core import allowances, rules, shifts
from ratelimit_service.core.limit import Algorithm, OnStoreFailure, Unit
from ratelimit_service.storage.rules_file import Sources

PAGE = (Path(__file__).parents[2] / "docs" / "rules.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
WORDS = [
    *rules._DESCRIPTOR_KEYS,
    *allowances._LIMIT_KEYS,
    *shifts.SHIFT_KEYS,
    *[option.value for option in (*Algorithm, *OnStoreFailure)],
    *[unit.name.lower() for unit in Unit],
]


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_is_read_without_a_doubt(text: str) -> None:
    built = Sources(files=(("example", text.encode()),), problems=()).build()
    assert built.rules()
    assert not built.warnings


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 2


@pytest.mark.parametrize("word", sorted(set(WORDS)))
def test_every_word_is_told_of(word: str) -> None:
    assert f"`{word}`" in PAGE
