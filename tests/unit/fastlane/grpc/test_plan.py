"""Plans: what is gRPC, what is refused, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest

from fastlane.grpc.plan import Plan, make_plan
from fastlane.grpc.routes import Kind, Route, Router
from fastlane.h2.heads import read_request

if TYPE_CHECKING:
    from fastlane.h2.decoding import Field

PATH = b"/test.Service/Method"


async def handler(_request: bytes, _context: Any) -> bytes:
    """Do nothing."""
    return b""


def starter(_route: Route | None) -> Any:
    """Start nothing."""
    return handler


def plan(*fields: Field, method: bytes = b"POST", path: bytes = PATH, **options: Any) -> Plan:
    """Return the plan for a request with these fields."""
    router = Router()
    router.add(PATH.decode(), Route(kind=options.pop("kind", Kind.UNARY), handler=handler))
    pseudo = [(b":method", method), (b":scheme", b"http"), (b":path", path)]
    head = read_request([*pseudo, *(fields or ((b"content-type", b"application/grpc"),))])
    return make_plan(head, router, starter, intercepted=False)


def grpc_plan(*fields: Field, **options: Any) -> Plan:
    """Return the plan for a gRPC request with these fields too."""
    return plan((b"content-type", b"application/grpc"), *fields, **options)


@pytest.mark.parametrize(
    ("content_type", "served"),
    [
        (b"application/grpc", True),
        (b"application/grpc+proto", True),
        (b"application/grpc;charset=utf-8", True),
        (b"Application/gRPC", True),
        (b"application/grpc-web", False),
        (b"application/json", False),
    ],
)
def test_only_grpc_is_served(content_type: bytes, served: bool) -> None:
    found = plan((b"content-type", content_type))
    assert (found.http_refusal is None) is served
    assert served or (found.http_refusal or (0,))[0] == 415


def test_only_post_is_served() -> None:
    assert (plan(method=b"GET").http_refusal or (0,))[0] == 405
    assert plan(method=b"HEAD").hides_body


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ((b"grpc-timeout", b"soon"), grpc.StatusCode.INTERNAL),
        ((b"grpc-encoding", b"zstd"), grpc.StatusCode.UNIMPLEMENTED),
        ((b"k-bin", b"!!"), grpc.StatusCode.INTERNAL),
    ],
)
def test_what_cannot_be_understood_is_refused(field: Field, code: grpc.StatusCode) -> None:
    refusal = grpc_plan(field).refusal
    assert refusal is not None
    assert refusal.code is code


def test_fields_are_understood() -> None:
    found = grpc_plan(
        (b"grpc-timeout", b"1S"),
        (b"grpc-encoding", b"gzip"),
        (b"grpc-accept-encoding", b"gzip,identity"),
        (b"k", b"v"),
    )
    assert found.timeout == 1.0
    assert found.encoding == b"gzip"
    assert found.accepts == {b"gzip", b"identity"}
    assert found.metadata == (("k", "v"),)
    assert found.details.method == PATH.decode()


@pytest.mark.parametrize("kind", [Kind.UNARY, Kind.SERVER_STREAM, Kind.RAW])
def test_methods_of_one_request_are_simple(kind: Kind) -> None:
    assert grpc_plan(kind=kind).is_simple


@pytest.mark.parametrize("kind", [Kind.CLIENT_STREAM, Kind.BIDI])
def test_methods_of_many_requests_are_not(kind: Kind) -> None:
    assert not grpc_plan(kind=kind).is_simple


def test_an_unknown_path_is_unimplemented() -> None:
    refusal = grpc_plan(path=b"/x/y").refusal
    assert refusal is not None
    assert refusal.code is grpc.StatusCode.UNIMPLEMENTED


def test_a_generic_handler_is_asked_call_by_call() -> None:
    class Moody(grpc.GenericRpcHandler):
        def service(self, _details: Any) -> Any:
            return None

    router = Router()
    router.add_generic([Moody()])
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a/b")]
    head = read_request([*fields, (b"content-type", b"application/grpc")])
    found = make_plan(head, router, starter, intercepted=False)
    assert found.route is None
    assert found.refusal is None
    assert not found.is_simple
