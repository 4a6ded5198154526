"""Headers and dynamic metadata, as envoyproxy/ratelimit sends them, and what is ours."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.wrappers_pb2 import UInt64Value

from ratelimit_service.transport.extras import Extras, HeaderNames
from ratelimit_service.transport.servicer import RateLimitServicer
from tests.limiting import make_limiter
from tests.unit.ratelimit_service.core.test_rules import build
from tests.unit.ratelimit_service.service.test_limiter import Store
from wire.envoy.extensions.common.ratelimit.v3.ratelimit_pb2 import RateLimitDescriptor
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse

RULES = build("""
domain: d
descriptors:
  - key: ten
    metadata: {team: a, cost: {cpu: 1, tags: [x]}}
    rate_limit: {unit: minute, requests_per_unit: 10}
  - key: two
    metadata: {team: b, cost: {cpu: 2, mem: 3}}
    rate_limit: {unit: hour, requests_per_unit: 2}
  - key: quota
    quota_mode: true
    rate_limit: {unit: hour, requests_per_unit: 1}
  - key: shadow
    shadow_mode: true
    metadata: {shadowed: true}
    rate_limit: {unit: hour, requests_per_unit: 1}
  - key: free
    rate_limit: {unlimited: true}
""")


def request(*keys: str, hits: int = 1, **fields: Any) -> RateLimitRequest:
    message = RateLimitRequest(domain="d", hits_addend=hits)
    for key in keys:
        entry = RateLimitDescriptor.Entry(key=key, value="v")
        message.descriptors.append(RateLimitDescriptor(entries=[entry], **fields))
    return message


async def answers(extras: Extras, *requests: RateLimitRequest) -> RateLimitResponse:
    """Return the answer to the last."""
    servicer = RateLimitServicer(make_limiter(RULES, Store()), extras)
    answer = b""
    for one in requests:
        _, answer = await servicer.answer(one.SerializeToString(), None)
    return RateLimitResponse.FromString(answer)


@pytest.mark.parametrize(
    ("story", "requests", "headers"),
    [
        ("the one limit", [request("ten", hits=3)], ("10", "7", "18")),
        ("the least remaining", [request("ten", "two", hits=2)], ("2", "0", "3600")),
        ("a refusal, not what has less", [request("two", hits=2), request("ten", "two", hits=1)], ("2", "0", "1800")),
        ("a quota that is over refuses nobody", [request("quota"), request("quota", "ten")], ("1", "0", "7200")),
        ("nothing where nothing limits", [request("free", "nobody")], ()),
    ],
)  # fmt: skip
async def test_headers(
    story: str, requests: list[RateLimitRequest], headers: tuple[str, ...]
) -> None:
    answer = await answers(Extras(headers=HeaderNames()), *requests)
    names = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
    found = [(header.key, header.value) for header in answer.response_headers_to_add]
    assert found == list(zip(names, headers, strict=False)), story
    assert answer.statuses


async def test_headers_have_the_names_they_are_given() -> None:
    names = HeaderNames(limit="x-l", remaining="x-r", reset="x-s")
    answer = await answers(Extras(headers=names), request("ten"))
    assert [header.key for header in answer.response_headers_to_add] == ["x-l", "x-r", "x-s"]


async def metadata(*requests: RateLimitRequest) -> dict[str, Any]:
    answer = await answers(Extras(dynamic_metadata=True), *requests)
    return MessageToDict(answer.dynamic_metadata)


async def test_metadata_tells_the_request_the_rules_and_what_they_said() -> None:
    told = await metadata(request("ten", "nobody", hits=2, hits_addend=UInt64Value(value=3)))
    assert told == {
        "domain": "d",
        "hitsAddend": 2.0,
        "descriptors": [
            {"entries": ["ten=v"], "hitsAddend": 3.0, "rule": "d.ten", "code": "OK"},
            {"entries": ["nobody=v"], "hitsAddend": 3.0, "code": "OK"},
        ],
        "metadata": {"team": "a", "cost": {"cpu": 1.0, "tags": ["x"]}},
    }


async def test_metadata_of_rules_that_passed_is_merged_and_the_first_wins() -> None:
    told = await metadata(request("ten", "two"))
    assert told["metadata"] == {"team": "a", "cost": {"cpu": 1.0, "tags": ["x"], "mem": 3.0}}
    told = await metadata(request("two", hits=2), request("two", "ten"))
    assert told["metadata"] == {"team": "a", "cost": {"cpu": 1.0, "tags": ["x"]}}
    assert [one["code"] for one in told["descriptors"]] == ["OVER_LIMIT", "OK"]


async def test_merging_leaves_the_rules_as_they_are() -> None:
    both = request("ten", "two")
    assert (await metadata(both))["metadata"] == (await metadata(both, both))["metadata"]
    rule = RULES.domains["d"].children["ten", None].rule
    assert rule is not None
    assert rule.metadata == {"team": "a", "cost": {"cpu": 1, "tags": ["x"]}}


async def test_a_shadowed_refusal_is_visible() -> None:
    told = await metadata(request("shadow"), request("shadow"))
    (descriptor,) = told["descriptors"]
    assert descriptor["code"] == "OK"
    assert descriptor["shadow"] is True


async def test_a_limit_brought_along_is_told_as_text() -> None:
    limit = RateLimitDescriptor.RateLimitOverride(requests_per_unit=5, unit=2)  # type: ignore[arg-type]
    told = await metadata(request("any", limit=limit))
    assert told["descriptors"][0]["limit"] == "requests_per_unit: 5 unit: MINUTE"


async def test_both_at_once_and_neither() -> None:
    both = await answers(Extras(headers=HeaderNames(), dynamic_metadata=True), request("ten"))
    assert both.response_headers_to_add
    assert both.HasField("dynamic_metadata")
    neither = await answers(Extras(), request("ten"))
    assert not neither.response_headers_to_add
    assert not neither.HasField("dynamic_metadata")
