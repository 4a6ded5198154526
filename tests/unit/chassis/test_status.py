"""The table from errors to codes, and the details that travel with them."""

from __future__ import annotations

import base64
from urllib.parse import quote

import grpc
import pytest
from google.rpc import (  # type: ignore[import-untyped]
    error_details_pb2,
    status_pb2,
)

from chassis.errors import (
    AlreadyExists,
    Conflict,
    DeadlineExceeded,
    Exhausted,
    FailedPrecondition,
    FieldViolation,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    SluiceError,
    Unauthenticated,
    Unavailable,
)
from chassis.status import MAX_DETAILS_BYTES, MAX_MESSAGE_BYTES, TABLE, clip, code_of, status_of

# What a gRPC message carries as it is: printable ASCII but the percent sign.
PLAIN = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
# What a gRPC client takes by default, less what gRPC and the handler put beside ours.
TRAILER_BYTES = 8192 - 1024

CODES = {
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    NotFound: grpc.StatusCode.NOT_FOUND,
    AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    Conflict: grpc.StatusCode.ABORTED,
    FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    Exhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    SluiceError: grpc.StatusCode.INTERNAL,
}


class RuleNotFound(NotFound):
    """A class of a service's own."""


@pytest.mark.parametrize(("cls", "code"), CODES.items(), ids=str)
def test_each_class_has_its_code(cls: type[SluiceError], code: grpc.StatusCode) -> None:
    assert code_of(cls("x")).grpc is code


def test_the_table_knows_every_class_of_the_tree() -> None:
    assert set(TABLE) == set(CODES)


def test_a_class_of_a_service_has_the_code_of_its_ancestor() -> None:
    assert code_of(RuleNotFound("x")).grpc is grpc.StatusCode.NOT_FOUND


def details(status: status_pb2.Status) -> tuple[error_details_pb2.ErrorInfo, list[str]]:
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    fields: list[str] = []
    if len(status.details) > 1:
        bad = error_details_pb2.BadRequest()
        assert status.details[1].Unpack(bad)
        fields = [violation.field for violation in bad.field_violations]
    return info, fields


def test_the_details_say_why_in_words_for_programs() -> None:
    error = InvalidRequest(
        "two fields are wrong",
        reason="BAD_DESCRIPTOR",
        metadata={"domain": "d"},
        violations=(
            FieldViolation(field="domain", description="is empty"),
            FieldViolation(field="descriptors[0]", description="has no entries"),
        ),
    )
    status = status_of(error)
    info, fields = details(status)
    assert (status.code, status.message) == (3, "two fields are wrong")
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "BAD_DESCRIPTOR",
        "sluice",
        {"domain": "d"},
    )
    assert fields == ["domain", "descriptors[0]"]


@pytest.mark.parametrize("letter", ["x", "%", "\n", "\0", "é", "漢", "🌊", "\udcff"], ids=ascii)
def test_whatever_it_says_it_fits_into_the_trailers(letter: str) -> None:
    much = letter * 100_000
    violations = tuple(FieldViolation(field=much, description=much) for _ in range(100))
    metadata = {f"{number}{much}": much for number in range(100)}
    error = InvalidRequest(much, reason="R" * 1000, metadata=metadata, violations=violations)
    status = status_of(error)
    encoded = len(quote(status.message, safe=PLAIN)) + len(
        base64.b64encode(status.SerializeToString())
    )
    assert encoded < TRAILER_BYTES
    info, fields = details(status)
    assert info.metadata
    assert fields
    assert status.message


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("abcdef", "abcd"),
        ("abc", "abc"),
        ("%%", "%"),
        ("aéb", "a"),
        ("ab%c", "ab"),
        ("\udcff", "?"),
    ],
    ids=ascii,
)
def test_a_text_is_cut_at_a_character_where_its_encoding_ends(text: str, kept: str) -> None:
    assert clip(text, 4) == kept


def test_what_an_ordinary_error_says_is_not_cut() -> None:
    message = "Redis at [fd00::1]:6379 is away: cannot connect (Connection refused); start it" * 3
    error = Unavailable(message, metadata={"outcome": "not_executed", "redis": "ratelimit"})
    assert len(message) < MAX_MESSAGE_BYTES
    info, _ = details(status_of(error))
    assert status_of(error).message == message
    assert dict(info.metadata) == {"outcome": "not_executed", "redis": "ratelimit"}


def test_ten_thousand_violations_still_fit_into_trailers() -> None:
    many = tuple(
        FieldViolation(field=f"descriptors[{n}]", description="x" * 10_000) for n in range(10_000)
    )
    status = status_of(InvalidRequest("m" * 100_000, violations=many))
    assert status.ByteSize() <= MAX_DETAILS_BYTES
    assert details(status)[1][0] == "descriptors[0]"
