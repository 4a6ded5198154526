"""What an answer carries beside the verdict: response headers and dynamic metadata.

Both are off unless asked for and cost some 100 us a call, so the codec's fast path knows nothing of
them: they are fields of the same message, and protobuf lets those be written one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf import text_format

from wire.envoy.service.ratelimit.v3 import rls_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ratelimit_service.core.match import Match
    from ratelimit_service.core.verdict import Status, Verdict
    from ratelimit_service.service.asked import Asked
    from wire.envoy.extensions.common.ratelimit.v3 import ratelimit_pb2

_SECOND_US = 1_000_000
_UINT32_MAX = 2**32 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class HeaderNames:
    """The names of the three headers (draft-ietf-httpapi-ratelimit-headers, its older form)."""

    limit: str = "RateLimit-Limit"
    remaining: str = "RateLimit-Remaining"
    reset: str = "RateLimit-Reset"


@dataclass(frozen=True, kw_only=True, slots=True)
class Extras:
    """What to add to answers; nothing by default."""

    headers: HeaderNames | None = None
    dynamic_metadata: bool = False

    @property
    def any(self) -> bool:
        """Whether there is anything to add."""
        return self.headers is not None or self.dynamic_metadata

    def of(self, request: bytes, asked: Asked, verdict: Verdict) -> bytes:
        """Return the bytes that follow those of `verdict` in the answer to `request`."""
        message = rls_pb2.RateLimitResponse()
        if self.headers is not None:
            _add_headers(message, self.headers, asked, verdict)
        if self.dynamic_metadata:
            parsed = rls_pb2.RateLimitRequest.FromString(request)
            message.dynamic_metadata.update(_metadata(parsed, asked, verdict))
        return message.SerializeToString()


def _add_headers(
    message: rls_pb2.RateLimitResponse, names: HeaderNames, asked: Asked, verdict: Verdict
) -> None:
    status = _closest(asked, verdict)
    if status is None or status.limit is None:
        return
    # Up, like Retry-After: a client that comes a moment early is refused again.
    seconds = -(-status.reset_us // _SECOND_US)
    for name, value in (
        (names.limit, status.limit.requests_per_unit),
        (names.remaining, min(status.remaining, _UINT32_MAX)),
        (names.reset, seconds),
    ):
        message.response_headers_to_add.add(key=name, value=str(value))


def _closest(asked: Asked, verdict: Verdict) -> Status | None:
    """Return the last status that refuses the request, else that with the least remaining."""
    limited = [
        (status, quota)
        for status, quota in zip(verdict.statuses, asked.outline.quotas, strict=True)
        if status.limit is not None
    ]
    refusing = [status for status, quota in limited if status.over and not quota]
    if refusing:
        return refusing[-1]
    return min((status for status, _ in limited), key=lambda one: one.remaining, default=None)


def _metadata(request: rls_pb2.RateLimitRequest, asked: Asked, verdict: Verdict) -> dict[str, Any]:
    """Return envoyproxy/ratelimit's metadata (src/service/ratelimit.go:281-372), and more.

    Ours are, of each descriptor, `rule`, `code` and `shadow`: which rule decided, what it said, and
    whether it would have refused.
    """
    descriptors = [
        _descriptor(descriptor, match, status)
        for descriptor, match, status in zip(
            request.descriptors, asked.outline.matches, verdict.statuses, strict=True
        )
    ]
    metadata: dict[str, Any] = {"domain": request.domain, "descriptors": descriptors}
    if request.hits_addend:
        metadata["hitsAddend"] = request.hits_addend
    passed: dict[str, Any] = {}
    for match, status in zip(asked.outline.matches, verdict.statuses, strict=True):
        if match is not None and match.rule.metadata and not status.over:
            _merge(passed, match.rule.metadata)
    if passed:
        metadata["metadata"] = passed
    return metadata


def _descriptor(
    descriptor: ratelimit_pb2.RateLimitDescriptor, match: Match | None, status: Status
) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "entries": [f"{entry.key}={entry.value}" for entry in descriptor.entries],
        "code": "OVER_LIMIT" if status.over else "OK",
    }
    if descriptor.HasField("limit"):
        fields["limit"] = text_format.MessageToString(descriptor.limit, as_one_line=True)
    if descriptor.HasField("hits_addend"):
        fields["hitsAddend"] = descriptor.hits_addend.value
    if match is not None:
        fields["rule"] = match.rule.path
    if status.shadowed:
        fields["shadow"] = True
    return fields


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add what is not there; maps on both sides are merged, and nothing of `more` is shared."""
    for key, value in more.items():
        known = into.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            _merge(known, value)
        elif key not in into:
            into[key] = {}
            if isinstance(value, dict):
                _merge(into[key], value)
            else:
                into[key] = value
