"""The admin API's messages from and to the core's values (sluice/ratelimit/v1/ratelimit.proto)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

from chassis.errors import InvalidRequest
from ratelimit_service.core.limit import Algorithm, Unit
from ratelimit_service.service.operator import LONGEST_GRANT_US
from ratelimit_service.transport.codec import descriptor_of
from wire.envoy.service.ratelimit.v3 import rls_pb2
from wire.sluice.ratelimit.v1 import ratelimit_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratelimit_service.core.descriptor import Descriptor
    from ratelimit_service.core.hot_keys import Hot
    from ratelimit_service.core.limit import Limit
    from ratelimit_service.core.rule import Branch
    from ratelimit_service.service.books import HotKey
    from ratelimit_service.service.operator import Balance, Explained, Explanation
    from wire.envoy.extensions.common.ratelimit.v3 import ratelimit_pb2

ALGORITHMS = {
    Algorithm.TOKEN_BUCKET: pb.ALGORITHM_TOKEN_BUCKET,
    Algorithm.SLIDING_WINDOW: pb.ALGORITHM_SLIDING_WINDOW,
    Algorithm.FIXED_WINDOW: pb.ALGORITHM_FIXED_WINDOW,
}
_UNITS = {
    Unit.SECOND: pb.UNIT_SECOND,
    Unit.MINUTE: pb.UNIT_MINUTE,
    Unit.HOUR: pb.UNIT_HOUR,
    Unit.DAY: pb.UNIT_DAY,
    Unit.WEEK: pb.UNIT_WEEK,
    Unit.MONTH: pb.UNIT_MONTH,
    Unit.YEAR: pb.UNIT_YEAR,
}
_OVER, _OK = rls_pb2.RateLimitResponse.OVER_LIMIT, rls_pb2.RateLimitResponse.OK
# Beyond this a duration is as good as for ever, and Duration's own range ends (315,576,000,000 s).
_LONGEST_SECONDS = 315_576_000_000


def asked(domain: str, message: ratelimit_pb2.RateLimitDescriptor) -> Descriptor:
    """Return the descriptor that a request names; InvalidRequest where it names none."""
    if not domain:
        raise InvalidRequest.field("domain", "must not be empty; name the rule file's domain")
    if not message.entries:
        raise InvalidRequest.field("descriptor", "has no entries; send at least one key")
    return descriptor_of(message, 1, "descriptor")


def duration_of(microseconds: int) -> Duration:
    """Return microseconds as a Duration, the longest there is at most."""
    seconds, rest = divmod(microseconds, 1_000_000)
    if seconds >= _LONGEST_SECONDS:
        return Duration(seconds=_LONGEST_SECONDS)
    return Duration(seconds=seconds, nanos=rest * 1000)


def microseconds_of(field: str, span: Duration) -> int:
    """Return how long a grant lasts in microseconds; InvalidRequest where it cannot."""
    if not 0 <= span.nanos < 1_000_000_000:
        raise InvalidRequest.field(field, "is not a Duration: nanos must be from 0 to 999999999")
    whole = span.seconds * 1_000_000 - (-span.nanos // 1000)
    if whole <= 0:
        raise InvalidRequest.field(field, "must be greater than 0; leave it out for the default")
    if whole > LONGEST_GRANT_US:
        seconds = LONGEST_GRANT_US // 1_000_000
        raise InvalidRequest.field(field, f"must be at most {seconds} seconds; change the rule")
    return whole


def balance_of(balance: Balance) -> pb.Balance:
    """Return what is left of one limit."""
    return pb.Balance(
        rule=balance.rule,
        capacity=balance.capacity,
        remaining=balance.remaining,
        full_in=duration_of(balance.full_in_us),
    )


def hot_key_of(hot: Hot[HotKey]) -> pb.HotKey:
    """Return a descriptor that is asked about often."""
    domain, entries, rule = hot.key
    found = pb.HotKey(
        domain=domain,
        rule=rule,
        hits_per_second=hot.hits_per_second,
        over_limit_share=hot.over_share,
    )
    for key, value in entries:
        found.descriptor.entries.add(key=key, value=value)
    return found


def explained(explanation: Explanation, descriptor: Descriptor) -> pb.ExplainResponse:
    """Return what would be decided, and why."""
    entries = _entries(explanation.path, descriptor)
    return pb.ExplainResponse(
        matches=[_match(found, entries) for found in explanation.found],
        unmatched_reason=explanation.unmatched_reason,
    )


def _match(found: Explained, entries: Sequence[pb.EntryMatch]) -> pb.Match:
    status, limit = found.status, found.limit
    return pb.Match(
        rule=found.label,
        algorithm=pb.ALGORITHM_UNSPECIFIED if limit.unlimited else ALGORITHMS[found.algorithm],
        limit=limit.requests_per_unit,
        burst=found.balance.capacity,
        unit=unit_of(limit),
        unit_multiplier=limit.unit_multiplier,
        key=found.key.decode(),
        balance=found.balance.remaining,
        would_be=_OVER if status.over else _OK,
        reset_in=duration_of(status.reset_us),
        unlimited=limit.unlimited,
        shadow_mode=found.rule.shadow_mode,
        quota_mode=found.quota,
        entries=entries,
        name=limit.name,
        replaces=found.replaces,
    )


def unit_of(limit: Limit) -> pb.Unit:
    """Return the unit of a limit's period; the core numbers them as Envoy does."""
    return pb.UNIT_UNSPECIFIED if limit.unlimited else _UNITS[limit.unit]


def _entries(path: Sequence[Branch], descriptor: Descriptor) -> list[pb.EntryMatch]:
    if descriptor.override is not None:
        return [
            pb.EntryMatch(index=index, kind=pb.MATCH_KIND_OVERRIDE)
            for index in range(len(descriptor.entries))
        ]
    found = []
    for index, (branch, entry) in enumerate(zip(path, descriptor.entries, strict=False)):
        if (branch.key, branch.value) == entry:
            kind = pb.MATCH_KIND_EXACT
        else:
            kind = pb.MATCH_KIND_WILDCARD if branch.is_wildcard else pb.MATCH_KIND_KEY
        level = pb.RuleLevel(key=branch.key, value=branch.value or "")
        found.append(pb.EntryMatch(index=index, kind=kind, level=level))
    return found
