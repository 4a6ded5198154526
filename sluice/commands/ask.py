"""`sluice ask`: one ShouldRateLimit call, and its answer in a table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
import grpc
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.table import Table

from sluice.outcome import CannotReach, ExitCode, OperatorError, WrongUsage
from wire.envoy.service.ratelimit.v3 import rls_pb2
from wire.envoy.service.ratelimit.v3.rls_pb2_grpc import RateLimitServiceStub

if TYPE_CHECKING:
    from collections.abc import Sequence

_PATIENCE_SECONDS = 5.0  # a person waits; a service that needs longer is as good as away


def run(target: str, domain: str, descriptors: Sequence[str], *, hits: int, as_json: bool) -> int:
    """Ask `target` (host:port) about `descriptors` (each `key=value[,key=value]...`)."""
    request = rls_pb2.RateLimitRequest(domain=domain)
    for text in descriptors:
        descriptor = request.descriptors.add()
        descriptor.hits_addend.value = hits
        for pair in text.split(","):
            key, equals, value = pair.partition("=")
            if not equals or not key:
                raise WrongUsage(f"'{text}' is not a descriptor; write key=value[,key=value]...")
            descriptor.entries.add(key=key, value=value)
    answer = _call(target, request)
    if as_json:
        click.echo(json.dumps(MessageToDict(answer, preserving_proto_field_name=True)))
    else:
        _show(descriptors, answer)
    return ExitCode.OK  # a refusal is an answer


def _call(target: str, request: rls_pb2.RateLimitRequest) -> rls_pb2.RateLimitResponse:
    with grpc.insecure_channel(target) as channel:
        try:
            return RateLimitServiceStub(channel).ShouldRateLimit(request, timeout=_PATIENCE_SECONDS)
        except grpc.RpcError as error:
            code, details = error.code(), error.details()
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        raise CannotReach(f"{target} does not answer ({details}); is `sluice up` running?")
    raise OperatorError(f"{target} refused the call: {code.name}: {details}")


def _show(descriptors: Sequence[str], answer: rls_pb2.RateLimitResponse) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("descriptor", "code", "limit", "remaining", "reset"):
        table.add_column(title, justify="right" if title in ("remaining", "reset") else "left")
    for text, status in zip(descriptors, answer.statuses, strict=False):
        code = rls_pb2.RateLimitResponse.Code.Name(status.code)
        if status.HasField("current_limit"):
            limit = status.current_limit
            unit = rls_pb2.RateLimitResponse.RateLimit.Unit.Name(limit.unit).lower()
            reset = status.duration_until_reset.ToTimedelta().total_seconds()
            named = f" ({limit.name})" if limit.name else ""
            article = "an" if unit == "hour" else "a"
            allowed = f"{limit.requests_per_unit} {article} {unit}{named}"
            table.add_row(text, code, allowed, str(status.limit_remaining), f"{reset:.3g} s")
        elif status.limit_remaining:
            table.add_row(text, code, "unlimited", "-", "-")
        else:
            table.add_row(text, code, "none", "-", "-")
    Console().print(table)
    click.echo(rls_pb2.RateLimitResponse.Code.Name(answer.overall_code))
