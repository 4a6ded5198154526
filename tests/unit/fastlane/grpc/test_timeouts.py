"""The grpc-timeout field."""

from __future__ import annotations

import pytest

from fastlane.grpc.timeouts import parse_timeout


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"1H", 3_600.0),
        (b"2M", 120.0),
        (b"3S", 3.0),
        (b"20m", 0.02),
        (b"5u", 5e-6),
        (b"99999999n", 0.099999999),
        (b"0S", 0.0),
    ],
)
def test_every_unit_is_read(value: bytes, seconds: float) -> None:
    assert parse_timeout(value) == pytest.approx(seconds)


@pytest.mark.parametrize("value", [b"", b"1", b"S", b"-1S", b"1s", b"123456789S", b"1S\n", b"1.5S"])
def test_anything_else_is_malformed(value: bytes) -> None:
    assert parse_timeout(value) is None
