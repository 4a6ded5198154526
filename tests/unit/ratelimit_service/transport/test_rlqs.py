"""Quota messages: what is taken of a report, and how an assignment is written for Envoy."""

from __future__ import annotations

import pytest

from chassis.errors import InvalidRequest
from ratelimit_service.core.share import TTL_SECONDS, Block, Order
from ratelimit_service.service.quotas import Told, Usage
from ratelimit_service.transport.rlqs import MAX_PAIRS, MAX_TEXT_BYTES, decode, encode
from wire.envoy.service.rate_limit_quota.v3.rlqs_pb2 import (
    RateLimitQuotaResponse,
    RateLimitQuotaUsageReports,
)
from wire.envoy.type.v3.ratelimit_strategy_pb2 import RateLimitStrategy

Report = RateLimitQuotaUsageReports.BucketQuotaUsage
ALICE = (("user", "alice"),)


def report(bucket: dict[str, str]) -> Report:
    message = Report(num_requests_allowed=2**64 - 1, num_requests_denied=3)
    message.bucket_id.bucket.update(bucket)
    message.time_elapsed.FromMilliseconds(4_500)
    return message


def test_a_report_is_taken_as_it_is_with_its_pairs_sorted() -> None:
    assert decode(report({"user": "alice", "path": "/"}), "f") == Usage(
        bucket=(("path", "/"), ("user", "alice")), allowed=2**64 - 1, denied=3, elapsed=4.5
    )


def test_a_first_report_covers_no_time() -> None:
    message = report({"user": "alice"})
    message.ClearField("time_elapsed")
    assert decode(message, "f").elapsed == 0
    message.time_elapsed.seconds = -5
    assert decode(message, "f").elapsed == 0


@pytest.mark.parametrize(
    ("story", "bucket"),
    [
        ("no pairs", {}),
        ("too many pairs", {str(number): "v" for number in range(MAX_PAIRS + 1)}),
        ("an empty value", {"user": ""}),
        ("an empty key", {"": "alice"}),
        ("a long value", {"user": "x" * (MAX_TEXT_BYTES + 1)}),
        ("long in bytes", {"user": "ü" * (MAX_TEXT_BYTES // 2 + 1)}),
        ("a long key", {"k" * (MAX_TEXT_BYTES + 1): "v"}),
    ],
)
def test_an_id_out_of_bounds_is_named(story: str, bucket: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(report(bucket), "bucket_quota_usages[7]")
    assert caught.value.violations[0].field == "bucket_quota_usages[7].bucket_id", story


def test_the_largest_id_is_taken() -> None:
    largest = {f"{number:0{MAX_TEXT_BYTES}}": "x" * MAX_TEXT_BYTES for number in range(MAX_PAIRS)}
    assert len(decode(report(largest), "f").bucket) == MAX_PAIRS


def told(action: Block | Order, *, anew: bool = True) -> list[RateLimitQuotaResponse.BucketAction]:
    response = encode([Told(ALICE, action, anew)])
    assert all(dict(one.bucket_id.bucket) == dict(ALICE) for one in response.bucket_action)
    return list(response.bucket_action)


def test_a_new_block_follows_a_refusal_so_that_it_comes_full() -> None:
    refusal, block = (one.quota_assignment_action for one in told(Block(40, 7)))
    assert refusal.rate_limit_strategy.blanket_rule == RateLimitStrategy.DENY_ALL
    assert refusal.assignment_time_to_live.seconds == TTL_SECONDS
    assert block.assignment_time_to_live.seconds == TTL_SECONDS
    bucket = block.rate_limit_strategy.token_bucket
    assert bucket.max_tokens == 40
    filled_a_second = bucket.tokens_per_fill.value / bucket.fill_interval.seconds
    assert 0 < filled_a_second * TTL_SECONDS < 0.001, "it does not refill while it is assigned"


def test_a_block_that_is_prolonged_is_sent_as_it_was() -> None:
    new, (again,) = told(Block(40, 7))[-1], told(Block(40, 7), anew=False)
    assert again == new


@pytest.mark.parametrize(
    ("order", "rule"),
    [(Order.ALLOW, RateLimitStrategy.ALLOW_ALL), (Order.DENY, RateLimitStrategy.DENY_ALL)],
)
def test_a_blanket_rule_has_a_time_to_live(order: Order, rule: int) -> None:
    (action,) = told(order)
    strategy = action.quota_assignment_action.rate_limit_strategy
    assert strategy.WhichOneof("strategy") == "blanket_rule"
    assert strategy.blanket_rule == rule
    assert action.quota_assignment_action.assignment_time_to_live.seconds == TTL_SECONDS


def test_an_abandoned_bucket_is_told_so() -> None:
    (action,) = told(Order.ABANDON)
    assert action.WhichOneof("bucket_action") == "abandon_action"
