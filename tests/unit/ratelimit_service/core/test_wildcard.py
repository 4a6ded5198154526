"""Patterns with `*`: what they match, which of several wins, and which is never met."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_service.core.rule import Branch
from ratelimit_service.core.source import Place
from ratelimit_service.core.wildcard import Wildcards, matches

HERE = Place(file="f", line=1, column=1)
patterns = st.text(alphabet="ab_*", max_size=6).filter(lambda text: "*" in text)
texts = st.text(alphabet="ab_", max_size=8)


def oracle(pattern: str, text: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


def wildcards(*pairs: tuple[str, str | None]) -> tuple[Wildcards, list[Branch]]:
    branches = [Branch(path="", place=HERE, key=key, value=value) for key, value in pairs]
    found = Wildcards()
    for branch in branches:
        found.add(branch)
    return found, branches


@given(patterns, texts)
def test_a_pattern_matches_what_the_regular_expression_does(pattern: str, text: str) -> None:
    assert matches(tuple(pattern.split("*")), text) == oracle(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text", "matched"),
    [
        ("*", "", True),
        ("*", "a\nb", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a**b", "ab", True),
        ("/api/*/v1", "/api//v1", True),
        ("/api/*/v1", "/api/v1", False),
        ("a.c*", "abc", False),
        ("*b*b*", "aba", False),
        ("*", "*", True),
    ],
)
def test_patterns(pattern: str, text: str, matched: bool) -> None:
    assert matches(tuple(pattern.split("*")), text) is matched


@given(st.lists(patterns, max_size=6), texts)
def test_the_first_in_the_order_of_the_files_wins(values: list[str], text: str) -> None:
    found, branches = wildcards(*[("k", value) for value in values])
    expected = [branch for branch in branches if oracle(branch.value or "", text)]
    assert found.find("k", text) is (expected[0] if expected else None)
    assert found.find("kk", text) is None


keys = st.text(alphabet="ab_*", min_size=1, max_size=4)
pairs = st.tuples(keys, st.none() | st.text(alphabet="ab_*", min_size=1, max_size=4)).filter(
    lambda pair: "*" in pair[0] or (pair[1] is not None and "*" in pair[1])
)


@given(st.lists(pairs, max_size=6), st.text(alphabet="ab_", max_size=4), texts)
def test_a_star_in_the_key_stands_for_key_and_value_together(
    several: list[tuple[str, str | None]], key: str, value: str
) -> None:
    def expected(branch: Branch) -> bool:
        if "*" in branch.key:
            return oracle(branch.pattern, f"{key}_{value}")
        return branch.key == key and oracle(branch.value or "", value)

    found, branches = wildcards(*several)
    met = [branch for branch in branches if expected(branch)]
    assert found.find(key, value) is (met[0] if met else None)


@given(st.lists(patterns, min_size=1, max_size=5), st.lists(texts, max_size=30))
def test_what_is_covered_is_never_met(values: list[str], asked: list[str]) -> None:
    found, branches = wildcards(*[("k", value) for value in values])
    met = {id(found.find("k", text)) for text in asked}
    for branch in branches:
        cover = found.covering(branch)
        assert cover is None or id(branch) not in met


@pytest.mark.parametrize(
    ("story", "pairs", "covered"),
    [
        ("the wider first", [("k", "a*"), ("k", "ab*")], [1]),
        ("the narrower first", [("k", "ab*"), ("k", "a*")], []),
        ("anything", [("k", "*"), ("k", "*b"), ("k", "a*c*b")], [1, 2]),
        ("of another key", [("k", "*"), ("l", "a*")], []),
        ("only partly", [("k", "a*"), ("k", "*b")], []),
        ("a star in the key", [("k*", None), ("k", "a*"), ("kk", "*")], [1, 2]),
        ("not by the values of one key", [("k", "*"), ("k*", None)], []),
        ("stars do not make it wider", [("k", "a*b"), ("k", "a**b")], [1]),
    ],
)
def test_covering(story: str, pairs: list[tuple[str, str | None]], covered: list[int]) -> None:
    found, branches = wildcards(*pairs)
    numbers = [number for number, branch in enumerate(branches) if found.covering(branch)]
    assert numbers == covered, story


@pytest.mark.parametrize("form", ["/{:04}/*", "*.{:04}.example.com", "a*b{:04}"])
def test_a_thousand_patterns_are_looked_up_as_ten_are(form: str) -> None:
    few, _ = wildcards(*[("k", form.format(number)) for number in range(10)])
    many, _ = wildcards(*[("k", form.format(number)) for number in range(1000)])
    met, unmet = form.format(9).replace("*", "x"), form.replace("*", "x")

    def cost(found: Wildcards) -> float:
        started = time.perf_counter()
        for _ in range(100):
            assert found.find("k", met) is not None
            assert found.find("k", unmet) is None
        return time.perf_counter() - started

    # A scan would cost a hundred times as much; what a busy machine adds is left out by the least.
    assert min(cost(many) for _ in range(10)) < 5 * min(cost(few) for _ in range(10))


def test_a_hostile_value_costs_no_more_than_its_length() -> None:
    parts = ("", *["a"] * 8, "b")
    started = time.perf_counter()
    assert not matches(parts, "a" * 1_000_000)
    assert time.perf_counter() - started < 1
