"""Who serves a path."""

from __future__ import annotations

import functools
from typing import Any

import grpc
import pytest

from fastlane.grpc.routes import HandlerCallDetails, Kind, Route, Router, is_asynchronous, route_of


async def coroutine(_request: Any, _context: Any) -> None:
    """Do nothing."""


async def generator(_request: Any, _context: Any) -> Any:
    """Yield nothing."""
    yield


def plain(_request: Any, _context: Any) -> None:
    """Do nothing."""


class Callable:
    """An object with an asynchronous call."""

    async def __call__(self, _request: Any, _context: Any) -> None:
        """Do nothing."""


def new_handler() -> Any:
    """Return a handler."""
    return grpc.unary_unary_rpc_method_handler(coroutine)


def details(path: str) -> HandlerCallDetails:
    """Return the details of a call."""
    return HandlerCallDetails(path, ())


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (grpc.unary_unary_rpc_method_handler, Kind.UNARY),
        (grpc.unary_stream_rpc_method_handler, Kind.SERVER_STREAM),
        (grpc.stream_unary_rpc_method_handler, Kind.CLIENT_STREAM),
        (grpc.stream_stream_rpc_method_handler, Kind.BIDI),
    ],
)
def test_a_handler_is_understood(make: Any, kind: Kind) -> None:
    route = route_of(make(coroutine, bytes.upper, bytes.lower))
    assert (route.kind, route.handler) == (kind, coroutine)
    assert (route.deserialize, route.serialize) == (bytes.upper, bytes.lower)
    assert route.streams_requests is (kind in {Kind.CLIENT_STREAM, Kind.BIDI})


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (coroutine, True),
        (generator, True),
        (plain, False),
        (Callable(), True),
        (functools.partial(coroutine, None), True),
        (functools.partial(plain, None), False),
    ],
)
def test_plain_functions_are_told_from_asynchronous_ones(function: Any, expected: bool) -> None:
    assert is_asynchronous(function) is expected


def test_registered_methods_win_over_generic_ones_and_earlier_over_later() -> None:
    router = Router()
    first, second, third = (new_handler() for _ in range(3))
    for handler in (first, second):
        router.add_generic(
            [grpc.method_handlers_generic_handler("s", {"A": handler, "B": handler})]
        )
    router.add_handlers("s", {"A": third})
    assert router.find_handler(details("/s/A")) is third
    assert router.find_handler(details("/s/B")) is first
    assert router.find(details("/s/C")) is None


def test_an_answer_by_path_is_kept() -> None:
    router = Router()
    handler = new_handler()
    router.add_generic([grpc.method_handlers_generic_handler("s", {"A": handler})])
    assert router.is_static("/s/A")
    assert router.find(details("/s/A")) is router.find(details("/s/A"))


def test_a_handler_of_another_kind_is_asked_every_time() -> None:
    asked: list[Any] = []

    class Choosy(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            asked.append(handler_call_details.method)
            return new_handler()

    router = Router()
    router.add_generic([Choosy()])
    router.add("/s/Known", Route(kind=Kind.RAW, handler=coroutine))
    assert not router.is_static("/s/A")
    assert router.is_static("/s/Known")
    for _ in range(2):
        assert router.find(details("/s/A")) is not None
    assert asked == ["/s/A", "/s/A"]
