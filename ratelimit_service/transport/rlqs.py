"""envoy.service.rate_limit_quota.v3.RateLimitQuotaService: reports in, assignments out.

Envoy 1.40 is what speaks it, and the service is written for what that does, not for all that the
API could mean: assignments are token buckets and blanket rules, because Envoy passes everything
under `requests_per_time_unit`; each has a time to live, because Envoy ends one without at once.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from chassis.errors import FieldViolation, InvalidRequest
from ratelimit_service.core.share import TTL_SECONDS, Block, Order
from ratelimit_service.service.quotas import Usage, stopping
from wire.envoy.service.rate_limit_quota.v3 import rlqs_pb2, rlqs_pb2_grpc
from wire.envoy.type.v3 import ratelimit_strategy_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import grpc

    from chassis.metrics import Metrics
    from ratelimit_service.core.descriptor import Entries
    from ratelimit_service.service.quotas import Quotas, Stream, Told

SERVICE_NAME = rlqs_pb2.DESCRIPTOR.services_by_name["RateLimitQuotaService"].full_name

MAX_PAIRS = 16  # of a bucket id: Envoy makes them of its configuration, a handful
MAX_TEXT_BYTES = 1024  # of a key or a value: a header's, at the most
MAX_ACTIONS = 1_000  # in one message: some 200 KB, so that none meets the limit on its size
# Reports taken before others get their turn: some 2 ms if all of them are new.
_TURN_REPORTS = 20
# A block does not refill: its bucket gets one token a day, so none while it is assigned.
_FILL_SECONDS = 86_400
_NANOS = 1_000_000_000

Reports = rlqs_pb2.RateLimitQuotaUsageReports
Response = rlqs_pb2.RateLimitQuotaResponse


class RateLimitQuotaServicer(rlqs_pb2_grpc.RateLimitQuotaServiceServicer):
    """StreamRateLimitQuotas."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas

    async def StreamRateLimitQuotas(  # noqa: N802  the RPC's name
        self,
        request_iterator: AsyncIterator[Reports],
        context: grpc.aio.ServicerContext[Reports, Response],  # noqa: ARG002  the signature's
    ) -> AsyncIterator[Response]:
        """Take usage reports and send assignments, neither waiting for the other."""
        news = asyncio.Event()
        stream = self._quotas.join(news.set)
        reading = asyncio.ensure_future(_read(request_iterator, stream))
        reading.add_done_callback(lambda _: news.set())
        try:
            while not stream.ended:
                news.clear()
                while told := stream.take(MAX_ACTIONS):
                    yield encode(told)
                    stream.sent(told)
                if reading.done():
                    reading.result()
                    return
                await news.wait()
            raise stopping()
        finally:
            stream.close()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def _read(requests: AsyncIterator[Reports], stream: Stream) -> None:
    domain = ""
    async for message in requests:
        domain = _domain(message, domain)
        for index, report in enumerate(message.bucket_quota_usages):
            stream.report(domain, decode(report, f"bucket_quota_usages[{index}]"))
            if index % _TURN_REPORTS == _TURN_REPORTS - 1:
                await asyncio.sleep(0)
        stream.sweep()


def _domain(message: Reports, before: str) -> str:
    """Return the domain; Envoy repeats it in every message, the API asks for it in the first."""
    if not message.domain:
        if not before:
            raise _wrong("domain", "the first message must name a domain")
        return before
    if before and message.domain != before:
        raise _wrong("domain", "a stream keeps the domain of its first message; open another")
    return message.domain


def decode(message: Reports.BucketQuotaUsage, field: str) -> Usage:
    """Return what a report says of one bucket; raise InvalidRequest naming what is wrong."""
    pairs: Entries = tuple(sorted(message.bucket_id.bucket.items()))
    if not 0 < len(pairs) <= MAX_PAIRS:
        raise _wrong(f"{field}.bucket_id", f"name a bucket by 1 to {MAX_PAIRS} pairs")
    for pair in pairs:
        for text in pair:
            if not 0 < len(text.encode()) <= MAX_TEXT_BYTES:
                raise _wrong(
                    f"{field}.bucket_id", f"keys and values take 1 to {MAX_TEXT_BYTES} bytes"
                )
    elapsed = message.time_elapsed
    return Usage(
        bucket=pairs,
        allowed=message.num_requests_allowed,
        denied=message.num_requests_denied,
        # 0 in the first report, though the API forbids it.
        elapsed=max(0.0, elapsed.seconds + elapsed.nanos / _NANOS),
    )


def encode(told: Sequence[Told]) -> Response:
    """Return the message that tells all this.

    Envoy 1.40 fills a token bucket that takes another's place only as far as that one was. Behind a
    refusal, which nobody meets as both are in force together, a new block comes full.
    """
    response = Response()
    for pairs, action, anew in told:
        if isinstance(action, Block) and anew:
            _assign(response, pairs).blanket_rule = _RULES[Order.DENY]
        if isinstance(action, Block):
            bucket = _assign(response, pairs).token_bucket
            bucket.max_tokens = action.tokens
            bucket.tokens_per_fill.value = 1
            bucket.fill_interval.seconds = _FILL_SECONDS
        elif action is Order.ABANDON:
            _add(response, pairs).abandon_action.SetInParent()
        else:
            _assign(response, pairs).blanket_rule = _RULES[action]
    return response


_RULES = {
    Order.ALLOW: ratelimit_strategy_pb2.RateLimitStrategy.ALLOW_ALL,
    Order.DENY: ratelimit_strategy_pb2.RateLimitStrategy.DENY_ALL,
}


def _add(response: Response, pairs: Entries) -> Response.BucketAction:
    action = response.bucket_action.add()
    action.bucket_id.bucket.update(pairs)
    return action


def _assign(response: Response, pairs: Entries) -> ratelimit_strategy_pb2.RateLimitStrategy:
    assignment = _add(response, pairs).quota_assignment_action
    assignment.assignment_time_to_live.seconds = TTL_SECONDS
    return assignment.rate_limit_strategy


def register(servicer: RateLimitQuotaServicer, server: grpc.aio.Server) -> None:
    """Add the servicer to a server."""
    rlqs_pb2_grpc.add_RateLimitQuotaServiceServicer_to_server(servicer, server)


def observe(metrics: Metrics, quotas: Quotas) -> None:
    """Expose who takes part and what was shared out."""
    metrics.observe_gauge(
        "ratelimit_quota_streams", "Quota streams that are open.", read=lambda: len(quotas.streams)
    )
    metrics.observe_gauge(
        "ratelimit_quota_buckets",
        "Buckets that those streams have a share of, one for each share.",
        read=lambda: quotas.buckets,
    )
    metrics.observe_gauge(
        "ratelimit_quota_pools", "Buckets that are shared out.", read=lambda: len(quotas.pools)
    )
    counts = quotas.counts
    for name, description in _COUNTERS:
        metrics.observe_counter(
            f"ratelimit_quota_{name}", description, read=partial(getattr, counts, name)
        )


_COUNTERS = (
    ("reports", "Usage reports, each of one bucket."),
    ("blocks", "Blocks of tokens assigned."),
    ("tokens_granted", "Tokens in those blocks."),
    ("tokens_returned", "Tokens of those that nobody spent, back in their buckets."),
    ("tokens_overspent", "Requests let through by other leave than a block's, charged later."),
    ("denials", "Times a bucket had nothing for a stream, which was told to refuse."),
    ("abandoned", "Buckets abandoned because nobody asked for them any more."),
    ("refused_buckets", "Reports of buckets that were too many."),
    ("refused_streams", "Streams that were too many."),
    ("store_failures", "Times Redis did not take or give back tokens."),
)


def _wrong(field: str, description: str) -> InvalidRequest:
    violation = FieldViolation(field=field, description=description)
    return InvalidRequest(f"{field}: {description}", violations=(violation,))
