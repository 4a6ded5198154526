"""grpc.testing.TestService as gRPC's interoperability tests describe it, and load reports."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import grpc

from tests.interop.stubs import orca, orca_grpc, testing, testing_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_ECHO_INITIAL: Final = "x-grpc-test-echo-initial"
_ECHO_TRAILING: Final = "x-grpc-test-echo-trailing-bin"
_REPORT_KEY: Final = "endpoint-load-metrics-bin"
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}

# A client may not ask for reports more often: the tests ask for one a second.
_SHORTEST_INTERVAL: Final = 0.1


class LoadReports:
    """The server's load, as clients set it; whoever sets it keeps others out until done."""

    def __init__(self) -> None:
        self.owner = asyncio.Lock()
        self.current = orca.OrcaLoadReport()


class TestService(testing_grpc.TestServiceServicer):  # type: ignore[misc]  # generated when run
    """The test service."""

    __test__ = False  # pytest: this is no test class

    def __init__(self, reports: LoadReports, server_id: str = "fastlane") -> None:
        self._reports = reports
        self._server_id = server_id

    async def EmptyCall(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answer nothing with nothing."""
        await _echo_metadata(context)
        return request

    async def UnaryCall(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answer with as many bytes as asked for, or with the status asked for."""
        await _echo_metadata(context)
        await _echo_status(request, context)
        if request.HasField("response_compressed"):
            _compress(context, wanted=request.response_compressed.value)
        if request.HasField("orca_per_query_report"):
            report = _report(request.orca_per_query_report).SerializeToString()
            _add_trailer(context, _REPORT_KEY, report)
        response = testing.SimpleResponse(payload=_payload(request.response_size))
        if request.fill_server_id:
            response.server_id = self._server_id
        return response

    CacheableUnaryCall = UnaryCall

    async def StreamingOutputCall(  # noqa: N802
        self, request: Any, context: Any
    ) -> AsyncIterator[Any]:
        """Answer one request with a stream."""
        await _echo_metadata(context)
        await _echo_status(request, context)
        async for response in _responses(request, context):
            yield response

    async def StreamingInputCall(self, request_iterator: Any, context: Any) -> Any:  # noqa: N802
        """Add up the sizes of a stream."""
        await _echo_metadata(context)
        total = 0
        async for request in request_iterator:
            total += len(request.payload.body)
        return testing.StreamingInputCallResponse(aggregated_payload_size=total)

    async def FullDuplexCall(  # noqa: N802
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[Any]:
        """Answer each request of a stream as it comes."""
        await _echo_metadata(context)
        owns = False
        try:
            async for request in request_iterator:
                await _echo_status(request, context)
                if request.HasField("orca_oob_report"):
                    owns = owns or await self._reports.owner.acquire()
                    self._reports.current = _report(request.orca_oob_report)
                async for response in _responses(request, context):
                    yield response
        finally:
            if owns:
                self._reports.owner.release()

    async def HalfDuplexCall(  # noqa: N802
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[Any]:
        """Answer a stream once it has ended."""
        for request in [one async for one in request_iterator]:
            async for response in _responses(request, context):
                yield response


class LoadReportService(orca_grpc.OpenRcaServiceServicer):  # type: ignore[misc]  # as above
    """Streams the load beside the calls."""

    def __init__(self, reports: LoadReports) -> None:
        self._reports = reports

    async def StreamCoreMetrics(  # noqa: N802
        self, request: Any, _context: Any
    ) -> AsyncIterator[Any]:
        """Send a report at once and then one every interval."""
        asked = request.report_interval
        interval = max(_SHORTEST_INTERVAL, asked.seconds + asked.nanos / 1e9)
        while True:
            yield self._reports.current
            await asyncio.sleep(interval)


def _payload(size: int) -> Any:
    return testing.Payload(body=bytes(size))


def _report(asked: Any) -> Any:
    return orca.OrcaLoadReport(
        cpu_utilization=asked.cpu_utilization,
        mem_utilization=asked.memory_utilization,
        request_cost=asked.request_cost,
        utilization=asked.utilization,
    )


async def _responses(request: Any, context: Any) -> AsyncIterator[Any]:
    for wanted in request.response_parameters:
        if wanted.interval_us:
            await asyncio.sleep(wanted.interval_us / 1e6)
        if wanted.HasField("compressed") and not wanted.compressed.value:
            context.disable_next_message_compression()
        yield testing.StreamingOutputCallResponse(payload=_payload(wanted.size))


async def _echo_metadata(context: Any) -> None:
    for key, value in context.invocation_metadata():
        if key == _ECHO_INITIAL:
            await context.send_initial_metadata(((key, value),))
        elif key == _ECHO_TRAILING:
            _add_trailer(context, key, value)


async def _echo_status(request: Any, context: Any) -> None:
    if request.HasField("response_status") and request.response_status.code:
        status = request.response_status
        await context.abort(_CODES[status.code], status.message)


def _compress(context: Any, *, wanted: bool) -> None:
    if wanted:
        context.set_compression(grpc.Compression.Gzip)
    else:
        context.disable_next_message_compression()


def _add_trailer(context: Any, key: str, value: str | bytes) -> None:
    context.set_trailing_metadata((*context.trailing_metadata(), (key, value)))
