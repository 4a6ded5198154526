"""The admin API of the whole service: explanations, balances and changes by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
import redis
from google.protobuf.duration_pb2 import Duration

from tests.integration.ratelimit_service.admin import (
    DESCRIBED,
    OK,
    OVER,
    Admin,
    of,
    refused,
    serving,
)
from tests.servers import start_valkey
from tests.waiting import wait_until
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest
from wire.envoy.type.v3 import ratelimit_unit_pb2
from wire.sluice.ratelimit.v1 import ratelimit_pb2 as pb
from wire.sluice.ratelimit.v1.ratelimit_pb2_grpc import RateLimitAdminServiceStub

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")


# -- Explain -------------------------------------------------------------------------------------


async def test_explain_says_which_rule_why_and_what_is_left(admin: Admin) -> None:
    await admin.limiter.ask({"client_id": "alice"}, hits=6)
    (match,) = (await admin.explain(("client_id", "alice"), hits=3)).matches
    assert (match.rule, match.name) == ("shop.client_id", "per client")
    assert (match.algorithm, match.limit, match.burst) == (pb.ALGORITHM_TOKEN_BUCKET, 5, 8)
    assert (match.unit, match.unit_multiplier) == (pb.UNIT_MINUTE, 1)
    assert (match.balance, match.would_be) == (2, OVER)
    assert 0 < match.reset_in.ToMilliseconds() <= 12_000
    assert match.key.encode() in admin.written()
    (entry,) = match.entries
    assert (entry.index, entry.kind, entry.level.key) == (0, pb.MATCH_KIND_KEY, "client_id")
    (match,) = (await admin.explain(("client_id", "alice"))).matches
    assert match.would_be == OK, "absent hits are one"


async def test_explain_tells_how_each_entry_matched(admin: Admin) -> None:
    (match,) = (await admin.explain(("path", "/admin/users"), ("method", "GET"))).matches
    assert match.rule == "shop.path_/admin/*.method"
    assert [(one.kind, one.level.key, one.level.value) for one in match.entries] == [
        (pb.MATCH_KIND_WILDCARD, "path", "/admin/*"), (pb.MATCH_KIND_KEY, "method", ""),
    ]  # fmt: skip
    assert match.unit_multiplier == 2
    (match,) = (await admin.explain(("path", "/pay"))).matches
    assert [one.kind for one in match.entries] == [pb.MATCH_KIND_EXACT]
    assert match.algorithm == pb.ALGORITHM_FIXED_WINDOW


async def test_explain_of_a_limit_that_the_descriptor_brings_along(admin: Admin) -> None:
    request = pb.ExplainRequest(domain="shop", descriptor=of(("any", "thing"), hits=8))
    request.descriptor.limit.requests_per_unit = 7
    request.descriptor.limit.unit = ratelimit_unit_pb2.HOUR
    (match,) = (await admin.stub.Explain(request)).matches
    assert (match.rule, match.limit, match.unit) == ("shop.any_thing", 7, pb.UNIT_HOUR)
    assert (match.balance, match.would_be) == (7, OVER)
    (entry,) = match.entries
    assert entry.kind == pb.MATCH_KIND_OVERRIDE
    assert not entry.HasField("level")
    assert not admin.written()


async def test_explain_of_every_odd_kind(admin: Admin) -> None:
    (open_,) = (await admin.explain(("open", "x"))).matches
    assert (open_.unlimited, open_.key, open_.unit) == (True, "", pb.UNIT_UNSPECIFIED)
    assert (open_.algorithm, open_.would_be) == (pb.ALGORITHM_UNSPECIFIED, OK)
    assert (open_.name, list(open_.replaces)) == ("vip", ["per client"])
    (closed,) = (await admin.explain(("closed", "x"))).matches
    assert (closed.limit, closed.balance, closed.would_be) == (0, 0, OVER)
    await admin.limiter.ask({"quiet": "x"}, hits=2)
    (quiet,) = (await admin.explain(("quiet", "x"))).matches
    assert (quiet.shadow_mode, quiet.balance, quiet.would_be) == (True, 0, OK)
    await admin.limiter.ask({"quota": "x"}, hits=3)
    (quota,) = (await admin.explain(("quota", "x"))).matches
    assert (quota.quota_mode, quota.balance, quota.would_be) == (True, -1, OVER)
    first, second = (await admin.explain(("both", "x"), hits=6)).matches
    assert (first.rule, first.would_be) == ("shop.both", OVER)
    assert (second.rule, second.would_be) == ("shop.both#2", OK)


@pytest.mark.parametrize(
    ("domain", "entries", "why"),
    [
        ("blog", [("client_id", "x")], "no rule file has the domain 'blog'; there are: shop"),
        ("shop", [("path", "/admin/x")], "shop.path_/admin/* has no rate_limit of its own"),
        ("shop", [("path", "/")], "no descriptor below shop fits entry 0, path=/"),
        ("shop", [("client_id", "x"), ("a", "b")], "below shop.client_id fits entry 1, a=b"),
    ],
)
async def test_explain_says_why_nothing_applies(
    admin: Admin, domain: str, entries: list[tuple[str, str]], why: str
) -> None:
    answer = await admin.stub.Explain(pb.ExplainRequest(domain=domain, descriptor=of(*entries)))
    assert not answer.matches
    assert why in answer.unmatched_reason


async def test_explain_agrees_with_the_answer_that_comes_next(admin: Admin) -> None:
    for key, used, hits in (
        ("client_id", 7, 1),
        ("client_id", 7, 2),
        ("quota", 1, 2),
        ("both", 4, 2),
    ):
        entry = (key, f"{used}-{hits}")
        await admin.limiter.ask(dict([entry]), hits=used)
        matches = (await admin.explain(entry, hits=hits)).matches
        answer = await admin.limiter.ask(dict([entry]), hits=hits)
        over = any(match.would_be == OVER for match in matches)
        assert (answer.statuses[0].code == OVER) == over, entry


# -- GetBalance, Reset, Grant --------------------------------------------------------------------


async def test_reset_gives_the_next_call_a_full_bucket(admin: Admin) -> None:
    await admin.limiter.ask({"both": "x"}, hits=5)
    assert (await admin.limiter.ask({"both": "x"}, hits=5)).overall_code == OVER
    request = pb.ResetRequest(domain="shop", descriptor=of(("both", "x")))
    for _ in range(2):
        balances = (await admin.stub.Reset(request)).balances
        assert [(one.rule, one.capacity, one.remaining) for one in balances] == [
            ("shop.both", 5, 5), ("shop.both#2", 20, 20),
        ]  # fmt: skip
    assert not admin.written()
    assert await admin.left(("both", "x")) == [5, 20]
    assert (await admin.limiter.ask({"both": "x"}, hits=5)).overall_code == OK


async def test_a_grant_passes_calls_above_the_capacity_and_expires(admin: Admin) -> None:
    request = pb.GrantRequest(domain="shop", descriptor=of(("path", "/pay")), hits=2)
    (balance,) = (await admin.stub.Grant(request)).balances
    assert (balance.capacity, balance.remaining, balance.full_in) == (3, 5, Duration())
    codes = [(await admin.limiter.ask({"path": "/pay"})).overall_code for _ in range(6)]
    assert codes == [OK] * 5 + [OVER]
    request = pb.GrantRequest(
        domain="shop", descriptor=of(("client_id", "x")), hits=4, expire_in=Duration(nanos=1)
    )
    await admin.stub.Grant(request)

    async def has_expired() -> bool:
        return await admin.left(("client_id", "x")) == [8]

    await wait_until(has_expired, description="the grant has expired")
    request.expire_in.CopyFrom(Duration(seconds=60))
    assert [one.remaining for one in (await admin.stub.Grant(request)).balances] == [12]
    assert [one.remaining for one in (await admin.stub.Grant(request)).balances] == [16]
    (key,) = {key for key in admin.written() if b"minute" in key}
    assert 0 < admin.store.pttl(key) <= 60_001


async def test_a_grant_is_not_given_to_a_limit_of_0(admin: Admin) -> None:
    request = pb.GrantRequest(domain="shop", descriptor=of(("closed", "x")), hits=1)
    with refused(grpc.StatusCode.FAILED_PRECONDITION, reason="LIMIT_IS_ZERO"):
        await admin.stub.Grant(request)


@pytest.mark.parametrize("rpc", ["GetBalance", "Reset", "Grant"])
async def test_what_no_limit_applies_to_is_not_found(admin: Admin, rpc: str) -> None:
    request = getattr(pb, f"{rpc}Request")(domain="shop", descriptor=of(("nobody", "x")))
    if rpc == "Grant":
        request.hits = 1
    with refused(grpc.StatusCode.NOT_FOUND, reason="RULE_NOT_FOUND"):
        await getattr(admin.stub, rpc)(request)
    request.descriptor.CopyFrom(of(("open", "x")))
    assert not (await getattr(admin.stub, rpc)(request)).balances
    assert not admin.written()


async def test_every_change_is_logged_with_who_and_what(own: Admin) -> None:
    descriptor = of(("client_id", "alice"))
    await own.stub.Reset(pb.ResetRequest(domain="shop", descriptor=descriptor))
    await own.stub.Grant(pb.GrantRequest(domain="shop", descriptor=descriptor, hits=7))
    nobody = pb.GrantRequest(domain="shop", descriptor=of(("nobody", "x")), hits=7)
    with refused(grpc.StatusCode.NOT_FOUND):
        await own.stub.Grant(nobody)
    await wait_until(
        lambda: own.limiter.said().count("change by hand") == 3, description="all are logged"
    )
    reset, grant, in_vain = [
        line for line in own.limiter.said().splitlines() if "change by hand" in line
    ]
    for line in (reset, grant):
        for word in ("outcome=done", "ipv4:127.0.0.1:", "domain=shop", "client_id=alice"):
            assert word in line
    assert "act=reset" in reset
    assert "act=grant" in grant
    assert "hits=7" in grant
    assert "no limit applies" in in_vain


async def test_asking_is_not_logged_as_a_change(own: Admin) -> None:
    await own.explain(("client_id", "alice"))
    await own.left(("client_id", "alice"))
    await own.stub.Reset(pb.ResetRequest(domain="shop", descriptor=of(("client_id", "bob"))))
    await wait_until(lambda: "change by hand" in own.limiter.said(), description="it is logged")
    assert "alice" not in own.limiter.said()


# -- around it -----------------------------------------------------------------------------------


async def test_without_redis_what_needs_it_is_unavailable(tmp_path: Path, grpc_server: str) -> None:
    with start_valkey() as store:
        async with serving(tmp_path, store.url, SLUICE_GRPC_SERVER=grpc_server) as admin:
            store.kill()
            descriptor = of(("client_id", "x"))
            for rpc in DESCRIBED:
                request = getattr(pb, f"{rpc}Request")(domain="shop", descriptor=descriptor)
                if rpc == "Grant":
                    request.hits = 1
                with refused(grpc.StatusCode.UNAVAILABLE):
                    await getattr(admin.stub, rpc)(request)
            assert (await admin.stub.ListRules(pb.ListRulesRequest())).rules
            assert (await admin.stub.GetConfig(pb.GetConfigRequest())).generation == 1
            open_ = pb.ExplainRequest(domain="shop", descriptor=of(("open", "x")))
            assert (await admin.stub.Explain(open_)).matches[0].unlimited
            await wait_until(
                lambda: admin.limiter.said().count("change by hand") == 2,
                description="what may have been changed is logged",
            )


async def test_the_ports_keep_their_services_apart(admin: Admin) -> None:
    """Who may ask for a decision cannot change it."""
    stub: Any = RateLimitAdminServiceStub(admin.limiter.channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetConfig(pb.GetConfigRequest())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_in_reference_mode_everything_is_a_fixed_window(
    tmp_path: Path, valkey: Server
) -> None:
    async with serving(tmp_path, valkey.url, RATELIMIT_MODE="reference") as admin:
        await admin.limiter.ask({"client_id": "x"}, hits=7)
        (match,) = (await admin.explain(("client_id", "x"))).matches
        assert (match.algorithm, match.limit, match.burst) == (pb.ALGORITHM_FIXED_WINDOW, 5, 5)
        assert (match.balance, match.would_be) == (-2, OVER)
        assert 1 <= match.reset_in.seconds <= 60
        rules = (await admin.stub.ListRules(pb.ListRulesRequest())).rules
        assert {one.algorithm for one in rules if not one.unlimited} == {pb.ALGORITHM_FIXED_WINDOW}
        reset = pb.ResetRequest(domain="shop", descriptor=of(("client_id", "x")))
        assert [one.remaining for one in (await admin.stub.Reset(reset)).balances] == [5]


async def test_a_second_redis_is_asked_for_limits_per_second(
    tmp_path: Path, valkey: Server
) -> None:
    with start_valkey() as second, redis.Redis(port=second.port) as other:
        environ = {"REDIS_PERSECOND": "true", "REDIS_PERSECOND_URL": second.url}
        async with serving(tmp_path, valkey.url, **environ) as admin:
            await admin.explain(("both", "x"), hits=5)
            assert other.dbsize() == 0, "and nothing is written there"
            grant = pb.GrantRequest(domain="shop", descriptor=of(("both", "x")), hits=5)
            grant.expire_in.FromSeconds(60)
            answer = await admin.stub.Grant(grant)
            assert [one.remaining for one in answer.balances] == [10, 25]
            assert len(admin.written()) == other.dbsize() == 1
            await admin.stub.Reset(pb.ResetRequest(domain="shop", descriptor=of(("both", "x"))))
            assert len(admin.written()) == other.dbsize() == 0


async def test_a_request_is_planned_as_the_admin_api_says(admin: Admin) -> None:
    """What Envoy sends can be pasted into Explain unchanged."""
    sent = RateLimitRequest(domain="shop", descriptors=[of(("client_id", "x"), hits=3)])
    await admin.limiter.stub.ShouldRateLimit(sent)
    request = pb.ExplainRequest(domain=sent.domain, descriptor=sent.descriptors[0])
    assert (await admin.stub.Explain(request)).matches[0].balance == 5
