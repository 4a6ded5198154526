"""Hours at which another limit holds, by the clocks of a time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, floor
from typing import TYPE_CHECKING

from ratelimit_service.core.calendars import local, zone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ratelimit_service.core.limit import Limit

DAY_MINUTES = 24 * 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """On `days` (0 is Monday) from minute to minute of the day in `time_zone`, `limit` holds.

    A shift whose end is not after its start goes on past midnight, into a day that need not be one
    of its own. From 00:00 to 24:00 it is on all day.
    """

    days: frozenset[int]
    start_minute: int
    end_minute: int
    time_zone: str
    limit: Limit

    def is_on(self, now_s: float) -> bool:
        """Return whether the clocks of the zone show an hour of this shift."""
        now = local(self.time_zone, now_s)
        return self.covers(now.weekday(), now.hour * 60 + now.minute)

    def covers(self, day: int, minute: int) -> bool:
        """Return whether a minute of a day of the week is in the shift."""
        if self.start_minute < self.end_minute:
            return day in self.days and self.start_minute <= minute < self.end_minute
        return (day in self.days and minute >= self.start_minute) or (
            (day - 1) % 7 in self.days and minute < self.end_minute
        )

    def changes_after(self, now_s: float) -> float:
        """Return the first moment after `now_s` at which `is_on` may be another.

        That is when the clocks show the start or the end, or when they are set forward or back.
        """
        next_s = min(moment for moment in self._moments(now_s) if moment > now_s)
        offset = local(self.time_zone, now_s).utcoffset()
        if local(self.time_zone, next_s).utcoffset() == offset:
            return next_s
        before, after = floor(now_s), ceil(next_s)
        while after - before > 1:
            middle = (before + after) // 2
            if local(self.time_zone, middle).utcoffset() == offset:
                before = middle
            else:
                after = middle
        return float(after)

    def _moments(self, now_s: float) -> Iterator[float]:
        """Yield when the clocks show start and end, around `now_s`."""
        today = local(self.time_zone, now_s).replace(hour=0, minute=0, second=0, microsecond=0)
        for days in (0, 1, 2):
            for minute in (self.start_minute, self.end_minute):
                wall = today.replace(tzinfo=None) + timedelta(days=days, minutes=minute)
                for fold in (0, 1):  # an hour that comes twice does so twice
                    yield _moment(wall, fold, self.time_zone)


def _moment(wall: datetime, fold: int, time_zone: str) -> float:
    return wall.replace(fold=fold, tzinfo=zone(time_zone)).timestamp()
