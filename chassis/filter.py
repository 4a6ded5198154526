"""AIP-160 filters: text in, a tree of comparisons out, and every mistake with its place.

    tree = parse('status = SETTLED AND (amount > 100 OR account = "FR76")')

The tree knows no fields. Who owns them walks it and says what each comparison means; `violation`
makes the error for one that means nothing, with the place of the offending word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedInput, UnexpectedToken, VisitError

from chassis.errors import FieldViolation, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_LENGTH = 4096  # characters; what people and consoles write is well under 500
MAX_COMPARISONS = 100  # each costs work for every row looked at
MAX_DEPTH = 32  # parentheses and NOTs within each other

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in the filter's text: line and column from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as written; `quoted` tells "5" from 5."""

    text: str
    quoted: bool
    spot: Spot


@dataclass(frozen=True, slots=True)
class Comparison:
    """`field operator value`; operator one of = != < <= > >= and : (has)."""

    field: str
    operator: str
    value: Literal
    spot: Spot


@dataclass(frozen=True, slots=True)
class Bare:
    """A value alone, which AIP-160 lets a service match as it likes."""

    value: Literal


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of a term."""

    term: Filter


@dataclass(frozen=True, slots=True)
class And:
    """All of at least two terms."""

    terms: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of at least two terms."""

    terms: tuple[Filter, ...]


Filter: TypeAlias = Comparison | Bare | Not | And | Or


def parse(text: str) -> Filter | None:
    """Return the tree of `text`, None if it is blank; InvalidRequest names the place otherwise."""
    if len(text) > MAX_LENGTH:
        raise violation(None, f"is longer than {MAX_LENGTH} characters; ask for less at once")
    if not text.strip():
        return None
    _check_nesting(text)
    try:
        tree: Filter = _Trees().transform(_GRAMMAR.parse(text))
    except VisitError as error:
        if isinstance(error.orig_exc, InvalidRequest):
            raise error.orig_exc from None
        raise
    except UnexpectedInput as error:
        raise _unexpected(text, error) from error
    if _comparisons(tree) > MAX_COMPARISONS:
        raise violation(None, f"has more than {MAX_COMPARISONS} comparisons; ask for less at once")
    return tree


def violation(spot: Spot | None, description: str) -> InvalidRequest:
    """Return the error for a filter: the violated field is `filter`, the text has the place."""
    where = f"{spot}: " if spot else ""
    return InvalidRequest(
        f"filter: {where}{description}",
        violations=(FieldViolation(field="filter", description=f"{where}{description}"),),
    )


class _Trees(Transformer[Any, Any]):
    """Lark's tree into ours."""

    def expression(self, terms: list[Filter]) -> Filter:
        return And(_flat(And, terms))

    sequence = expression

    def factor(self, terms: list[Filter]) -> Filter:
        return Or(_flat(Or, terms))

    def negation(self, words: list[Any]) -> Filter:
        return Not(words[1])

    def path(self, words: list[Token]) -> Literal:
        text = ".".join(_text(word) for word in words)
        return Literal(text, quoted=False, spot=_spot(words[0]))

    def comparable(self, words: list[Any]) -> Literal:
        return _literal(words[0])

    def comparison(self, words: list[Any]) -> Filter:
        field, operator, value = words
        if field.quoted:
            raise violation(field.spot, f"a field's name goes without quotes: {field.text}")
        return Comparison(field.text, str(operator), _literal(value), field.spot)

    def bare(self, words: list[Any]) -> Filter:
        return Bare(words[0])


def _flat(kind: type[And | Or], terms: Iterable[Filter]) -> tuple[Filter, ...]:
    """Return the terms, those of nested ones of the same kind in their place."""
    flat: list[Filter] = []
    for term in terms:
        if isinstance(term, And | Or) and isinstance(term, kind):
            flat += term.terms
        else:
            flat.append(term)
    return tuple(flat)


def _literal(word: Literal | Token) -> Literal:
    if isinstance(word, Literal):
        return word
    return Literal(_text(word), quoted=True, spot=_spot(word))


def _text(word: Token) -> str:
    return _ESCAPE.sub(r"\1", word[1:-1]) if word.type == "STRING" else str(word)


def _spot(word: Token) -> Spot:
    return Spot(word.line or 1, word.column or 1)


def _check_nesting(text: str) -> None:
    """Refuse what nests too deep before a recursive walk meets it."""
    bare = re.sub(r""""(\\.|[^"\\])*"|'(\\.|[^'\\])*'""", "", text)
    depth = 0
    for character in bare:
        depth += (character == "(") - (character == ")")
        if depth > MAX_DEPTH:
            raise violation(None, f"nests deeper than {MAX_DEPTH} parentheses; write it flat")


def _comparisons(tree: Filter) -> int:
    match tree:
        case And(terms) | Or(terms):
            return sum(_comparisons(term) for term in terms)
        case Not(term):
            return _comparisons(term)
        case _:
            return 1


def _unexpected(text: str, error: UnexpectedInput) -> InvalidRequest:
    spot = Spot(error.line, error.column) if error.line and error.line > 0 else None
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        lines = text.split("\n")
        spot = Spot(len(lines), len(lines[-1]) + 1)
        if text.count("(") > text.count(")"):
            return violation(spot, "a parenthesis is not closed")
        return violation(spot, "it ends too early; a comparison is FIELD OPERATOR VALUE")
    rest = text[error.pos_in_stream :]
    if rest[:1] in ('"', "'") and rest.count(rest[0]) == 1:
        return violation(spot, "the quote that opens here is not closed")
    word = (rest.split() or [""])[0][:40]
    return violation(
        spot,
        f"'{word}' does not fit here; write FIELD = VALUE, joined by AND, OR, NOT and "
        "parentheses, texts in double quotes",
    )


_GRAMMAR = Lark(
    Path(__file__).with_name("filter.lark").read_text(encoding="utf-8"),
    parser="lalr",
    propagate_positions=True,
)
