"""An answer beside what was expected of it: what is wrong, in words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from google.protobuf import json_format

from tests.conformance.table import Answer, Refusal, Seconds, Status, Whatever
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitResponse

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc

    from tests.conformance.table import Expected, Reset

_WINDOW_TOLERANCE = 2.0  # seconds between the two clocks, with the way there


def faults(expected: Expected, got: RateLimitResponse | grpc.aio.AioRpcError) -> list[str]:
    """Return everything in which `got` is not what was expected."""
    if isinstance(expected, Whatever):
        return []
    if not isinstance(got, RateLimitResponse):
        if isinstance(expected, Answer):
            return [f"error {got.code().name} {got.details()!r} instead of an answer"]
        return list(_in_refusal(expected, got))
    if isinstance(expected, Refusal):
        wanted = " or ".join(code.name for code in expected.codes)
        return [f"an answer, {_code(got.overall_code)}, instead of error {wanted}"]
    return list(_in_answer(expected, got))


def _in_refusal(expected: Refusal, got: grpc.aio.AioRpcError) -> Iterator[str]:
    if got.code() not in expected.codes:
        wanted = " or ".join(code.name for code in expected.codes)
        yield f"error {got.code().name} {got.details()!r} instead of {wanted}"
    if expected.text is not None and got.details() != expected.text:
        yield f"the error says {got.details()!r} instead of {expected.text!r}"


def _in_answer(expected: Answer, got: RateLimitResponse) -> Iterator[str]:
    wanted = RateLimitResponse.OVER_LIMIT if expected.over else RateLimitResponse.OK
    if got.overall_code != wanted:
        yield f"overall {_code(got.overall_code)} instead of {_code(wanted)}"
    if expected.statuses is not None:
        if len(got.statuses) != len(expected.statuses):
            yield f"{len(got.statuses)} statuses instead of {len(expected.statuses)}"
        for index, (want, status) in enumerate(zip(expected.statuses, got.statuses, strict=False)):
            for fault in _in_status(want, status):
                yield f"statuses[{index}]: {fault}"
    if expected.headers is not None:
        yield from _in_headers(dict(expected.headers), got)
    metadata = json_format.MessageToDict(got.dynamic_metadata) if expected.metadata else {}
    for path, value in expected.metadata:
        found = _at(metadata, path)
        if found != value:
            yield f"dynamic_metadata {path} is {found!r} instead of {value!r}"


def _in_status(want: Status, got: RateLimitResponse.DescriptorStatus) -> Iterator[str]:
    code = RateLimitResponse.OVER_LIMIT if want.over else RateLimitResponse.OK
    if got.code != code:
        yield f"{_code(got.code)} instead of {_code(code)}"
    if want.remaining is not None and got.limit_remaining != want.remaining:
        yield f"limit_remaining {got.limit_remaining} instead of {want.remaining}"
    if want.limit is None:
        for field in ("current_limit", "duration_until_reset"):
            if got.HasField(field):
                yield f"{field} is set"
        return
    limit = got.current_limit
    units = RateLimitResponse.RateLimit.DESCRIPTOR.enum_types_by_name["Unit"]
    value = units.values_by_number.get(limit.unit)
    unit = f"unit {limit.unit}" if value is None else value.name
    if (limit.requests_per_unit, unit, limit.name) != want.limit:
        found = (limit.requests_per_unit, unit, limit.name)
        yield f"current_limit {found} instead of {want.limit}"
    if not got.HasField("duration_until_reset"):
        yield "duration_until_reset is not set"
    elif want.reset is not None:
        yield from _in_reset(want.reset, got)


def _in_reset(want: Reset, got: RateLimitResponse.DescriptorStatus) -> Iterator[str]:
    seconds = got.duration_until_reset.ToNanoseconds() / 1e9
    if isinstance(want, Seconds):
        if not want.above < seconds <= want.most:
            yield (
                f"duration_until_reset is {seconds:g} s, not above {want.above:g} and at most "
                f"{want.most:g}"
            )
        if want.whole and got.duration_until_reset.nanos:
            yield f"duration_until_reset is {seconds:g} s, and Envoy cuts the fraction off"
        return
    end = want.unit - time.time() % want.unit
    if abs(seconds - end) > _WINDOW_TOLERANCE:
        yield f"duration_until_reset is {seconds:g} s; the window ends in {end:.1f} s"


def _in_headers(want: dict[str, str], got: RateLimitResponse) -> Iterator[str]:
    values = {
        header.key.lower(): header.value or header.raw_value.decode()
        for header in got.response_headers_to_add
    }
    if values.keys() != want.keys():
        yield f"headers {sorted(values)} instead of {sorted(want)}"
    for name in want.keys() & values.keys():
        if want[name] and values[name] != want[name]:
            yield f"header {name} is {values[name]!r} instead of {want[name]!r}"
        if not values[name].isdecimal():
            yield f"header {name} is {values[name]!r}, not a number"


def _at(metadata: object, path: str) -> object:
    """Return what is at `path`, its parts separated by dots; None where nothing is."""
    for part in path.split("."):
        if isinstance(metadata, list) and int(part) < len(metadata):
            metadata = metadata[int(part)]
        elif isinstance(metadata, dict):
            metadata = metadata.get(part)
        else:
            return None
    return metadata


def _code(code: int) -> str:
    value = RateLimitResponse.DESCRIPTOR.enum_types_by_name["Code"].values_by_number.get(code)
    return f"code {code}" if value is None else value.name
