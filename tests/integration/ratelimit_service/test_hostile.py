"""What a stranger who means no good may send: told what is wrong, and nothing is written.

And what a client may rely on whatever it sends: a refused request costs nothing, a balance that is
told is there, and a wait that is told is enough.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration

from tests.integration.ratelimit_service.admin import OK, OVER, of, serving
from tests.servers import start_valkey
from tests.waiting import wait_until
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse
from wire.sluice.ratelimit.v1 import ratelimit_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.ratelimit_service.admin import Admin

pytestmark = pytest.mark.asyncio(loop_scope="module")
METHOD = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
MEGABYTE = 2**20
HUGE = (2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
RULES = """\
domain: shop
descriptors:
  - key: bucket
    rate_limit: {unit: hour, requests_per_unit: 10}
  - key: sliding
    rate_limit: {unit: hour, requests_per_unit: 10, algorithm: sliding_window}
  - key: fixed
    rate_limit: {unit: year, requests_per_unit: 10, algorithm: fixed_window}
  - key: several
    limits:
      - {unit: hour, requests_per_unit: 10}
      - {unit: day, requests_per_unit: 15, algorithm: sliding_window}
  - key: postpaid
    postpaid: true
    rate_limit: {unit: hour, requests_per_unit: 10}
  - key: quota
    quota_mode: true
    rate_limit: {unit: hour, requests_per_unit: 10}
  - key: other quota
    quota_mode: true
    rate_limit: {unit: hour, requests_per_unit: 12}
  - key: shadow
    shadow_mode: true
    rate_limit: {unit: hour, requests_per_unit: 10}
  - key: closed
    rate_limit: {unit: hour, requests_per_unit: 0}
  - key: largest
    rate_limit: {unit: year, requests_per_unit: 4294967295}
  - key: slowest
    rate_limit: {unit: year, unit_multiplier: 10, requests_per_unit: 1, burst: 4294967295}
  - key: quick bucket
    rate_limit: {unit: second, requests_per_unit: 7, burst: 3}
  - key: quick sliding
    rate_limit: {unit: second, requests_per_unit: 3, algorithm: sliding_window}
  - key: quick fixed
    rate_limit: {unit: second, unit_multiplier: 2, requests_per_unit: 4, algorithm: fixed_window}
  - key: quick several
    limits:
      - {unit: second, requests_per_unit: 2, burst: 4}
      - {unit: second, unit_multiplier: 2, requests_per_unit: 5, algorithm: sliding_window}
  - key: quick postpaid
    postpaid: true
    rate_limit: {unit: second, requests_per_unit: 4}
"""
COUNTED = ("bucket", "sliding", "fixed", "several")
QUICK = ("quick bucket", "quick sliding", "quick fixed", "quick several", "quick postpaid")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Admin]:
    with start_valkey() as store:
        async with serving(tmp_path_factory.mktemp("hostile"), store.url, RULES) as started:
            yield started


@pytest_asyncio.fixture(loop_scope="module")
async def service(module_service: Admin) -> AsyncIterator[Admin]:
    """Give the service of the module with an empty store; every key it leaves must expire."""
    module_service.store.flushdb()
    yield module_service
    assert module_service.limiter.process is not None
    assert module_service.limiter.process.poll() is None, "it died"
    eternal = [key for key in module_service.store.scan_iter() if module_service.store.ttl(key) < 0]
    assert not eternal


def request(*descriptors: tuple[str, str, int | None]) -> RateLimitRequest:
    """Return a request; hits of None are not given, negative ones are a refund."""
    made = RateLimitRequest(domain="shop")
    for key, value, hits in descriptors:
        descriptor = made.descriptors.add()
        descriptor.entries.add(key=key, value=value)
        if hits is not None:
            descriptor.hits_addend.value = abs(hits)
            descriptor.is_negative_hits = hits < 0
    return made


async def ask(service: Admin, *descriptors: tuple[str, str, int | None]) -> Any:
    return await service.limiter.stub.ShouldRateLimit(request(*descriptors), timeout=10)


async def left(service: Admin, key: str, value: str = "a") -> int:
    """Return what a check of no hits says is left."""
    answer = await ask(service, (key, value, 0))
    return int(answer.statuses[0].limit_remaining)


def entries(count: int, key: str = "bucket") -> bytes:
    made = RateLimitRequest(domain="shop")
    descriptor = made.descriptors.add()
    for _ in range(count):
        descriptor.entries.add(key=key, value="x")
    return made.SerializeToString()


INVALID, EXHAUSTED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED
REFUSED: dict[str, tuple[bytes, grpc.StatusCode, str]] = {
    "nothing": (b"", INVALID, "rate limit domain must not be empty"),
    "no descriptors": (request().SerializeToString(), INVALID, "descriptor list must not be empty"),
    "noise": (b"\xff\xff\xff", INVALID, "is not an envoy.service.ratelimit.v3.RateLimitRequest"),
    "cut off": (request(("bucket", "a", 1)).SerializeToString()[:-2], INVALID, "is not an envoy"),
    "10,000 descriptors": (
        request(*[("bucket", str(index), 1) for index in range(10_000)]).SerializeToString(),
        INVALID,
        "more than 100 descriptors",
    ),
    "101 entries": (entries(101), INVALID, "more than 100 entries"),
    "5 MiB": (request(("bucket", "x" * 5 * MEGABYTE, 1)).SerializeToString(), EXHAUSTED, "max"),
    "a value that is no text": (
        b"\x0a\x04shop\x12\x0d\x0a\x0b\x0a\x06bucket\x12\x01\xff", INVALID, "is not an envoy",
    ),
    "a domain that is no text": (
        b"\x0a\x01\xff\x12\x0d\x0a\x0b\x0a\x06bucket\x12\x01a", INVALID, "is not an envoy",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
async def test_a_bad_request_is_told_and_writes_nothing(service: Admin, case: str) -> None:
    message, code, words = REFUSED[case]
    call: Any = service.limiter.channel.unary_unary(METHOD)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(message, timeout=10)
    assert caught.value.code() is code
    assert words in (caught.value.details() or "")
    assert len(caught.value.details() or "") < 300
    assert not service.written()


@pytest.mark.parametrize("unit", [0, 8, 99, -1])
async def test_an_override_of_no_unit_is_refused_and_kills_nobody(
    service: Admin, unit: int
) -> None:
    asked = request(("bucket", "a", 1))
    asked.descriptors[0].limit.requests_per_unit = 5
    asked.descriptors[0].limit.unit = cast("Any", unit)  # any number travels
    with pytest.raises(grpc.aio.AioRpcError, match="invalid rate limit unit"):
        await service.limiter.stub.ShouldRateLimit(asked, timeout=10)
    assert not service.written()


ODD_VALUES = ("a\0b", "\n\r\t\x1b[2J", "\U0010ffff", "{}", "%s%n", "*", " ", "x" * MEGABYTE)


@pytest.mark.parametrize("value", ODD_VALUES, ids=range(len(ODD_VALUES)))
async def test_any_text_has_a_counter_of_its_own_under_a_short_key(
    service: Admin, value: str
) -> None:
    await ask(service, ("bucket", value, 3))
    assert await left(service, "bucket", value) == 7
    assert await left(service, "bucket", value + "\0") == 10
    (key,) = service.written()
    assert len(key) < 100
    assert (service.store.memory_usage(key) or 0) <= 200


def body(**fields: object) -> bytes:
    descriptor = {"entries": [{"key": "bucket", "value": "a"}], **fields}
    return json.dumps({"domain": "shop", "descriptors": [descriptor]}).encode()


SOUND = body()
BAD_JSON = {
    "nothing": b"",
    "half": SOUND[:-5],
    "a list": b"[]",
    "a text": b'"x"',
    "null": b"null",
    "invalid UTF-8": SOUND.replace(b'"a"', b'"\xff\xfe"'),
    "half a surrogate pair": SOUND.replace(b'"a"', b'"\\ud800"'),
    "UTF-16": SOUND.decode().encode("utf-16"),
    "an unknown field": body(colour="red"),
    "a field twice": SOUND.replace(b"{", b'{"domain": "x", ', 1),
    "negative hits": body(hitsAddend="-1"),
    "2^64 hits": body(hitsAddend=str(2**64)),
    "half a hit": body(hitsAddend=1.5),
    "hits that are no number": SOUND.replace(b'"entries"', b'"hitsAddend": NaN, "entries"'),
    "100,000 digits": SOUND.replace(b'"entries"', b'"hitsAddend": ' + b"9" * 100_000 + b', "e"'),
    "an unknown unit": body(limit={"unit": "FORTNIGHT", "requestsPerUnit": 1}),
    "the unit that is none": body(limit={"unit": "UNKNOWN", "requestsPerUnit": 1}),
    "deep lists": b"[" * 100_000,
    "deep maps": b'{"descriptors":' * 5000 + b"1" + b"}" * 5000,
    "10,000 descriptors": json.dumps(
        {"domain": "shop", "descriptors": [{"entries": [{"key": "bucket"}]}] * 10_000}
    ).encode(),
}


@pytest.mark.parametrize("case", BAD_JSON)
async def test_bad_json_is_a_400_and_writes_nothing(service: Admin, case: str) -> None:
    limiter = service.limiter
    status, said = await asyncio.to_thread(limiter.get, "/json", limiter.http_port, BAD_JSON[case])
    assert status == 400
    error = json.loads(said)["error"]
    assert error["reason"] == "INVALID_REQUEST"
    assert "Traceback" not in said
    assert len(said) < 1000
    assert not service.written()


@pytest.mark.parametrize("hits", HUGE)
async def test_more_hits_than_a_limit_holds_are_over_and_cost_nothing(
    service: Admin, hits: int
) -> None:
    for key in (*COUNTED, "closed"):
        assert (await ask(service, (key, "a", hits))).overall_code == OVER
    assert not service.written()
    for key in COUNTED:
        assert await left(service, key) == 10
        assert (await ask(service, (key, "a", 10))).overall_code == OK


@pytest.mark.parametrize("hits", HUGE)
async def test_debt_ends_at_one_capacity_however_much_is_charged(service: Admin, hits: int) -> None:
    for key in ("postpaid", "quota"):
        for _ in range(2):
            answer = await ask(service, (key, "a", hits))
            assert answer.statuses[0].code == OVER
            assert answer.statuses[0].duration_until_reset.seconds <= 2 * 3600
        balances = await service.stub.GetBalance(
            pb.GetBalanceRequest(domain="shop", descriptor=of((key, "a")))
        )
        assert [balance.remaining for balance in balances.balances] == [-10]
    answer = await ask(service, ("shadow", "a", hits))
    assert answer.overall_code == OK


@pytest.mark.parametrize("hits", HUGE)
@pytest.mark.parametrize("key", [*COUNTED, "postpaid", "quota", "shadow", "closed", "largest"])
async def test_a_refund_fills_up_and_no_further(service: Admin, key: str, hits: int) -> None:
    before = await left(service, key)
    answer = await ask(service, (key, "a", -hits))  # on a counter that was never used
    assert answer.overall_code == OK
    assert not service.written()
    await ask(service, (key, "a", 4))
    assert (await ask(service, (key, "a", -hits))).overall_code == OK
    assert await left(service, key) == before


async def test_the_largest_and_the_slowest_limit_count_to_the_hit(service: Admin) -> None:
    most = 2**32 - 1
    for key in ("largest", "slowest"):
        assert (await ask(service, (key, "a", most - 1))).overall_code == OK
        assert await left(service, key) == 1
        assert (await ask(service, (key, "a", 2))).overall_code == OVER
        assert (await ask(service, (key, "a", 1))).overall_code == OK
        assert (await ask(service, (key, "a", 1))).overall_code == OVER


async def test_a_refused_request_costs_none_of_its_limits_anything(service: Admin) -> None:
    await ask(service, ("fixed", "a", 10))
    everything = [(key, "a", 2) for key in (*COUNTED, "quota", "postpaid")]
    for _ in range(5):
        answer = await ask(service, *everything)
        assert answer.overall_code == OVER
        codes = [status.code for status in answer.statuses]
        assert codes == [OK, OK, OVER, OK, OK, OK]
    for key in ("bucket", "sliding", "several", "quota", "postpaid"):
        assert await left(service, key) == 10
    for _ in range(2):  # a limit of 0 refuses for all as well, known without the store
        assert (await ask(service, ("closed", "a", 1), ("bucket", "a", 1))).overall_code == OVER
    assert await left(service, "bucket") == 10
    # But what only watches has seen it.
    await ask(service, ("closed", "a", 1), ("shadow", "a", 3))
    assert await left(service, "shadow") == 7


async def test_a_client_in_debt_is_refused_and_the_others_of_its_request_pay_nothing(
    service: Admin,
) -> None:
    await ask(service, ("postpaid", "a", 15))
    answer = await ask(service, ("postpaid", "a", 1), ("bucket", "a", 1), ("quota", "a", 1))
    assert answer.overall_code == OVER
    assert await left(service, "bucket") == 10
    assert await left(service, "quota") == 10
    assert (await ask(service, ("postpaid", "a", 0))).overall_code == OVER
    await ask(service, ("postpaid", "a", -20))
    assert (await ask(service, ("postpaid", "a", 0))).overall_code == OK
    assert await left(service, "postpaid") == 10


async def test_one_limit_twice_in_a_request_is_charged_for_both_or_neither(service: Admin) -> None:
    assert (await ask(service, ("bucket", "a", 6), ("bucket", "a", 6))).overall_code == OVER
    assert await left(service, "bucket") == 10
    assert (await ask(service, ("bucket", "a", 4), ("bucket", "a", 6))).overall_code == OK
    assert await left(service, "bucket") == 0
    answer = await ask(service, ("bucket", "b", 2**64 - 1), ("bucket", "b", 2**64 - 1))
    assert answer.overall_code == OVER
    assert await left(service, "bucket", "b") == 10


async def test_quotas_refuse_only_together(service: Admin) -> None:
    codes = []
    for _ in range(13):
        answer = await ask(service, ("quota", "a", 1), ("other quota", "a", 1))
        codes.append((answer.overall_code, *[status.code for status in answer.statuses]))
    assert Counter(codes) == {(OK, OK, OK): 10, (OK, OVER, OK): 2, (OVER, OVER, OVER): 1}


async def test_a_crowd_on_one_limit_gets_exactly_that(service: Admin) -> None:
    for key, limit in (("bucket", 10), ("sliding", 10), ("fixed", 10), ("several", 10)):
        answers = await asyncio.gather(*[ask(service, (key, "crowd", 1)) for _ in range(200)])
        assert Counter(one.overall_code for one in answers) == {OK: limit, OVER: 200 - limit}


async def test_a_wait_that_was_told_is_enough(service: Admin) -> None:
    """Whatever was asked before: who waits as long as the answer says passes."""
    draw = random.Random(7)  # noqa: S311  what is asked, not a secret
    await asyncio.gather(*[_wait_and_ask(service, draw, f"c{index}") for index in range(60)])


async def _wait_and_ask(service: Admin, draw: random.Random, client: str) -> None:
    key = draw.choice(QUICK)
    refusals = 0
    while refusals < 3:
        asked = ((key, client, draw.choice((1, 1, 2, 3))), ("quick bucket", f"{client}.", 1))
        answer = await ask(service, *asked)
        if answer.overall_code == OK:
            continue
        refusals += 1
        await _until(time.monotonic() + _wait(answer))
        again = await ask(service, *asked)
        assert again.overall_code == OK, f"{asked}: told {answer}, then {again}"


async def _until(moment: float) -> None:
    await wait_until(lambda: time.monotonic() >= moment, description="the wait is over")


def _wait(answer: RateLimitResponse) -> float:
    waits = [status.duration_until_reset for status in answer.statuses if status.code == OVER]
    assert all(wait.nanos == 0 and wait.seconds >= 1 for wait in waits), "whole seconds, for Envoy"
    return float(max(wait.seconds for wait in waits))


@pytest.mark.parametrize("key", ["bucket", "sliding", "fixed", "postpaid"])
async def test_credit_is_spent_once_and_ends(service: Admin, key: str) -> None:
    grant = pb.GrantRequest(domain="shop", descriptor=of((key, "a")), hits=5)
    grant.expire_in.CopyFrom(Duration(seconds=1))
    await service.stub.Grant(grant)
    granted = time.monotonic()
    assert await left(service, key) == 15
    await ask(service, (key, "a", 3))
    assert await left(service, key) in (12, 10)  # 10: the second is over already
    await wait_until(lambda: time.monotonic() > granted + 1.1, description="the credit ends")
    assert await left(service, key) == 10
    assert (await ask(service, (key, "a", 10))).overall_code == OK
    assert (await ask(service, (key, "a", 1))).overall_code == OVER


DAMAGE = (b"", b"garbage", b"\xff" * 500, b"9" * 300, b"nan nan nan", b"-5 -5 -5 -5", b"5 9e99 5")


@pytest.mark.parametrize("damage", DAMAGE, ids=range(len(DAMAGE)))
async def test_a_damaged_counter_is_a_fresh_one(service: Admin, damage: bytes) -> None:
    for key in COUNTED:
        await ask(service, (key, "a", 1))
    for name in service.written():
        service.store.set(name, damage, ex=100)
    for key in COUNTED:
        assert (await ask(service, (key, "a", 1))).overall_code == OK
        assert await left(service, key) <= 10
