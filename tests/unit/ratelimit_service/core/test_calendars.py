"""Periods of a calendar: where they begin, whatever the clocks do."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_service.core.calendars import CALENDAR_UNITS, edges, zone
from ratelimit_service.core.limit import Unit


def at(text: str, time_zone: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(time_zone)).timestamp()


@pytest.mark.parametrize(
    ("story", "unit", "time_zone", "moment", "begins"),
    [
        ("a day", Unit.DAY, "Europe/Paris", "2026-11-25 12:00", ["11-24", "11-25", "11-26", "11-27"]),
        ("from its first second", Unit.DAY, "Europe/Paris", "2026-11-25 00:00", ["11-24", "11-25", "11-26", "11-27"]),
        ("a week begins on Monday", Unit.WEEK, "Europe/Paris", "2026-11-29 23:59", ["11-16", "11-23", "11-30", "12-07"]),
        ("a month", Unit.MONTH, "Asia/Tokyo", "2026-03-31 08:00", ["02-01", "03-01", "04-01", "05-01"]),
        ("a year", Unit.YEAR, "UTC", "2028-12-31 08:00", ["2027-01-01", "2028-01-01", "2029-01-01", "2030-01-01"]),
    ],
)  # fmt: skip
def test_periods(story: str, unit: Unit, time_zone: str, moment: str, begins: list[str]) -> None:
    dates = [date if len(date) > 5 else f"2026-{date}" for date in begins]
    expected = tuple(at(f"{date} 00:00", time_zone) for date in dates)
    assert edges(unit, time_zone, at(moment, time_zone)) == expected, story


def test_days_are_as_long_as_the_clocks_make_them() -> None:
    _, begin, end, _ = edges(Unit.DAY, "Europe/Paris", at("2026-03-29 12:00", "Europe/Paris"))
    assert end - begin == 23 * 3600
    _, begin, end, _ = edges(Unit.DAY, "Europe/Paris", at("2026-10-25 12:00", "Europe/Paris"))
    assert end - begin == 25 * 3600


def test_a_day_whose_midnight_is_left_out_begins_an_hour_later() -> None:
    # Beirut sets its clocks from 00:00 to 01:00.
    _, begin, end, _ = edges(Unit.DAY, "Asia/Beirut", at("2026-03-29 12:00", "Asia/Beirut"))
    assert begin == at("2026-03-29 01:00", "Asia/Beirut")
    assert end - begin == 23 * 3600


def test_a_day_that_a_zone_left_out_is_none() -> None:
    # Samoa went from 29 to 31 December 2011.
    before, begin, end, _ = edges(Unit.DAY, "Pacific/Apia", at("2011-12-31 12:00", "Pacific/Apia"))
    assert (begin - before, end - begin) == (86_400, 86_400)
    assert begin == at("2011-12-31 00:00", "Pacific/Apia")


zones = st.sampled_from(["Europe/Paris", "Asia/Beirut", "America/Havana", "Pacific/Apia", "UTC"])


@given(st.sampled_from(CALENDAR_UNITS), zones, st.floats(0, 4e9))
def test_now_is_in_the_second_of_four_periods_that_follow_each_other(
    unit: Unit, time_zone: str, now: float
) -> None:
    last, begin, end, later = edges(unit, time_zone, now)
    assert last < begin <= now < end < later
    assert edges(unit, time_zone, end)[:3] == (begin, end, later)
    assert edges(unit, time_zone, end - 1) == (last, begin, end, later)


@pytest.mark.parametrize("name", ["", "Europe", "../etc/passwd", "/etc/passwd", "x" * 5000, "A\0"])
def test_what_is_no_time_zone(name: str) -> None:
    assert zone(name) is None
