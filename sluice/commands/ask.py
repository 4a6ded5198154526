"""`sluice ask`: one ShouldRateLimit call, and its answer in a table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
import grpc
from google.protobuf.json_format import MessageToDict

from sluice.limiter import PATIENCE_SECONDS, allowance, call, descriptors_of, says_the_same
from sluice.outcome import ExitCode
from sluice.screen import console, plain, show, span, table
from wire.envoy.service.ratelimit.v3 import rls_pb2
from wire.envoy.service.ratelimit.v3.rls_pb2_grpc import RateLimitServiceStub
from wire.sluice.ratelimit.v1 import ratelimit_pb2 as pb
from wire.sluice.ratelimit.v1.ratelimit_pb2_grpc import RateLimitAdminServiceStub

if TYPE_CHECKING:
    from collections.abc import Sequence

# The answer is there already; the names of its rules are worth this much more waiting.
_RULES_SECONDS = 1.0
_TITLES = ("descriptor", "code", "rule", "limit", "remaining", "reset")


def run(
    target: str,
    domain: str,
    texts: Sequence[str],
    *,
    hits: int,
    as_json: bool,
    admin: str | None = None,
) -> int:
    """Ask `target` (host:port) about descriptors (each `key=value[,key=value]...`).

    `admin` is the admin port of the same limiter, if it is known: it knows the rules' names.
    """
    request = rls_pb2.RateLimitRequest(domain=domain, descriptors=descriptors_of(texts, hits))
    answer = call(
        target,
        lambda channel: RateLimitServiceStub(channel).ShouldRateLimit(
            request, timeout=PATIENCE_SECONDS
        ),
    )
    rules = _rules(admin, request, answer) if admin is not None else None
    if as_json:
        found = MessageToDict(answer, preserving_proto_field_name=True)
        click.echo(json.dumps(found if rules is None else found | {"rules": rules}))
    else:
        _show(texts, answer, rules)
    return ExitCode.OK  # a refusal is an answer


def _rules(
    admin: str, request: rls_pb2.RateLimitRequest, answer: rls_pb2.RateLimitResponse
) -> list[str] | None:
    """Return the path of the rule that each status tells of; None where nobody says."""
    try:
        with grpc.insecure_channel(admin) as channel:
            stub = RateLimitAdminServiceStub(channel)
            found = []
            for descriptor, status in zip(request.descriptors, answer.statuses, strict=False):
                question = pb.ExplainRequest(domain=request.domain, descriptor=descriptor)
                explained = stub.Explain(question, timeout=_RULES_SECONDS)
                found.append(_rule(explained, status))
            return found
    except grpc.RpcError:
        return None  # it is away, or kept from us: the answer stands without


def _rule(explained: pb.ExplainResponse, status: rls_pb2.RateLimitResponse.DescriptorStatus) -> str:
    matches = list(explained.matches)
    if status.HasField("current_limit"):
        limit = status.current_limit
        unit = rls_pb2.RateLimitResponse.RateLimit.Unit.Name(limit.unit)
        same = [
            match
            for match in matches
            if says_the_same(match, limit.requests_per_unit, unit, limit.name)
        ]
        matches = same or matches
    return ", ".join(match.rule for match in matches)


def _show(
    texts: Sequence[str], answer: rls_pb2.RateLimitResponse, rules: Sequence[str] | None
) -> None:
    shown = table(*_TITLES, right=("remaining", "reset"))
    for number, (text, status) in enumerate(zip(texts, answer.statuses, strict=False)):
        code = rls_pb2.RateLimitResponse.Code.Name(status.code)
        limit = status.current_limit
        rule = plain(rules[number] if rules is not None else limit.name) or "-"
        if status.HasField("current_limit"):
            unit = rls_pb2.RateLimitResponse.RateLimit.Unit.Name(limit.unit)
            named = f" ({limit.name})" if limit.name else ""
            said = plain(f"{allowance(limit.requests_per_unit, unit)}{named}")
            reset = span(status.duration_until_reset.ToTimedelta().total_seconds())
            shown.add_row(plain(text), code, rule, said, str(status.limit_remaining), reset)
        elif status.limit_remaining:
            shown.add_row(plain(text), code, rule, "unlimited", "-", "-")
        else:
            shown.add_row(plain(text), code, rule, "none", "-", "-")
    show(console(), shown)
    click.echo(rls_pb2.RateLimitResponse.Code.Name(answer.overall_code))
