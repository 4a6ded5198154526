"""`sluice explain`: which rules a descriptor meets, why, and what is left. Charges nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
from google.protobuf.json_format import MessageToDict

from sluice.limiter import PATIENCE_SECONDS, allowance, call, descriptors_of
from sluice.outcome import ExitCode
from sluice.screen import console, plain, show, span, table
from wire.envoy.service.ratelimit.v3 import rls_pb2
from wire.sluice.ratelimit.v1 import ratelimit_pb2 as pb
from wire.sluice.ratelimit.v1.ratelimit_pb2_grpc import RateLimitAdminServiceStub

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc
    from rich.table import Table

    from wire.envoy.extensions.common.ratelimit.v3.ratelimit_pb2 import RateLimitDescriptor

_TITLES = ("rule", "why", "algorithm", "limit", "balance", "would be", "reset", "key")


def run(target: str, domain: str, texts: Sequence[str], *, hits: int, as_json: bool) -> int:
    """Explain each descriptor (`key=value[,key=value]...`) by itself; `target` is the admin port.

    A descriptor that no limit applies to is a problem.
    """
    descriptors = descriptors_of(texts, hits)

    def explain(channel: grpc.Channel) -> list[pb.ExplainResponse]:
        stub = RateLimitAdminServiceStub(channel)
        return [
            stub.Explain(
                pb.ExplainRequest(domain=domain, descriptor=descriptor), timeout=PATIENCE_SECONDS
            )
            for descriptor in descriptors
        ]

    answers = call(target, explain)
    if as_json:
        click.echo(json.dumps({"descriptors": list(map(_as_object, texts, answers))}))
    else:
        _show(texts, descriptors, answers)
    return ExitCode.OK if all(answer.matches for answer in answers) else ExitCode.PROBLEMS


def _as_object(text: str, answer: pb.ExplainResponse) -> dict[str, object]:
    found: dict[str, object] = MessageToDict(
        answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return {"descriptor": text, **found}


def _show(
    texts: Sequence[str],
    descriptors: Sequence[RateLimitDescriptor],
    answers: Sequence[pb.ExplainResponse],
) -> None:
    shown = table(*_TITLES, right=("balance", "reset"))
    for descriptor, answer in zip(descriptors, answers, strict=True):
        for match in answer.matches:
            _add(shown, match, descriptor)
    if shown.row_count:
        show(console(), shown)
    for text, answer in zip(texts, answers, strict=True):
        if not answer.matches:
            click.echo(plain(f"{text} is not limited: {answer.unmatched_reason}"))


def _add(shown: Table, match: pb.Match, descriptor: RateLimitDescriptor) -> None:
    why = "; ".join(_why(entry, descriptor) for entry in match.entries)
    if match.unlimited:
        shown.add_row(plain(match.rule), plain(why), "-", "unlimited", "-", "OK", "-", "-")
        return
    code = rls_pb2.RateLimitResponse.Code.Name(match.would_be)
    modes = [
        word for word, on in (("shadow", match.shadow_mode), ("quota", match.quota_mode)) if on
    ]
    shown.add_row(
        plain(match.rule),
        plain(why),
        pb.Algorithm.Name(match.algorithm).removeprefix("ALGORITHM_").lower(),
        _limit(match),
        f"{match.balance} of {match.burst}",
        " ".join([code, *(f"({mode} mode)" for mode in modes)]),
        span(match.reset_in.ToTimedelta().total_seconds()),
        match.key or "-",
    )


def _limit(match: pb.Match) -> str:
    said = allowance(match.limit, pb.Unit.Name(match.unit), match.unit_multiplier)
    if match.key and match.burst != match.limit:
        said += f", burst {match.burst}"
    return plain(f"{said} ({match.name})" if match.name else said)


def _why(found: pb.EntryMatch, descriptor: RateLimitDescriptor) -> str:
    """Return in words how an entry matched."""
    entry = descriptor.entries[found.index]
    if found.kind == pb.MATCH_KIND_EXACT:
        return f"{entry.key}={entry.value} exactly"
    if found.kind == pb.MATCH_KIND_WILDCARD:
        level = f"{found.level.key}={found.level.value}" if found.level.value else found.level.key
        return f"{entry.key}={entry.value} fits {level}"
    if found.kind == pb.MATCH_KIND_KEY:
        return f"any {entry.key}"
    return f"{entry.key}={entry.value} brings its limit along"
