"""AIP-160 filters: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import InvalidRequest
from chassis.filter import (
    MAX_COMPARISONS,
    MAX_DEPTH,
    MAX_LENGTH,
    And,
    Bare,
    Comparison,
    Filter,
    Not,
    Or,
    parse,
)


def show(tree: Filter | None) -> str:
    """Write a tree with every parenthesis."""
    match tree:
        case Comparison():
            value = f'"{tree.value.text}"' if tree.value.quoted else tree.value.text
            return f"{tree.field}{tree.operator}{value}"
        case Bare(value):
            return f"?{value.text}"
        case Not(term):
            return f"!{show(term)}"
        case And(terms):
            return f"({' & '.join(map(show, terms))})"
        case Or(terms):
            return f"({' | '.join(map(show, terms))})"
        case None:
            return ""


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("", ""),
        ("  \n ", ""),
        ("a = 1", "a=1"),
        ("a=1", "a=1"),
        ("a != 1", "a!=1"),
        ('a >= "x y"', 'a>="x y"'),
        ("a > 'x'", 'a>"x"'),
        ("tags:blue", "tags:blue"),
        ("a.b.c = 1", "a.b.c=1"),
        ("a = 1 AND b = 2 AND c = 3", "(a=1 & b=2 & c=3)"),
        ("a = 1 AND b = 2 OR c = 3", "(a=1 & (b=2 | c=3))"),
        ("a = 1 OR b = 2 AND c = 3", "((a=1 | b=2) & c=3)"),
        ("a = 1 b = 2", "(a=1 & b=2)"),
        ("(a = 1 AND b = 2) OR c = 3", "((a=1 & b=2) | c=3)"),
        ("(a=1)AND(b=2)", "(a=1 & b=2)"),
        ("NOT a = 1", "!a=1"),
        ("-a = 1", "!a=1"),
        ("NOT(a = 1 OR b = 2)", "!(a=1 | b=2)"),
        ("a = -5", "a=-5"),
        ("a <= -1.5", "a<=-1.5"),
        ("android = 1 AND ORDER = 2 OR NOTE = 3", "(android=1 & (ORDER=2 | NOTE=3))"),
        ("account = FR76-33", "account=FR76-33"),
        (r'a = "say \"hi\" \\"', 'a="say "hi" \\"'),
        ("prod", "?prod"),
    ],
)
def test_meanings(text: str, meaning: str) -> None:
    assert show(parse(text)) == meaning


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("a =", "line 1, column 4", "ends too early"),
        ("a = 1 AND", "line 1, column 10", "ends too early"),
        ("= 3", "line 1, column 1", "does not fit"),
        ("AND a = 1", "line 1, column 1", "does not fit"),
        ("a = 1 OR OR b = 2", "line 1, column 10", "does not fit"),
        ("a == 1", "line 1, column 4", "does not fit"),
        ('a = "x', "line 1, column 5", "not closed"),
        ("(a = 1", "line 1, column 7", "not closed"),
        ("a = 1)", "line 1, column 6", "does not fit"),
        ("a = 1\nAND b = !", "line 2, column 9", "does not fit"),
        ('"a" = 1', "line 1, column 1", "without quotes"),
        ("a = 2026-01-01T00:00:00Z", "line 1, column 18", "double quotes"),
        ("a = NOT", "line 1, column 5", "does not fit"),
        ("a = 1,2", "line 1, column 6", "does not fit"),
        ("a(b) = 1", "line 1, column 6", "does not fit"),
    ],
)
def test_mistakes_have_a_place(text: str, place: str, hint: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(text)
    (violation,) = caught.value.violations
    assert violation.field == "filter"
    assert place in violation.description
    assert hint in violation.description


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a=1 " * MAX_LENGTH, f"longer than {MAX_LENGTH}"),
        ("a=1 " * (MAX_COMPARISONS + 1), f"more than {MAX_COMPARISONS}"),
        ("(" * (MAX_DEPTH + 1) + "a=1" + ")" * (MAX_DEPTH + 1), f"deeper than {MAX_DEPTH}"),
    ],
)
def test_limits(text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        parse(text)


@given(st.text(alphabet="ab=<>!:()\"'. -ANDORT15\\\n", max_size=40))
def test_any_text_is_a_tree_or_an_error_with_a_place(text: str) -> None:
    try:
        parse(text)
    except InvalidRequest as error:
        assert error.violations[0].field == "filter"  # noqa: PT017  both outcomes are right
