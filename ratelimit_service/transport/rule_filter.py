"""AIP-160 filters over a protobuf message, field by field (see chassis/filter.py).

A filter is checked against the message's descriptor once, so that a mistake is told even where
there is nothing to filter; then it is a function from a message to yes or no. Texts take `=` and
`!=`, with `*` at either end for any characters, and `:` for "contains"; numbers all comparisons;
switches and enum values `=` and `!=`, values by their short names; lists of texts take `:`.
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor

from chassis.filter import And, Bare, Comparison, Not, Or, parse, violation

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.descriptor import Descriptor, EnumDescriptor
    from google.protobuf.message import Message

    from chassis.filter import Filter, Literal

Test: TypeAlias = "Callable[[Message], bool]"

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_WHOLE = re.compile(r"-?[0-9]{1,19}")
_NUMBERS = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64}


def compiled(text: str, kind: Any) -> Test:
    """Return what `text` asks of messages of `kind`; raise InvalidRequest naming the place."""
    tree = parse(text)
    if tree is None:
        return lambda _: True
    return _compiled(tree, kind)


def _compiled(tree: Filter, kind: Descriptor) -> Test:
    match tree:
        case And(terms):
            every = [_compiled(term, kind) for term in terms]
            return lambda message: all(test(message) for test in every)
        case Or(terms):
            some = [_compiled(term, kind) for term in terms]
            return lambda message: any(test(message) for test in some)
        case Not(term):
            inner = _compiled(term, kind)
            return lambda message: not inner(message)
        case Bare(value):
            raise violation(
                value.spot, f"'{value.text}' alone is no comparison; write FIELD = {value.text}"
            )
        case Comparison():
            return _comparison(tree, kind)


def _comparison(asked: Comparison, kind: Descriptor) -> Test:
    field = kind.fields_by_name.get(asked.field)
    comparable = {name: one for name, one in kind.fields_by_name.items() if _is_comparable(one)}
    if field is None or field.name not in comparable:
        raise violation(
            asked.spot, f"there is no field '{asked.field}' to filter by; {', '.join(comparable)}"
        )
    name, sign, value = field.name, asked.operator, asked.value
    if field.is_repeated:
        _allow(asked, ":")
        return lambda message: value.text in getattr(message, name)
    if field.enum_type is not None:
        _allow(asked, "=", "!=")
        number = _number_of(asked, field.enum_type)
        return lambda message: _ORDER[sign](getattr(message, name), number)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        _allow(asked, "=", "!=")
        if value.quoted or value.text not in ("true", "false"):
            raise violation(value.spot, f"'{name}' is true or false, not {_shown(value)}")
        wanted = value.text == "true"
        return lambda message: _ORDER[sign](getattr(message, name), wanted)
    if field.cpp_type in _NUMBERS:
        _allow(asked, *_ORDER)
        whole = _whole(asked)
        return lambda message: _ORDER[sign](getattr(message, name), whole)
    return _text(asked)


def _is_comparable(field: FieldDescriptor) -> bool:
    if field.message_type is not None:
        return False
    return not field.is_repeated or field.cpp_type == FieldDescriptor.CPPTYPE_STRING


def _text(asked: Comparison) -> Test:
    _allow(asked, "=", "!=", ":")
    name, wanted = asked.field, asked.value.text
    if asked.operator == ":":
        return lambda message: wanted in getattr(message, name)
    start, end = wanted.startswith("*"), wanted.endswith("*") and len(wanted) > 1
    core = wanted[1 if start else 0 : -1 if end else None]

    def equal(message: Message) -> bool:
        text: str = getattr(message, name)
        if start and end:
            return core in text
        if start:
            return text.endswith(core)
        return text.startswith(core) if end else text == core

    return equal if asked.operator == "=" else lambda message: not equal(message)


def _allow(asked: Comparison, *signs: str) -> None:
    if asked.operator not in signs:
        raise violation(
            asked.spot, f"'{asked.field}' takes {' '.join(signs)}, not {asked.operator}"
        )


def _whole(asked: Comparison) -> int:
    value = asked.value
    if value.quoted or not _WHOLE.fullmatch(value.text):
        raise violation(value.spot, f"'{asked.field}' is a whole number, not {_shown(value)}")
    return int(value.text)


def _shown(value: Literal) -> str:
    return f'"{value.text}"' if value.quoted else f"'{value.text}'"


def _number_of(asked: Comparison, kind: EnumDescriptor) -> int:
    prefix = kind.values[0].name.removesuffix("UNSPECIFIED")
    numbers = {value.name.removeprefix(prefix): value.number for value in kind.values}
    found = numbers.get(asked.value.text)
    if found is None:
        raise violation(
            asked.value.spot, f"'{asked.value.text}' is no {asked.field}; {', '.join(numbers)}"
        )
    return found
