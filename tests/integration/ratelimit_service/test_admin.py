"""The admin API of the whole service, as a client calls it, on both servers and a real store."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import pytest_asyncio
import redis
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from tests.integration.ratelimit_service.limiter import running
from tests.servers import start_valkey
from tests.waiting import wait_until
from wire.envoy.extensions.common.ratelimit.v3 import ratelimit_pb2
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse
from wire.envoy.type.v3 import ratelimit_unit_pb2
from wire.sluice.ratelimit.v1 import ratelimit_pb2 as pb
from wire.sluice.ratelimit.v1.ratelimit_pb2_grpc import RateLimitAdminServiceStub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from tests.integration.ratelimit_service.limiter import Limiter
    from tests.servers import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVERS = ("fastlane", "grpcio")
OK, OVER = RateLimitResponse.OK, RateLimitResponse.OVER_LIMIT
INVALID = grpc.StatusCode.INVALID_ARGUMENT
RULES = """\
domain: shop
descriptors:
  - key: client_id
    rate_limit: {unit: minute, requests_per_unit: 5, burst: 8, name: per client}
  - key: path
    value: /pay
    rate_limit: {unit: hour, requests_per_unit: 3, algorithm: fixed_window}
  - key: path
    value: /admin/*
    descriptors:
      - key: method
        rate_limit: {unit: hour, requests_per_unit: 4, unit_multiplier: 2}
  - key: closed
    rate_limit: {unit: day, requests_per_unit: 0}
  - key: open
    rate_limit: {unlimited: true, name: vip, replaces: [{name: per client}]}
  - key: quiet
    shadow_mode: true
    rate_limit: {unit: hour, requests_per_unit: 2}
  - key: quota
    quota_mode: true
    rate_limit: {unit: hour, requests_per_unit: 2}
  - key: both
    on_store_failure: local
    limits:
      - {unit: second, requests_per_unit: 5}
      - {unit: hour, requests_per_unit: 20, algorithm: sliding_window}
  - key: lane
    shard_by: lane
    share_threshold: false
    lease: {max_share: 0.25, max_ms: 500}
    rate_limit:
      unit: day
      requests_per_unit: 10
      schedule:
        - {days: [sat, sun], from: "08:00", to: "12:30", time_zone: Europe/Paris, requests_per_unit: 90}
"""
MEGABYTE = "x" * 2**20


def of(*entries: tuple[str, str], hits: int | None = None) -> ratelimit_pb2.RateLimitDescriptor:
    found = ratelimit_pb2.RateLimitDescriptor()
    for key, value in entries:
        found.entries.add(key=key, value=value)
    if hits is not None:
        found.hits_addend.value = hits
    return found


class Admin:
    """A limiter with a client of its admin API, and one of its store."""

    def __init__(self, limiter: Limiter, store: redis.Redis) -> None:
        self.limiter = limiter
        self.store = store
        self.channel = grpc.aio.insecure_channel(
            f"127.0.0.1:{limiter.admin_port}",
            options=[("grpc.max_receive_message_length", 32 * 2**20)],
        )
        self.stub: Any = RateLimitAdminServiceStub(self.channel)

    def written(self) -> set[bytes]:
        return {key for key in self.store.scan_iter() if key != b"rate_limit:{replicas}"}

    async def explain(
        self, *entries: tuple[str, str], hits: int | None = None
    ) -> pb.ExplainResponse:
        before = self.written()
        request = pb.ExplainRequest(domain="shop", descriptor=of(*entries, hits=hits))
        answer: pb.ExplainResponse = await self.stub.Explain(request)
        assert self.written() == before, "Explain wrote a key"
        return answer

    async def left(self, *entries: tuple[str, str]) -> list[int]:
        request = pb.GetBalanceRequest(domain="shop", descriptor=of(*entries))
        answer = await self.stub.GetBalance(request)
        return [balance.remaining for balance in answer.balances]


@contextlib.asynccontextmanager
async def serving(
    folder: Path, redis_url: str, rules: str = RULES, **environ: str
) -> AsyncIterator[Admin]:
    with (
        running(folder, redis_url, rules, **environ) as limiter,
        redis.Redis.from_url(redis_url) as store,
    ):
        await limiter.ready()
        admin = Admin(limiter, store)
        yield admin
        await admin.channel.close()
        await limiter.channel.close()


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Admin]]:
    """Give a service on each server, for tests that leave it as it was."""
    async with contextlib.AsyncExitStack() as stack:
        found = {}
        for server in SERVERS:
            store = stack.enter_context(start_valkey())
            folder = tmp_path_factory.mktemp(server)
            found[server] = await stack.enter_async_context(
                serving(folder, store.url, SLUICE_GRPC_SERVER=server)
            )
        yield found


@pytest.fixture
def admin(both: dict[str, Admin], server: str) -> Admin:
    admin = both[server]
    admin.store.flushdb()
    return admin


@pytest_asyncio.fixture(loop_scope="module")
async def own(tmp_path: Path, valkey: Server, server: str) -> AsyncIterator[Admin]:
    """Give a service of the test's own."""
    async with serving(tmp_path, valkey.url, SLUICE_GRPC_SERVER=server) as started:
        yield started


@contextlib.contextmanager
def refused(code: grpc.StatusCode, field: str = "", reason: str = "") -> Iterator[None]:
    """Expect an error status; `field` is named by its details, `reason` is theirs."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield
    error = caught.value
    assert error.code() is code, error.details()
    assert len(error.details() or "") < 2000
    trailers = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    assert info.domain == "sluice"
    assert not reason or info.reason == reason
    assert not field or [one.field for one in bad.field_violations] == [field]


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

DESCRIBED = ["Explain", "GetBalance", "Reset", "Grant"]


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


# -- around it -----------------------------------------------------------------------------------


async def test_without_redis_what_needs_it_is_unavailable(tmp_path: Path, server: str) -> None:
    with start_valkey() as store:
        async with serving(tmp_path, store.url, SLUICE_GRPC_SERVER=server) as admin:
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
