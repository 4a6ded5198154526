"""Bytes in and out, held against protobuf."""

from __future__ import annotations

import contextlib

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import UInt64Value
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import InvalidRequest
from ratelimit_service.core.descriptor import Descriptor
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.core.verdict import Status, Verdict
from ratelimit_service.transport import codec
from ratelimit_service.transport.codec import decode, encode
from wire.envoy.extensions.common.ratelimit.v3.ratelimit_pb2 import RateLimitDescriptor
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse

Entry = RateLimitDescriptor.Entry
Override = RateLimitDescriptor.RateLimitOverride

limits = st.builds(
    Limit,
    requests_per_unit=st.integers(0, 2**32 - 1),
    unit=st.sampled_from(Unit),
    name=st.text(max_size=200),
)
statuses = st.builds(
    Status,
    st.booleans(),
    st.one_of(st.none(), limits),
    st.integers(0, 2**33),
    st.integers(0, 2**60),
)


def by_protobuf(verdict: Verdict) -> RateLimitResponse:
    answer = RateLimitResponse(
        overall_code=RateLimitResponse.OVER_LIMIT if verdict.over else RateLimitResponse.OK
    )
    for status in verdict.statuses:
        one = answer.statuses.add(
            code=RateLimitResponse.OVER_LIMIT if status.over else RateLimitResponse.OK,
            limit_remaining=min(status.remaining, 2**32 - 1),
        )
        if status.limit is not None:
            one.current_limit.requests_per_unit = status.limit.requests_per_unit
            one.current_limit.unit = getattr(RateLimitResponse.RateLimit, status.limit.unit.name)
            one.current_limit.name = status.limit.name
            seconds, rest = divmod(status.reset_us, 1_000_000)
            one.duration_until_reset.CopyFrom(Duration(seconds=seconds, nanos=rest * 1000))
    return answer


@given(st.builds(Verdict, st.booleans(), st.lists(statuses, max_size=4).map(tuple)))
def test_answers_are_the_bytes_protobuf_would_write(verdict: Verdict) -> None:
    assert encode(verdict) == by_protobuf(verdict).SerializeToString(deterministic=True)


def request(*descriptors: RateLimitDescriptor, domain: str = "d", hits: int = 0) -> bytes:
    message = RateLimitRequest(domain=domain, descriptors=descriptors, hits_addend=hits)
    return message.SerializeToString()


def one(**fields: object) -> RateLimitDescriptor:
    return RateLimitDescriptor(entries=[Entry(key="k", value="v")], **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("story", "message", "hits"),
    [
        ("nothing said is one hit", request(one()), 1),
        ("the request's hits count for every descriptor", request(one(), hits=7), 7),
        ("a descriptor's own count beats it", request(one(hits_addend=UInt64Value(value=3)), hits=7), 3),
        ("a present zero only looks", request(one(hits_addend=UInt64Value(value=0)), hits=7), 0),
        ("a refund is negative", request(one(hits_addend=UInt64Value(value=3), is_negative_hits=True)), -3),
        ("64 bits are kept", request(one(hits_addend=UInt64Value(value=2**64 - 1))), 2**64 - 1),
    ],
)  # fmt: skip
def test_hits(story: str, message: bytes, hits: int) -> None:
    domain, descriptors = decode(message)
    assert domain == "d"
    assert descriptors == (Descriptor(entries=(("k", "v"),), hits=hits),), story


@pytest.mark.parametrize("unit", [1, 2, 3, 4, 5, 6])
def test_a_limit_in_the_descriptor(unit: int) -> None:
    override = Override(requests_per_unit=42, unit=unit)  # type: ignore[arg-type]
    (descriptor,) = decode(request(one(limit=override)))[1]
    assert descriptor.override == Limit(requests_per_unit=42, unit=Unit(unit))


@pytest.mark.parametrize(
    ("message", "text", "field"),
    [
        (request(one(), domain=""), "rate limit domain must not be empty", "domain"),
        (request(), "rate limit descriptor list must not be empty", "descriptors"),
        (request(*[one()] * 101), "more than 100 descriptors in one request", "descriptors"),
        (request(one(limit=Override(requests_per_unit=1))), "invalid rate limit unit", "descriptors[0].limit.unit"),
        (request(RateLimitDescriptor(entries=[Entry(key="k")] * 101)), "more than 100 entries", "descriptors[0].entries"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_told_what_to_send(message: bytes, text: str, field: str) -> None:
    with pytest.raises(InvalidRequest, match=text) as caught:
        decode(message)
    assert [violation.field for violation in caught.value.violations] == [field]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(garbage: bytes) -> None:
    with contextlib.suppress(InvalidRequest):
        decode(garbage)


names = st.text(max_size=20)


@given(
    st.builds(
        RateLimitRequest,
        domain=names,
        descriptors=st.lists(
            st.builds(
                RateLimitDescriptor,
                entries=st.lists(st.builds(Entry, key=names, value=names), max_size=3),
            ),
            max_size=2,
        ),
        hits_addend=st.sampled_from([0, 0, 0, 5]),
    )
)
def test_plain_requests_are_read_as_protobuf_reads_them(message: RateLimitRequest) -> None:
    raw = message.SerializeToString()
    quick = codec.plain(raw)
    if quick is None:
        return
    domain, (descriptor,) = quick
    (there,) = message.descriptors
    assert domain == message.domain
    assert message.hits_addend == 0
    assert descriptor.entries == tuple((entry.key, entry.value) for entry in there.entries)
    assert (descriptor.hits, descriptor.override) == (1, None)


def test_what_envoy_sends_is_read_quickly() -> None:
    assert codec.plain(request(one())) == ("d", (Descriptor(entries=(("k", "v"),)),))


@given(st.binary(max_size=60), st.integers(0, 60))
def test_no_bytes_are_taken_for_a_plain_request_that_protobuf_reads_otherwise(
    garbage: bytes, at: int
) -> None:
    valid = request(one(), domain="demo")
    for raw in (garbage, valid[:at] + garbage[:2] + valid[at + 2 :], valid[:at]):
        quick = codec.plain(raw)
        if quick is None:
            continue
        message = RateLimitRequest.FromString(raw)
        domain, (descriptor,) = quick
        assert message.domain == domain
        (there,) = message.descriptors
        assert descriptor.entries == tuple((entry.key, entry.value) for entry in there.entries)
        assert not message.hits_addend
        assert not there.HasField("hits_addend")
        assert not there.HasField("limit")
