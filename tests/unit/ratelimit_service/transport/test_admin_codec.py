"""Times and hot keys on the wire of the admin API."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration

from chassis.errors import InvalidRequest
from ratelimit_service.core.hot_keys import Hot
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.service.operator import LONGEST_GRANT_US
from ratelimit_service.transport.admin_codec import (
    duration_of,
    hot_key_of,
    microseconds_of,
    unit_of,
)
from wire.sluice.ratelimit.v1 import ratelimit_pb2 as pb


@pytest.mark.parametrize(
    ("microseconds", "seconds", "nanos"),
    [
        (0, 0, 0),
        (1, 0, 1000),
        (1_999_999, 1, 999_999_000),
        (2**53, 9_007_199_254, 740_992_000),
        (10**30, 315_576_000_000, 0),
    ],
)
def test_a_span_is_a_duration_that_protobuf_takes(
    microseconds: int, seconds: int, nanos: int
) -> None:
    duration = duration_of(microseconds)
    assert (duration.seconds, duration.nanos) == (seconds, nanos)
    assert duration.ToJsonString()


@pytest.mark.parametrize(
    ("duration", "microseconds"),
    [
        (Duration(nanos=1), 1),
        (Duration(nanos=1000), 1),
        (Duration(nanos=1001), 2),
        (Duration(seconds=3, nanos=999_999_999), 4_000_000),
        (Duration(seconds=LONGEST_GRANT_US // 1_000_000), LONGEST_GRANT_US),
    ],
)
def test_a_grant_never_lasts_shorter_than_asked(duration: Duration, microseconds: int) -> None:
    assert microseconds_of("expire_in", duration) == microseconds


@pytest.mark.parametrize(
    "duration",
    [
        Duration(),
        Duration(seconds=-1),
        Duration(seconds=1, nanos=-1),
        Duration(nanos=10**9),
        Duration(seconds=LONGEST_GRANT_US // 1_000_000, nanos=1),
        Duration(seconds=2**63 - 1),
    ],
    ids=str,
)
def test_a_time_that_no_grant_lasts_names_its_field(duration: Duration) -> None:
    with pytest.raises(InvalidRequest) as caught:
        microseconds_of("expire_in", duration)
    assert [one.field for one in caught.value.violations] == ["expire_in"]


@pytest.mark.parametrize("unit", Unit)
def test_every_unit_goes_by_its_own_name(unit: Unit) -> None:
    assert pb.Unit.Name(unit_of(Limit(unit=unit))) == f"UNIT_{unit.name}"
    assert unit_of(Limit(unit=unit, unlimited=True)) == pb.UNIT_UNSPECIFIED


def test_a_hot_key_is_a_descriptor_again() -> None:
    found = hot_key_of(Hot(("shop", (("a", "b"), ("c", "")), "shop.a.c"), 2.5, 0.25))
    assert (found.domain, found.rule, found.hits_per_second) == ("shop", "shop.a.c", 2.5)
    assert [(one.key, one.value) for one in found.descriptor.entries] == [("a", "b"), ("c", "")]
