"""The suite itself: a careless server fails it, and its command says how it went."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc
import pytest
import yaml
from click.testing import CliRunner

from tests.conformance import run as running
from tests.conformance.__main__ import main
from tests.conformance.cases import ALL
from tests.conformance.judge import faults
from tests.conformance.report import lines, summary
from tests.conformance.run import METHOD, Outcome, Target, run
from tests.conformance.servers import RULES
from tests.conformance.table import (
    FREE,
    Ask,
    Need,
    Profile,
    Refusal,
    Seconds,
    WindowEnd,
    answer,
    ok,
    over,
)
from tests.servers import free_port
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from click.testing import Result

    from tests.conformance.table import Answer


@contextlib.asynccontextmanager
async def _answering(
    give: Callable[[bytes, grpc.aio.ServicerContext[bytes, bytes]], Awaitable[bytes]],
) -> AsyncIterator[Target]:
    server = grpc.aio.server()
    _, service, method = METHOD.split("/")
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(give)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield Target(address=f"127.0.0.1:{port}", has=frozenset(Need) - {Need.STORE})
    finally:
        await server.stop(None)


async def test_a_server_that_lets_everything_pass_passes_no_case() -> None:
    async def give(_: bytes, __: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return RateLimitResponse(overall_code=RateLimitResponse.OK).SerializeToString()

    async with _answering(give) as target:
        # Runs again would wait for the ends of seconds.
        once = [replace(case, window_seconds=10**12) for case in ALL]
        outcomes = await asyncio.gather(*(run(case, target) for case in once))
    passed = [o.case.name for o in outcomes if not o.faults and o.skipped is None]
    assert passed == []
    assert {o.skipped for o in outcomes if o.skipped} == {Need.STORE}


async def test_a_server_that_answers_every_call_with_an_error_passes_only_those_that_want_one() -> None:  # fmt: skip
    async def give(_: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await context.abort(grpc.StatusCode.UNKNOWN, "rate limit domain must not be empty")

    async with _answering(give) as target:
        once = [replace(case, window_seconds=10**12) for case in ALL]
        outcomes = await asyncio.gather(*(run(case, target) for case in once))
    passed = {o.case.name for o in outcomes if not o.faults and o.skipped is None}
    assert passed == {
        "an_empty_domain_is_an_error_with_its_text",
        "of_two_mistakes_the_domain_is_told_first",
    }


def _response(**status: int) -> RateLimitResponse:
    response = RateLimitResponse(overall_code=RateLimitResponse.OK)
    added = response.statuses.add(code=RateLimitResponse.OK)
    added.current_limit.requests_per_unit, added.current_limit.unit = (
        5,
        RateLimitResponse.RateLimit.DAY,
    )
    added.limit_remaining = status.get("remaining", 4)
    added.duration_until_reset.seconds = status.get("seconds", 10)
    added.duration_until_reset.nanos = status.get("nanos", 0)
    return response


@pytest.mark.parametrize(
    ("want", "fault"),
    [
        (answer(ok(5, "DAY", 4)), ""),
        (answer(ok(5, "DAY", 4, reset=Seconds(9, 10, whole=True))), ""),
        (answer(over(5, "DAY", 4), over=True), "overall OK instead of OVER_LIMIT"),
        (answer(over(5, "DAY", 4)), "statuses[0]: OK instead of OVER_LIMIT"),
        (answer(ok(5, "DAY", 3)), "limit_remaining 4 instead of 3"),
        (answer(ok(6, "DAY")), "current_limit (5, 'DAY', '') instead of (6, 'DAY', '')"),
        (answer(ok(5, "HOUR")), "current_limit"),
        (answer(ok(5, "DAY", name="five")), "current_limit"),
        (answer(FREE), "current_limit is set"),
        (answer(ok(5, "DAY"), FREE), "1 statuses instead of 2"),
        (answer(ok(5, "DAY", reset=Seconds(10, 20))), "duration_until_reset is 10 s"),
        (answer(ok(5, "DAY", reset=Seconds(5, 9))), "duration_until_reset is 10 s"),
        (answer(ok(5, "DAY", reset=WindowEnd(5))), "the window ends in"),
        (answer(headers={"ratelimit-limit": ""}), "headers [] instead of ['ratelimit-limit']"),
        (answer(metadata={"a.b": 1.0}), "dynamic_metadata a.b is None instead of 1.0"),
        (Refusal(codes=(grpc.StatusCode.UNKNOWN,)), "an answer, OK, instead of error UNKNOWN"),
    ],
)  # fmt: skip
def test_an_answer_is_judged_field_by_field(want: Answer | Refusal, fault: str) -> None:
    found = faults(want, _response())
    if fault:
        assert any(fault in one for one in found), found
    else:
        assert found == []


def test_a_fraction_is_not_whole() -> None:
    whole = answer(ok(5, "DAY", reset=Seconds(0, 20, whole=True)))
    assert "cuts the fraction off" in "".join(faults(whole, _response(nanos=5)))


def test_cases_have_names_of_their_own_and_every_profile_has_some() -> None:
    names = [case.name for case in ALL]
    assert len(set(names)) == len(names) >= 80
    assert {case.profile for case in ALL} == set(Profile)
    assert not {case.group for case in ALL} & set(names), "--only takes either"
    assert all(case.source and case.steps for case in ALL)
    assert [case.deadly for case in ALL] == sorted(case.deadly for case in ALL), "deadly ones last"


def test_every_rule_file_is_asked_about() -> None:
    files = {yaml.safe_load(path.read_text())["domain"] for path in RULES.glob("*.yaml")}
    asked = {step.domain for case in ALL for step in case.steps if isinstance(step, Ask)}
    assert files
    assert files <= asked


def test_a_report_says_what_failed_what_was_skipped_and_the_sum() -> None:
    first, second = [case for case in ALL if case.group == "errors"][:2]
    headers = next(case for case in ALL if case.need is Need.HEADERS)
    outcomes = [
        Outcome(case=first),
        Outcome(case=second, faults=("step 1, it says no",)),
        Outcome(case=headers, skipped=Need.HEADERS),
    ]
    said = "\n".join(line for outcome in outcomes for line in lines(outcome))
    assert f"pass  contract   errors           {first.name}" in said
    assert f"FAIL  contract   errors           {second.name}" in said
    assert second.source in said
    assert "step 1, it says no" in said
    assert f"skip  contract   headers          {headers.name}" in said
    table = list(summary(outcomes))
    assert ["errors", "1/2"] in [line.split() for line in table]
    assert ["headers", "-"] in [line.split() for line in table]
    assert table[-1] == "1 passed, 1 failed, 2 run"
    assert any("LIMIT_RESPONSE_HEADERS_ENABLED=true" in line for line in table)


def test_the_list_leaves_out_the_other_way_of_counting() -> None:
    exact = CliRunner().invoke(main, ["--list"]).output
    reference = CliRunner().invoke(main, ["--list", "--reference-semantics"]).output
    assert "refused_hits_cost_nothing" in exact
    assert "refused_hits_count" not in exact
    assert "refused_hits_count" in reference
    assert "refused_hits_cost_nothing" not in reference
    one = CliRunner().invoke(main, ["--list", "--only", "refused_hits_count"]).output
    assert one.splitlines()[-1] == "1 cases"
    group = CliRunner().invoke(main, ["--list", "--only", "charging"]).output
    assert all(" charging " in line for line in group.splitlines()[:-1])


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 2, "--target HOST:PORT"),
        (["--target", "x:1", "--only", "chargin"], 2, "did you mean charging?"),
        (["--target", "x:1", "--with", "wings"], 2, "'headers', 'metadata'"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], code: int, text: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code
    assert text in result.output


def test_a_target_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "OPEN_SECONDS", 0.2)
    result = CliRunner().invoke(main, ["--target", f"127.0.0.1:{free_port()}"])
    assert result.exit_code == 3
    assert "nothing answers at 127.0.0.1" in result.output


async def test_a_target_without_the_rules_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def give(_: bytes, __: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return RateLimitResponse(overall_code=RateLimitResponse.OK).SerializeToString()

    monkeypatch.setattr(running, "OPEN_SECONDS", 1.0)
    async with _answering(give) as target:
        arguments = ["--target", target.address]
        result = await asyncio.to_thread(CliRunner().invoke, main, arguments)
    assert result.exit_code == 3
    assert "start it with the files of tests/conformance/rules" in result.output


async def test_the_command_ends_as_the_cases_did() -> None:
    async def give(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        if not RateLimitRequest.FromString(request).domain:
            await context.abort(grpc.StatusCode.UNKNOWN, "rate limit domain must not be empty")
        response = RateLimitResponse(overall_code=RateLimitResponse.OVER_LIMIT)
        status = response.statuses.add(code=RateLimitResponse.OVER_LIMIT)
        status.current_limit.unit = RateLimitResponse.RateLimit.YEAR
        status.duration_until_reset.seconds = 1
        return response.SerializeToString()

    async with _answering(give) as target:

        async def ends(case: str) -> Result:
            arguments = ["--target", target.address, "--only", case]
            return await asyncio.to_thread(CliRunner().invoke, main, arguments)

        passed = await ends("an_empty_domain_is_an_error_with_its_text")
        failed = await ends("five_a_day_lets_five_pass")
    assert (passed.exit_code, failed.exit_code) == (0, 1)
    assert "1 passed, 0 failed, 1 run" in passed.output
    assert "0 passed, 1 failed, 1 run" in failed.output
    assert "step 1, call 1 of 1: overall OVER_LIMIT instead of OK" in failed.output
