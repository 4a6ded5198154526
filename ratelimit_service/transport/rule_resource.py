"""RateLimitConfig resources -> the documents that rules are built from (rls_conf.proto).

One builder checks rules, whether they were written in YAML or came from a management server. So a
resource becomes the nodes that a YAML file with its content would give. What protobuf cannot tell
from "not given" (an empty name, a false flag) is left out, as is what means nothing where it
stands: Envoy Gateway sets shadow_mode on levels that have no limit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from chassis.errors import Problem
from ratelimit_service.core.source import Mapping, Node, Place, Scalar, Sequence
from wire.ratelimit.config.ratelimit.v3 import rls_conf_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf import struct_pb2

TYPE_URL = "type.googleapis.com/" + rls_conf_pb2.RateLimitConfig.DESCRIPTOR.full_name
_MAX_NAME = 200  # what a server may put into our logs
_MAX_EXACT = 2**53  # beyond it, a JSON number is not the integer that was meant


def document(
    type_url: str, value: bytes, ordinal: int, problems: list[Problem]
) -> tuple[str, Node | None]:
    """Return a resource's name and its document, or None having noted what is wrong with it.

    `ordinal`, from 1, names a resource that has no name.
    """
    nameless = f"resource {ordinal}"
    if type_url != TYPE_URL:
        said = f"is of type '{_printable(type_url)}'; send {TYPE_URL}"
        problems.append(Problem(file=nameless, message=said))
        return nameless, None
    try:
        config = rls_conf_pb2.RateLimitConfig.FromString(value)
    except DecodeError:
        said = f"is not a {rls_conf_pb2.RateLimitConfig.DESCRIPTOR.full_name}: it cannot be decoded"
        problems.append(Problem(file=nameless, message=said))
        return nameless, None
    name = _printable(config.name) or nameless
    return name, _Reader(name, problems).config(config)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:_MAX_NAME])


class _Reader:
    """Turns the messages of one resource into nodes that say where in it they stand."""

    def __init__(self, name: str, problems: list[Problem]) -> None:
        self._name = name
        self._problems = problems

    def config(self, config: rls_conf_pb2.RateLimitConfig) -> Mapping:
        place = Place(file=self._name, line=0, column=0)
        levels = self._levels(place, "", config.descriptors)
        return _map(place, ("domain", _text(place, config.domain)), ("descriptors", levels))

    def _levels(
        self, place: Place, path: str, descriptors: Iterable[rls_conf_pb2.RateLimitDescriptor]
    ) -> Sequence:
        return Sequence(
            place=place,
            items=tuple(
                self._level(f"{path}descriptors[{index}]", descriptor)
                for index, descriptor in enumerate(descriptors)
            ),
        )

    def _level(self, path: str, descriptor: rls_conf_pb2.RateLimitDescriptor) -> Mapping:
        place = Place(file=f"{self._name}: {path}", line=0, column=0)
        pairs: list[tuple[str, Node]] = [("key", _text(place, descriptor.key))]
        if descriptor.value:
            pairs.append(("value", _text(place, descriptor.value)))
        if descriptor.HasField("rate_limit"):
            pairs.append(("rate_limit", _limit(place, descriptor.rate_limit)))
            flags = ("shadow_mode", "quota_mode", "detailed_metric")
            pairs += ((flag, _plain(place, "true")) for flag in flags if getattr(descriptor, flag))
            if descriptor.HasField("metadata"):
                pairs.append(("metadata", self._struct(place, descriptor.metadata)))
        if descriptor.descriptors:
            below = self._levels(place, f"{path}.", descriptor.descriptors)
            pairs.append(("descriptors", below))
        return _map(place, *pairs)

    def _struct(self, place: Place, struct: struct_pb2.Struct) -> Mapping:
        fields = sorted(struct.fields.items())
        return Mapping(
            place=place,
            pairs=tuple((_text(place, key), self._value(place, value)) for key, value in fields),
        )

    def _value(self, place: Place, value: struct_pb2.Value) -> Node:
        match value.WhichOneof("kind"):
            case "struct_value":
                return self._struct(place, value.struct_value)
            case "list_value":
                items = tuple(self._value(place, item) for item in value.list_value.values)
                return Sequence(place=place, items=items)
            case "string_value":
                return _text(place, value.string_value)
            case "bool_value":
                return _plain(place, "true" if value.bool_value else "false")
            case "number_value":
                return self._number(place, value.number_value)
        return _plain(place, "null")

    def _number(self, place: Place, number: float) -> Node:
        if not math.isfinite(number):
            self._problems.append(place.problem(f"metadata holds {number}, which JSON cannot"))
            return _plain(place, "null")
        if number.is_integer() and abs(number) <= _MAX_EXACT:
            return _plain(place, str(int(number)))
        mantissa, e, exponent = repr(number).partition("e")
        # YAML takes 1e+30 for text.
        point = "" if "." in mantissa or not e else ".0"
        return _plain(place, f"{mantissa}{point}{e}{exponent}")


def _limit(place: Place, policy: rls_conf_pb2.RateLimitPolicy) -> Mapping:
    pairs: list[tuple[str, Node]] = []
    if policy.unit or not policy.unlimited:
        pairs.append(("unit", _text(place, _unit_name(policy.unit))))
    if policy.unlimited:
        pairs.append(("unlimited", _plain(place, "true")))
    else:
        pairs.append(("requests_per_unit", _plain(place, str(policy.requests_per_unit))))
    if policy.name:
        pairs.append(("name", _text(place, policy.name)))
    if policy.replaces:
        items = tuple(_map(place, ("name", _text(place, other.name))) for other in policy.replaces)
        pairs.append(("replaces", Sequence(place=place, items=items)))
    return _map(place, *pairs)


def _unit_name(unit: int) -> str:
    found = rls_conf_pb2.RateLimitUnit.DESCRIPTOR.values_by_number.get(unit)
    return str(unit) if found is None else found.name


def _map(place: Place, *pairs: tuple[str, Node]) -> Mapping:
    return Mapping(place=place, pairs=tuple((_plain(place, key), node) for key, node in pairs))


def _plain(place: Place, text: str) -> Scalar:
    return Scalar(place=place, text=text, plain=True)


def _text(place: Place, text: str) -> Scalar:
    # As if quoted: "null" and "~" are what they say.
    return Scalar(place=place, text=text, plain=False)
