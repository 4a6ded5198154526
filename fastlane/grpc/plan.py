"""What a request head means for gRPC, worked out once per head.

The core hands the same head out for the same field block, and the plan hangs on it, so a client
that repeats itself costs one dict look-up a call instead of routing, parsing and decoding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastlane.grpc import messages
from fastlane.grpc.metadata import Metadata, MetadataError, from_fields
from fastlane.grpc.routes import HandlerCallDetails, Kind, Route, Router
from fastlane.grpc.status import Abort, StatusCode
from fastlane.grpc.timeouts import parse_timeout

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from fastlane.grpc.call import Call
    from fastlane.h2.heads import RequestHead

    Start = Callable[[Call], Coroutine[Any, Any, Any] | None]
    Starter = Callable[[Route | None], Start]

_SPEAKS_GRPC: Final = b"application/grpc"

NOT_POST: Final = (405, b"This port speaks gRPC: use POST.\n")
NOT_GRPC: Final = (415, b"This port speaks gRPC: use content-type application/grpc.\n")


class Plan:
    """How to serve one kind of request."""

    __slots__ = (
        "_metadata",
        "accepts",
        "direct",
        "encoding",
        "fields",
        "hides_body",
        "http_refusal",
        "is_plain",
        "is_simple",
        "is_stream",
        "path",
        "refusal",
        "route",
        "start",
        "timeout",
    )

    def __init__(self, head: RequestHead) -> None:
        self.path = head.path.decode("latin-1")
        self.http_refusal: tuple[int, bytes] | None = None
        """HTTP status and text for what is not gRPC at all."""
        self.hides_body = head.method == b"HEAD"
        self.refusal: Abort | None = None
        """The status of a call that no handler will see."""
        self.route: Route | None = None
        # Not the head, which holds the plan: whoever sends a new one with each call would leave a
        # cycle with each call.
        self.fields = head.fields
        self._metadata: Metadata | None = None
        self.timeout: float | None = None
        """Seconds."""
        self.encoding: bytes | None = None
        self.accepts: frozenset[bytes] = frozenset()
        self.direct: Callable[[Call], None] | None = None
        """Takes a call whose message is complete, past the crew: batch and deferred handlers."""
        self.start: Callable[[Call], Coroutine[Any, Any, Any] | None]
        """Starts the handler of a call."""
        self.is_simple = False
        """Whether the handler starts with its one message, and without interceptors."""
        self.is_plain = False
        """Simple, with one answer that is not compressed: nothing to do before the message."""
        self.is_stream = False
        """Whether it may go on for as long as it likes, so that it counts among streams."""

    @property
    def metadata(self) -> Metadata:
        """The caller's metadata, read when first asked for: most handlers never do."""
        if self._metadata is None:
            self._metadata = from_fields(self.fields)
        return self._metadata

    @property
    def details(self) -> HandlerCallDetails:
        """What generic handlers and interceptors are told."""
        return HandlerCallDetails(self.path, self.metadata)


def make_plan(head: RequestHead, router: Router, starter: Starter, *, intercepted: bool) -> Plan:
    """Return the plan for `head`."""
    plan = Plan(head)
    if head.method != b"POST":
        plan.http_refusal = NOT_POST
        return plan
    try:
        _read_fields(plan, head)
        if plan.http_refusal is None:
            _find_route(plan, router, starter, intercepted=intercepted)
    except Abort as refusal:
        plan.refusal = refusal
    return plan


def _read_fields(plan: Plan, head: RequestHead) -> None:
    plan.http_refusal = NOT_GRPC
    for name, value in head.fields:
        reader = _READERS.get(name)
        if reader is not None:
            reader(plan, value)
        elif name[-4:] == b"-bin":
            _check_binary(plan)


def _read_content_type(plan: Plan, value: bytes) -> None:
    """Take application/grpc, perhaps with +proto and the like, and not grpc-web."""
    if value != _SPEAKS_GRPC:
        value = value.lower()
        rest = value[len(_SPEAKS_GRPC) :][:1]
        if not value.startswith(_SPEAKS_GRPC) or rest not in {b"", b"+", b";", b" "}:
            return
    plan.http_refusal = None


def _read_timeout(plan: Plan, value: bytes) -> None:
    plan.timeout = parse_timeout(value)
    if plan.timeout is None:
        raise Abort(StatusCode.INTERNAL, "malformed grpc-timeout")


def _read_encoding(plan: Plan, value: bytes) -> None:
    if not messages.is_known(value):
        name = value.decode("latin-1")
        details = f"grpc-encoding {name} is not supported: use gzip or deflate"
        raise Abort(StatusCode.UNIMPLEMENTED, details)
    plan.encoding = value


def _read_accepted(plan: Plan, value: bytes) -> None:
    plan.accepts = messages.accepted(value)


_READERS: Final = {
    b"content-type": _read_content_type,
    b"grpc-timeout": _read_timeout,
    b"grpc-encoding": _read_encoding,
    b"grpc-accept-encoding": _read_accepted,
}


def _check_binary(plan: Plan) -> None:
    """Read the metadata now: what is not base64 is refused before a handler sees it."""
    try:
        plan.metadata  # noqa: B018 - reading is the check
    except MetadataError as error:
        raise Abort(StatusCode.INTERNAL, str(error)) from error


def _find_route(plan: Plan, router: Router, starter: Starter, *, intercepted: bool) -> None:
    route = router.deferred(plan.path)
    if route is None and not intercepted and router.is_static(plan.path):
        route = router.find(HandlerCallDetails(plan.path, ()))
        if route is None:
            raise not_found(plan.path)
    # Otherwise the handler decides call by call: interceptors see every call, found or not.
    plan.route = route
    plan.is_simple = route is not None and not route.streams_requests
    plan.is_stream = route is not None and route.is_stream
    plan.is_plain = plan.is_simple and not plan.is_stream and not plan.accepts
    if route is not None and route.kind in _DIRECT:
        plan.direct = _DIRECT[route.kind](route)
    else:
        plan.start = starter(route)


def _batched(route: Route) -> Callable[[Call], None]:
    return lambda call: call.engine.batches.add(call, route)


def _deferred(route: Route) -> Callable[[Call], None]:
    handler = route.handler

    def take(call: Call) -> None:
        if call.is_late():
            return
        try:
            handler(call)
        except Exception as error:  # noqa: BLE001 - it becomes the call's status
            call.on_error(error)
        if not call.over:
            call.on_wait()

    return take


_DIRECT: Final = {Kind.BATCH: _batched, Kind.DEFERRED: _deferred}


def not_found(path: str) -> Abort:
    """Return the status of a call that nobody serves."""
    return Abort(StatusCode.UNIMPLEMENTED, f"Method not found: {path}")
