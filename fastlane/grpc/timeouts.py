"""The `grpc-timeout` field: at most eight digits and a unit (gRPC over HTTP/2, Requests)."""

from __future__ import annotations

import re
from typing import Final

_FORM: Final = re.compile(rb"([0-9]{1,8})([HMSmun])\Z")
_SECONDS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


def parse_timeout(value: bytes) -> float | None:
    """Return the seconds that `value` stands for, or None when it is malformed."""
    match = _FORM.match(value)
    if match is None:
        return None
    return int(match[1]) * _SECONDS[match[2]]
