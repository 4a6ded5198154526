"""The admin API of the whole service: lists, the configuration, and bad input."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from tests.integration.ratelimit_service.admin import (
    DESCRIBED,
    INVALID,
    MEGABYTE,
    OK,
    OVER,
    RULES,
    Admin,
    of,
    refused,
)
from tests.waiting import wait_until
from wire.sluice.ratelimit.v1 import ratelimit_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence


pytestmark = pytest.mark.asyncio(loop_scope="module")


# -- ListRules -----------------------------------------------------------------------------------

ALL = [
    "shop.client_id", "shop.path_/pay", "shop.path_/admin/*.method", "shop.closed", "shop.open",
    "shop.quiet", "shop.quota", "shop.both", "shop.both#2", "shop.lane",
]  # fmt: skip


def names(rules: Sequence[pb.Rule]) -> list[str]:
    return [rule.rule for rule in rules]


async def test_rules_come_in_the_order_of_files_and_lines(admin: Admin) -> None:
    answer = await admin.stub.ListRules(pb.ListRulesRequest())
    assert names(answer.rules) == ALL
    assert answer.next_page_token == ""
    rules = {rule.rule: rule for rule in answer.rules}
    client = rules["shop.client_id"]
    assert (client.domain, client.file, client.line) == ("shop", "shop.yaml", 3)
    assert (client.limit, client.burst, client.name) == (5, 8, "per client")
    method = rules["shop.path_/admin/*.method"]
    assert [(one.key, one.value) for one in method.levels] == [("path", "/admin/*"), ("method", "")]
    assert rules["shop.both"].on_store_failure == pb.STORE_FAILURE_POLICY_LOCAL
    assert rules["shop.both#2"].algorithm == pb.ALGORITHM_SLIDING_WINDOW
    lane = rules["shop.lane"]
    assert (lane.shard_by, lane.lease.max_share) == ("lane", 0.25)
    assert lane.lease.max_duration.ToMilliseconds() == 500
    (shift,) = lane.schedule
    assert list(shift.days) == [6, 7]
    assert (shift.start_minute, shift.end_minute, shift.limit) == (480, 750, 90)
    assert shift.time_zone == "Europe/Paris"


async def test_rules_are_filtered_and_paged(admin: Admin) -> None:
    found, token, pages = [], "", 0
    while token or not pages:
        request = pb.ListRulesRequest(filter="unit = HOUR", page_size=2, page_token=token)
        answer = await admin.stub.ListRules(request)
        assert len(answer.rules) <= 2
        found += names(answer.rules)
        token, pages = answer.next_page_token, pages + 1
    assert found == [
        "shop.path_/pay", "shop.path_/admin/*.method", "shop.quiet", "shop.quota", "shop.both#2",
    ]  # fmt: skip
    assert pages == 3
    assert not (await admin.stub.ListRules(pb.ListRulesRequest(domain="blog"))).rules
    answer = await admin.stub.ListRules(pb.ListRulesRequest(page_size=10_000))
    assert names(answer.rules) == ALL


async def test_a_page_token_is_good_for_its_list_alone(own: Admin) -> None:
    token = (await own.stub.ListRules(pb.ListRulesRequest(page_size=2))).next_page_token
    for forged in (
        token[:-4] + "AAAA",
        token + "=",
        "Mjo=",
        "zzz",
        "ä",
        token.lower(),
        "!" + token,
    ):
        with refused(INVALID, "page_token", "PAGE_TOKEN_INVALID"):
            await own.stub.ListRules(pb.ListRulesRequest(page_size=2, page_token=forged))
    for foreign in (
        pb.ListRulesRequest(page_token=token, domain="shop"),
        pb.ListRulesRequest(page_token=token, filter="limit > 0"),
    ):
        with refused(INVALID, "page_token", "PAGE_TOKEN_INVALID"):
            await own.stub.ListRules(foreign)
    assert (await own.stub.ListRules(pb.ListRulesRequest(page_token=token))).rules
    own.limiter.write(RULES.replace("requests_per_unit: 5,", "requests_per_unit: 6,"))

    async def is_loaded() -> bool:
        config: pb.GetConfigResponse = await own.stub.GetConfig(pb.GetConfigRequest())
        return config.generation == 2

    await wait_until(is_loaded, description="the rules are loaded again")
    with refused(INVALID, "page_token", "PAGE_TOKEN_INVALID"):
        await own.stub.ListRules(pb.ListRulesRequest(page_token=token))


# -- GetConfig and ListHotKeys -------------------------------------------------------------------


async def test_the_configuration_tells_files_and_what_is_wrong_with_them(own: Admin) -> None:
    config = await own.stub.GetConfig(pb.GetConfigRequest())
    assert config.generation == 1
    assert config.load_time.seconds > 1_700_000_000
    (file,) = config.files
    assert (file.name, file.error) == ("shop.yaml", "")
    assert file.sha256 == hashlib.sha256(RULES.encode()).hexdigest()
    first_load = config.load_time
    own.limiter.write(
        "domain: blog\ndescriptors:\n  - kye: x\n  - key: y\n    limit: 3\n", "blog.yaml"
    )

    async def is_noticed() -> bool:
        config: pb.GetConfigResponse = await own.stub.GetConfig(pb.GetConfigRequest())
        return len(config.files) == 2

    await wait_until(is_noticed, description="the broken file is noticed")
    config = await own.stub.GetConfig(pb.GetConfigRequest())
    assert (config.generation, config.load_time) == (1, first_load), "the old rules stay"
    blog, shop = config.files
    assert (blog.name, shop.name, shop.error) == ("blog.yaml", "shop.yaml", "")
    assert len(blog.error.splitlines()) >= 2
    assert all(line.startswith("blog.yaml:") for line in blog.error.splitlines())


async def test_hot_keys_come_hottest_first(own: Admin) -> None:
    for _ in range(12):
        await own.limiter.ask({"client_id": "greedy"})
    await own.limiter.ask({"client_id": "modest"}, {"nobody": "x"})
    await own.limiter.ask({"elsewhere": "x"}, domain="blog")
    answer = await own.stub.ListHotKeys(pb.ListHotKeysRequest(domain="shop"))
    assert [one.descriptor.entries[0].value for one in answer.keys] == ["greedy", "modest", "x"]
    first = answer.keys[0]
    assert (first.domain, first.rule) == ("shop", "shop.client_id")
    assert first.over_limit_share == pytest.approx(4 / 12)
    assert first.hits_per_second == pytest.approx(
        12 / answer.window.ToTimedelta().total_seconds(), rel=0.1
    )
    assert answer.keys[2].rule == ""
    assert len((await own.stub.ListHotKeys(pb.ListHotKeysRequest(page_size=2))).keys) == 2
    everything = await own.stub.ListHotKeys(pb.ListHotKeysRequest())
    assert {one.domain for one in everything.keys} == {"shop", "blog"}


async def test_a_hot_key_of_a_megabyte_is_told_in_short(own: Admin) -> None:
    for _ in range(3):
        await own.limiter.ask({"client_id": MEGABYTE})
    (found,) = (await own.stub.ListHotKeys(pb.ListHotKeysRequest())).keys
    assert found.ByteSize() < 200
    assert found.descriptor.entries[0].value.startswith("xxxx")
    assert found.descriptor.entries[0].value.endswith("…")


# -- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rpc", DESCRIBED)
async def test_requests_that_can_never_be_right_name_the_field(admin: Admin, rpc: str) -> None:
    make, call = getattr(pb, f"{rpc}Request"), getattr(admin.stub, rpc)
    extra = {"hits": 1} if rpc == "Grant" else {}
    with refused(INVALID, "domain"):
        await call(make(descriptor=of(("client_id", "x")), **extra))
    with refused(INVALID, "descriptor"):
        await call(make(domain="shop", **extra))
    with refused(INVALID, "descriptor"):
        await call(make(domain="shop", descriptor=of(), **extra))
    with refused(INVALID, "descriptor.entries"):
        await call(make(domain="shop", descriptor=of(*[("k", "v")] * 101), **extra))
    bad_unit = of(("client_id", "x"))
    bad_unit.limit.unit = 99  # type: ignore[assignment]
    with refused(INVALID, "descriptor.limit.unit"):
        await call(make(domain="shop", descriptor=bad_unit, **extra))
    assert not admin.written()


async def test_values_of_a_megabyte_are_keys_like_any_other(admin: Admin) -> None:
    huge, said = ("client_id", MEGABYTE), len(admin.limiter.said())
    (match,) = (await admin.explain(huge)).matches
    assert len(match.key) < 100
    grant = pb.GrantRequest(domain="shop", descriptor=of(huge), hits=1)
    assert [one.remaining for one in (await admin.stub.Grant(grant)).balances] == [9]
    answer = await admin.explain(("nobody", MEGABYTE))
    assert len(answer.unmatched_reason) < 200
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await admin.explain(("client_id", MEGABYTE * 5))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(admin.limiter.said()) - said < 2000, "the log does not grow by what is sent"


@pytest.mark.parametrize("hits", [0, -1, -(2**63), 2**32, 2**63 - 1])
async def test_grants_out_of_range(admin: Admin, hits: int) -> None:
    with refused(INVALID, "hits"):
        await admin.stub.Grant(
            pb.GrantRequest(domain="shop", descriptor=of(("client_id", "x")), hits=hits)
        )
    assert not admin.written()


@pytest.mark.parametrize(
    "expire_in",
    [
        Duration(), Duration(seconds=-1), Duration(nanos=-1), Duration(seconds=1, nanos=-1),
        Duration(nanos=10**9), Duration(seconds=2**62), Duration(seconds=-(2**63)),
        Duration(seconds=3_153_600_001),
    ],
    ids=str,
)  # fmt: skip
async def test_grants_for_no_time(admin: Admin, expire_in: Duration) -> None:
    request = pb.GrantRequest(
        domain="shop", descriptor=of(("client_id", "x")), hits=1, expire_in=expire_in
    )
    with refused(INVALID, "expire_in"):
        await admin.stub.Grant(request)
    assert not admin.written()


@pytest.mark.parametrize("hits", [0, 2**32 - 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("negative", [False, True])
async def test_explain_takes_any_number_of_hits(admin: Admin, hits: int, negative: bool) -> None:
    request = pb.ExplainRequest(domain="shop", descriptor=of(("client_id", "x"), hits=hits))
    request.descriptor.is_negative_hits = negative
    (match,) = (await admin.stub.Explain(request)).matches
    assert match.would_be == (OVER if hits and not negative else OK)
    assert not admin.written()


@pytest.mark.parametrize(
    "text",
    [
        "limit",
        "limit <",
        "unit = minute",
        "a = b",
        "(",
        '"',
        "limit < 3.5",
        "x" * 5000,
        "NOT",
        "é = ß",
    ],
    ids=lambda text: text[:12],
)
async def test_a_filter_that_is_none_is_refused_even_without_rules(admin: Admin, text: str) -> None:
    with refused(INVALID, "filter"):
        await admin.stub.ListRules(pb.ListRulesRequest(domain="blog", filter=text))


@pytest.mark.parametrize("size", [-1, -(2**31)])
async def test_pages_of_less_than_nothing(admin: Admin, size: int) -> None:
    with refused(INVALID, "page_size"):
        await admin.stub.ListRules(pb.ListRulesRequest(page_size=size))
    with refused(INVALID, "page_size"):
        await admin.stub.ListHotKeys(pb.ListHotKeysRequest(page_size=size))
