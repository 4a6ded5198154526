"""Days, weeks, months and years of a time zone's calendar, daylight saving included."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ratelimit_service.core.limit import Unit

if TYPE_CHECKING:
    from collections.abc import Iterator

CALENDAR_UNITS = (Unit.DAY, Unit.WEEK, Unit.MONTH, Unit.YEAR)


@lru_cache(maxsize=1024)  # there are some 600 names
def zone(name: str) -> ZoneInfo | None:
    """Return the time zone of an IANA name, None where there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # ValueError: "../etc"; OSError: the name of a directory, "Europe", or one too long.
        return None


def local(time_zone: str, now_s: float) -> datetime:
    """Return what the clocks of a known `time_zone` show."""
    return datetime.fromtimestamp(now_s, zone(time_zone))


@lru_cache(maxsize=256)  # plans are made for one moment until the next change; 40 us without
def edges(unit: Unit, time_zone: str, now_s: float) -> tuple[int, int, int, int]:
    """Return the Unix seconds at which four periods begin: the last, this, the next, the one after.

    A week begins on Monday. A day whose midnight the clocks jump over begins with the jump; one
    whose midnight comes twice, with the first.
    """
    # A day further back, in case the clocks were set back over the midnight just behind us.
    first = _begin(unit, local(time_zone, now_s).replace(tzinfo=None) - timedelta(days=1))
    starts: list[int] = []
    for begin in _periods(unit, _previous(unit, _previous(unit, first))):
        stamp = int(begin.replace(tzinfo=zone(time_zone)).timestamp())
        if starts and stamp <= starts[-1]:
            continue  # a date that the zone left out (Samoa, 30 December 2011)
        starts.append(stamp)
        if len(starts) >= 4 and starts[-3] <= now_s < starts[-2]:
            return starts[-4], starts[-3], starts[-2], starts[-1]
    raise AssertionError  # _periods never ends


def _periods(unit: Unit, begin: datetime) -> Iterator[datetime]:
    while True:
        yield begin
        begin = _next(unit, begin)


def _begin(unit: Unit, at: datetime) -> datetime:
    day = at.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if unit is Unit.WEEK:
        return day - timedelta(days=day.weekday())
    if unit is Unit.MONTH:
        return day.replace(day=1)
    if unit is Unit.YEAR:
        return day.replace(month=1, day=1)
    return day


def _next(unit: Unit, begin: datetime) -> datetime:
    # The longest period and a little: what lies in the next one, wherever this one began.
    return _begin(unit, begin + timedelta(days=_LONGEST_DAYS[unit]))


def _previous(unit: Unit, begin: datetime) -> datetime:
    return _begin(unit, begin - timedelta(days=1))


_LONGEST_DAYS = {Unit.DAY: 1, Unit.WEEK: 7, Unit.MONTH: 31, Unit.YEAR: 366}
