"""Traces: the caller's is continued, spans go to a collector, and untraced calls pay nothing.

Whether a call is sampled is decided from the bytes of its headers (trace_context.py), before
anything of OpenTelemetry is made: as the caller decided, and where it decided nothing by
TRACING_SAMPLING_RATE. Spans leave by OTLP in a thread of their own; a collector that is away costs
the spans that do not fit into the queue, and no call.

    tracing = Tracing(settings.tracing) if settings.tracing.enabled else None
    server = make_server([...], health=health, tracing=tracing)
    Step(name="tracing", start=tracing.open, close=tracing.close)

Within a handler, up to its first wait and in what it awaits:

    span = tracing.current()                        # None: this call is not traced
    done = tracing.follow("redis take", done)       # a child span that ends when `done` is called
"""

from __future__ import annotations

import asyncio
import random
import uuid
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeVar

import grpc
import grpc.aio
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace.span import TraceState

from chassis.errors import SluiceError
from chassis.settings import choice, flag, ratio, setting, text
from chassis.status import code_of
from chassis.trace_context import Parent, read_parent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from chassis.deferred import DeferredCall, Failures, Handler
    from chassis.metrics import Metrics
    from fastlane import Abort

T = TypeVar("T")

# Spans that wait for the collector: a second or so of a busy service, at 1 KiB each.
_QUEUE: Final = 4096
_BATCH: Final = 512
_EVERY_MS: Final = 1000
# One export, and what is left at the end: a collector that is slower than that is as good as away.
_EXPORT_SECONDS: Final = 3.0
_CLOSE_SECONDS: Final = 1.0


class ExporterProtocol(Enum):
    """How spans travel: OTLP over gRPC (port 4317) or HTTP (port 4318)."""

    HTTP = "http"
    GRPC = "grpc"


@dataclass(frozen=True, kw_only=True, slots=True)
class TracingSettings:
    """Whether and where calls are traced; the names are the reference's and OpenTelemetry's."""

    enabled: bool = setting(
        "TRACING_ENABLED", default=False, parse=flag, doc="send spans to an OTLP collector"
    )
    service_name: str = setting(
        "TRACING_SERVICE_NAME", "RateLimit", parse=text, doc="service.name of the spans"
    )
    service_namespace: str = setting(
        "TRACING_SERVICE_NAMESPACE", "", parse=text, doc="service.namespace of the spans"
    )
    service_instance_id: str = setting(
        "TRACING_SERVICE_INSTANCE_ID",
        "",
        parse=text,
        doc="service.instance.id of the spans; a random one if empty",
    )
    sampling_rate: float = setting(
        "TRACING_SAMPLING_RATE",
        1.0,
        parse=ratio,
        doc="share of calls that are traced where the caller does not say",
    )
    protocol: ExporterProtocol = setting(
        "TRACING_EXPORTER_PROTOCOL",
        ExporterProtocol.HTTP,
        parse=choice(ExporterProtocol),
        doc="OTLP over HTTP or gRPC",
    )
    endpoint: str = setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "",
        parse=text,
        doc="URL of the collector; http://localhost:4318, or :4317 for gRPC, if empty",
    )


class Tracing:
    """The traces of one process."""

    def __init__(self, settings: TracingSettings, *, exporter: SpanExporter | None = None) -> None:
        resource = {
            "service.name": settings.service_name,
            "service.namespace": settings.service_namespace,
            "service.instance.id": settings.service_instance_id or str(uuid.uuid4()),
        }
        self._rate = settings.sampling_rate
        self._provider = TracerProvider(
            # What is to be sampled is known before a span is made.
            sampler=ALWAYS_ON,
            resource=Resource.create({key: value for key, value in resource.items() if value}),
            shutdown_on_exit=False,
        )
        self._exporter = exporter or _exporter(settings)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                self._exporter,
                max_queue_size=_QUEUE,
                schedule_delay_millis=_EVERY_MS,
                max_export_batch_size=_BATCH,
            )
        )
        self._tracer = self._provider.get_tracer("sluice")
        # A context variable and not an attribute, as handlers wait and others run meanwhile.
        self._current: ContextVar[Span | None] = ContextVar("span", default=None)
        self.calls = 0

    async def open(self) -> None:
        """Nothing is waited for: spans are queued until the collector answers."""

    async def close(self) -> None:
        """Send what is queued, as far as the collector takes it in a second."""
        closing = asyncio.create_task(asyncio.to_thread(self._provider.shutdown))
        _, late = await asyncio.wait({closing}, timeout=_CLOSE_SECONDS)
        if late:
            self._exporter.shutdown()  # it would try again until the collector answers
            await asyncio.wait(late, timeout=_CLOSE_SECONDS)

    def observe(self, metrics: Metrics) -> None:
        """Expose how many calls were traced."""
        metrics.observe_counter(
            "traced_calls", "Calls of which a span was made.", read=lambda: self.calls
        )

    def current(self) -> Span | None:
        """Return the span of the call that is being served; None if it is not traced."""
        return self._current.get()

    def begin(self, path: str, fields: Sequence[tuple[bytes, bytes]]) -> Span | None:
        """Begin the span of a call of `/package.Service/Method`; None if it is not to be traced."""
        parent = read_parent(fields)
        sampled = parent.sampled
        if sampled is None:
            sampled = random.random() < self._rate  # noqa: S311  a share, not a secret
        if not sampled:
            return None
        self.calls += 1
        service, _, method = path.removeprefix("/").partition("/")
        return self._tracer.start_span(
            method,
            context=set_span_in_context(_remote(parent)) if parent.trace_id else None,
            kind=SpanKind.SERVER,
            attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
        )

    def follow(
        self, name: str, done: Callable[[T, BaseException | None], None]
    ) -> Callable[[T, BaseException | None], None]:
        """Return `done`; if the call is traced, one that also ends a child span of that name."""
        span = self._current.get()
        if span is None:
            return done
        child = self._tracer.start_span(
            name,
            context=set_span_in_context(span),
            kind=SpanKind.CLIENT,
            attributes={"db.system.name": "redis"},
        )

        def told(result: T, error: BaseException | None) -> None:
            if error is not None:
                _note(child, error)
            child.end()
            done(result, error)

        return told

    def deferred(self, path: str, handler: Handler) -> Handler:
        """Return a deferred method (chassis/deferred.py) that is traced."""

        def take(call: Any, failures: Failures) -> None:
            # The fields as they came: `metadata` would be decoded for every call.
            span = self.begin(path, call.plan.fields)
            if span is None:
                handler(call, failures)
                return
            token = self._current.set(span)
            try:
                handler(_TracedCall(call, span), failures)
            except BaseException as error:
                _note(span, error)
                span.end()
                raise
            finally:
                self._current.reset(token)

        return take

    def interceptor(self, services: frozenset[str]) -> grpc.aio.ServerInterceptor:
        """Return what traces the unary methods of `services` that are not deferred.

        A stream lasts for hours: a span of it would tell nothing, and only when it is over.
        """
        return _Interceptor(self, services, self._current)


class _TracedCall:
    """A deferred call whose span ends with it."""

    __slots__ = ("_call", "_span", "deadline", "message")

    def __init__(self, call: DeferredCall, span: Span) -> None:
        self._call = call
        self._span = span
        self.message = call.message
        self.deadline = call.deadline

    def respond(self, message: bytes) -> None:
        """Answer it."""
        self._span.set_attribute("rpc.grpc.status_code", 0)
        self._span.end()
        self._call.respond(message)

    def fail(self, abort: Abort) -> None:
        """End it with another status."""
        _note_code(self._span, abort.code, abort.details)
        self._span.end()
        self._call.fail(abort)


class _Interceptor(grpc.aio.ServerInterceptor):
    """Traces what other servers and methods run as coroutines."""

    def __init__(
        self, tracing: Tracing, services: frozenset[str], current: ContextVar[Span | None]
    ) -> None:
        self._tracing = tracing
        self._services = services
        self._current = current
        self._wrapped: dict[str, tuple[Any, Any]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the method's handler, wrapped once and then remembered."""
        handler = await continuation(handler_call_details)
        path: str = handler_call_details.method
        service = path.removeprefix("/").partition("/")[0]
        if handler is None or handler.unary_unary is None or service not in self._services:
            return handler
        known = self._wrapped.get(path)
        if known is not None and known[0] is handler:
            return known[1]
        wrapped: Any = grpc.unary_unary_rpc_method_handler(
            self._traced(path, handler.unary_unary),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
        self._wrapped[path] = (handler, wrapped)  # as many as there are methods
        return wrapped

    def _traced(self, path: str, behaviour: Any) -> Any:
        async def call(request: Any, context: Any) -> Any:
            fields = [
                (key.encode(), value.encode() if isinstance(value, str) else bytes(value))
                for key, value in context.invocation_metadata() or ()
            ]
            span = self._tracing.begin(path, fields)
            if span is None:
                return await behaviour(request, context)
            token = self._current.set(span)
            try:
                response = await behaviour(request, context)
                span.set_attribute("rpc.grpc.status_code", 0)
            except BaseException as error:
                _note(span, error)
                raise
            else:
                return response
            finally:
                self._current.reset(token)
                span.end()

        return call


def _remote(parent: Parent) -> NonRecordingSpan:
    return NonRecordingSpan(
        SpanContext(
            parent.trace_id,
            parent.span_id,
            is_remote=True,
            trace_flags=TraceFlags(TraceFlags.SAMPLED),
            trace_state=TraceState.from_header([parent.state]) if parent.state else None,
        )
    )


def _note(span: Span, error: BaseException) -> None:
    """Say in the span which error ended it; of a bug only the kind, its text may be secret."""
    if isinstance(error, SluiceError):
        _note_code(span, code_of(error).grpc, error.message)
    else:
        span.set_status(Status(StatusCode.ERROR, type(error).__name__))


def _note_code(span: Span, code: grpc.StatusCode, details: str) -> None:
    span.set_attribute("rpc.grpc.status_code", code.value[0])
    span.set_status(Status(StatusCode.ERROR, details))


def _exporter(settings: TracingSettings) -> SpanExporter:
    """Return the exporter. Imported here: its libraries cost a start 0.2 s that few need."""
    endpoint = settings.endpoint or None
    if settings.protocol is ExporterProtocol.GRPC:
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as otlp  # noqa: PLC0415

        return otlp.OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_SECONDS)
    from opentelemetry.exporter.otlp.proto.http import trace_exporter  # noqa: PLC0415

    if endpoint:
        # The variable names the collector, and each signal has its path there.
        endpoint = endpoint.rstrip("/") + "/v1/traces"
    return trace_exporter.OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_SECONDS)
