"""Read the items of a `schedule`: on these days, from then to then, that many requests."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ratelimit_service.core.limit import Algorithm
from ratelimit_service.core.schedule import DAY_MINUTES, Shift
from ratelimit_service.core.source import Scalar, kind

if TYPE_CHECKING:
    from ratelimit_service.core.fields import Fields
    from ratelimit_service.core.limit import Limit

SHIFT_KEYS = ("days", "from", "to", "time_zone", "requests_per_unit", "burst")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-5][0-9])")


def read_shift(fields: Fields, limit: Limit, time_zone: str) -> Shift:
    """Return the shift that takes the place of `limit`, whose unit and burst it keeps."""
    requests = fields.whole("requests_per_unit")
    if not fields.has("requests_per_unit"):
        fields.note(
            fields.place,
            "a schedule says how many requests are allowed in its hours; write 'requests_per_unit'",
        )
    burst = fields.whole("burst", least=1)
    if burst is not None and limit.algorithm is not Algorithm.TOKEN_BUCKET:
        fields.note(
            fields.where("burst"),
            f"'burst' is the size of a token bucket; {limit.algorithm.value} has none",
        )
        burst = None
    return Shift(
        days=_read_days(fields),
        start_minute=_read_clock(fields, "from", 0),
        end_minute=_read_clock(fields, "to", DAY_MINUTES),
        time_zone=time_zone,
        limit=replace(limit, requests_per_unit=requests or 0, burst=burst or limit.burst),
    )


def _read_clock(fields: Fields, name: str, default: int) -> int:
    text = fields.text(name)
    if not text:
        return default
    clock = _CLOCK.fullmatch(text)
    minute = int(clock[1]) * 60 + int(clock[2]) if clock else -1
    latest = DAY_MINUTES if name == "to" else DAY_MINUTES - 1
    if not 0 <= minute <= latest:
        fields.note(
            fields.where(name), f"'{name}' is '{text}'; write hours and minutes, as in 22:00"
        )
        return default
    return minute


def _read_days(fields: Fields) -> frozenset[int]:
    days: set[int] = set()
    nodes = fields.items("days")
    if nodes is None:
        return frozenset(range(7))
    for node in nodes:
        found = _days_of(node.text) if isinstance(node, Scalar) else None
        if found is None:
            fields.note(
                node.place,
                f"'days' are {', '.join(_DAYS)}, or from one to another as in mon-fri, "
                f"not {kind(node)}",
            )
        else:
            days |= found
    if not nodes:
        fields.note(fields.where("days"), "'days' is empty; name some, or remove it for all")
    return frozenset(days)


def _days_of(text: str) -> set[int] | None:
    """Return the days of `fri` or `fri-mon`, None if that is none."""
    ends = [day.strip() for day in text.lower().split("-")]
    if len(ends) > 2 or not set(_DAYS).issuperset(ends):
        return None
    first, last = _DAYS.index(ends[0]), _DAYS.index(ends[-1])
    return {(first + days) % 7 for days in range((last - first) % 7 + 1)}
