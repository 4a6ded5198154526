"""Tells what a set of generated messages is, and fills them at random, whoever generated them.

Ours and the public ones claim the same names, so one process can hold only one of them. This file
is therefore both a module, for the process that has ours, and a program, for the one that has
theirs: it imports nothing but protobuf, and asks for stubs by module name.

As a program it reads `Questions` as JSON on standard input and answers with `Answers`.
"""

from __future__ import annotations

import base64
import importlib
import json
import random
import sys
from typing import TYPE_CHECKING, Any, TypedDict, cast

from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    FileDescriptor,
    ServiceDescriptor,
)
from google.protobuf.message_factory import GetMessageClass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

MAX_DEPTH = 4  # Struct and its Value hold each other; without a bound no message would end.
INTEGER_LIMITS = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
}
TEXTS = (
    "",
    "a",
    "client_id",
    "/v1/things?x=1",
    "naïve",
    "日本語",
    "\U0001f6b0",
    "\x00\n\t",
    "x" * 200,
)


class Sample(TypedDict):
    """One message: its full name and its bytes in base64."""

    type: str
    data: str


class Questions(TypedDict):
    """What the other process is asked: about which files and types, and samples to send back."""

    files: list[str]
    types: list[str]
    samples: list[Sample]
    seed: int
    rounds: int


class Answers(TypedDict):
    """Its descriptors, what it made of the samples in their order, and samples of its own."""

    facts: dict[str, list[str]]
    returned: list[str]
    samples: list[Sample]


def load(files: list[str], prefix: str = "") -> list[FileDescriptor]:
    """Import the stubs of these .proto files, generated below the package `prefix`."""
    names = [f"{prefix}{file.removesuffix('.proto').replace('/', '.')}_pb2" for file in files]
    return [importlib.import_module(name).DESCRIPTOR for name in names]


def messages(file: FileDescriptor) -> Iterator[Descriptor]:
    """Yield every message of a file, nested ones and map entries too, in a stable order."""
    waiting = list(file.message_types_by_name.values())
    while waiting:
        message = waiting.pop(0)
        yield message
        waiting += message.nested_types


def facts(file: FileDescriptor) -> list[str]:
    """Return everything that shows in bytes, JSON or generated code: one line for each fact."""
    lines = []
    enums = list(file.enum_types_by_name.values())
    for message in messages(file):
        lines.append(f"message {message.full_name}")
        lines += [field_fact(field) for field in message.fields]
        lines += [f"oneof {oneof.full_name}" for oneof in message.oneofs]
        enums += message.enum_types
    for enum in enums:
        lines += enum_facts(enum)
    for service in file.services_by_name.values():
        lines += service_facts(service)
    return sorted(lines)


def field_fact(field: FieldDescriptor) -> str:
    """Return the one line that tells all about a field."""
    kind = field.message_type or field.enum_type
    oneof = field.containing_oneof
    return (
        f"field {field.full_name} = {field.number}, type {field.type}"
        f" {kind.full_name if kind else 'scalar'}, json {field.json_name},"
        f" oneof {oneof.name if oneof else '-'}, repeated {field.is_repeated},"
        f" presence {field.has_presence}, packed {field.is_packed}"
    )


def enum_facts(enum: EnumDescriptor) -> list[str]:
    """Return one line for the enum and one for each of its values."""
    values = [f"value {enum.full_name}.{value.name} = {value.number}" for value in enum.values]
    return [f"enum {enum.full_name}, closed {enum.is_closed}", *values]


def service_facts(service: ServiceDescriptor) -> list[str]:
    """Return one line for the service and one for each of its methods."""
    return [f"service {service.full_name}"] + [
        f"method {method.full_name}"
        f" ({'stream ' * method.client_streaming}{method.input_type.full_name})"
        f" -> ({'stream ' * method.server_streaming}{method.output_type.full_name})"
        for method in service.methods
    ]


def message_classes(files: list[FileDescriptor]) -> dict[str, type[Message]]:
    """Return the class of every message of the files by full name; map entries are no messages."""
    return {
        kind.full_name: GetMessageClass(kind)
        for file in files
        for kind in messages(file)
        if not kind.GetOptions().map_entry
    }


def samples(classes: dict[str, type[Message]], *, seed: int, rounds: int) -> list[Sample]:
    """Return `rounds` random messages of each class."""
    chance = random.Random(seed)  # noqa: S311 - test data has to be repeatable, not secret
    return [
        Sample(type=name, data=pack(fill(kind(), chance)))
        for name, kind in classes.items()
        for _ in range(rounds)
    ]


def fill(message: Message, chance: random.Random, depth: int = 0) -> Message:
    """Set about half the fields of `message`, in depth, to likely and unlikely values."""
    for field in cast("list[FieldDescriptor]", message.DESCRIPTOR.fields):
        if chance.random() < 0.4 or (depth >= MAX_DEPTH and field.message_type):
            continue
        if field.message_type and field.message_type.GetOptions().map_entry:
            fill_map(getattr(message, field.name), field.message_type, chance, depth)
        elif field.is_repeated:
            for _ in range(chance.randrange(4)):
                append(getattr(message, field.name), field, chance, depth)
        elif field.message_type:
            part = getattr(message, field.name)
            part.SetInParent()
            fill(part, chance, depth + 1)
        else:
            setattr(message, field.name, scalar(field, chance))
    return message


def append(values: Any, field: FieldDescriptor, chance: random.Random, depth: int) -> None:
    """Add one element to a repeated field."""
    if field.message_type:
        fill(values.add(), chance, depth + 1)
    else:
        values.append(scalar(field, chance))


def fill_map(values: Any, entry: Descriptor, chance: random.Random, depth: int) -> None:
    """Put up to three pairs into a map field."""
    key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
    for _ in range(chance.randrange(4)):
        if value.message_type:
            fill(values[scalar(key, chance)], chance, depth + 1)
        else:
            values[scalar(key, chance)] = scalar(value, chance)


def scalar(field: FieldDescriptor, chance: random.Random) -> Any:
    """Return a value of the field's type: edges often, the unremarkable sometimes."""
    if field.type in INTEGER_LIMITS:
        low, high = INTEGER_LIMITS[field.type]
        return chance.choice((low, high, 0, 1, 127, 128, chance.randint(low, high)))
    if field.enum_type:
        # Open enums keep numbers they do not know: a newer peer may send them.
        return chance.choice([*(value.number for value in field.enum_type.values), 99, -1])
    if field.type == FieldDescriptor.TYPE_BOOL:
        return chance.random() < 0.5
    if field.type == FieldDescriptor.TYPE_STRING:
        return chance.choice(TEXTS)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return chance.randbytes(chance.choice((0, 1, 16, 300)))
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return chance.choice((0.0, -0.0, 0.1, -1e300, float("inf"), chance.random()))
    raise AssertionError(f"teach scalar() the type {field.type} of {field.full_name}")


def pack(message: Message) -> str:
    """Serialise, maps in one order, so that equal messages have equal bytes."""
    return base64.b64encode(message.SerializeToString(deterministic=True)).decode()


def send_back(classes: dict[str, type[Message]], given: list[Sample]) -> list[str]:
    """Parse each sample with these classes and serialise it again."""
    return [
        pack(classes[sample["type"]].FromString(base64.b64decode(sample["data"])))
        for sample in given
    ]


def answer(asked: Questions) -> Answers:
    """Answer from the stubs that this process has."""
    files = load(asked["files"])
    classes = message_classes(files)
    wanted = {name: classes[name] for name in asked["types"]}
    return Answers(
        facts={file.name: facts(file) for file in files},
        returned=send_back(classes, asked["samples"]),
        samples=samples(wanted, seed=asked["seed"], rounds=asked["rounds"]),
    )


if __name__ == "__main__":
    json.dump(answer(json.load(sys.stdin)), sys.stdout)
