"""Hours at which another limit holds: on, off, and until when."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_service.core.limit import Limit
from ratelimit_service.core.schedule import Shift

ALL = frozenset(range(7))


def shift(
    start: int, end: int, days: frozenset[int] = ALL, time_zone: str = "Europe/Paris"
) -> Shift:
    return Shift(days=days, start_minute=start, end_minute=end, time_zone=time_zone, limit=Limit())


def at(text: str, time_zone: str = "Europe/Paris") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(time_zone)).timestamp()


OFFICE = shift(9 * 60, 17 * 60, frozenset({0, 1, 2, 3, 4}))
NIGHT = shift(22 * 60, 6 * 60, frozenset({4}))  # of Friday to Saturday


@pytest.mark.parametrize(
    ("story", "hours", "moment", "on"),
    [
        ("before", OFFICE, "2026-11-25 08:59:59", False),
        ("from the first second", OFFICE, "2026-11-25 09:00:00", True),
        ("to the last", OFFICE, "2026-11-25 16:59:59", True),
        ("not after", OFFICE, "2026-11-25 17:00:00", False),
        ("not on Saturday", OFFICE, "2026-11-28 12:00:00", False),
        ("at night", NIGHT, "2026-11-27 22:00:00", True),
        ("past midnight", NIGHT, "2026-11-28 05:59:00", True),
        ("till morning", NIGHT, "2026-11-28 06:00:00", False),
        ("not in the morning of its day", NIGHT, "2026-11-27 05:00:00", False),
        ("all day", shift(0, 24 * 60), "2026-11-27 23:59:59", True),
        ("around the clock from noon", shift(720, 720, frozenset({4})), "2026-11-28 11:59:00", True),
        ("and no longer", shift(720, 720, frozenset({4})), "2026-11-28 12:00:00", False),
    ],
)  # fmt: skip
def test_hours(story: str, hours: Shift, moment: str, on: bool) -> None:
    assert hours.is_on(at(moment)) is on, story


@pytest.mark.parametrize(
    ("story", "hours", "moment", "change"),
    [
        ("its start", OFFICE, "2026-11-25 08:00", "2026-11-25 09:00"),
        ("its end", OFFICE, "2026-11-25 09:00", "2026-11-25 17:00"),
        ("the next day, even if it is none of its own", OFFICE, "2026-11-27 17:00", "2026-11-28 09:00"),
        ("midnight", shift(0, 24 * 60), "2026-11-25 12:00", "2026-11-26 00:00"),
        ("the clocks set forward over its start", shift(150, 600), "2026-03-29 01:30", "2026-03-29 03:00"),
    ],
)  # fmt: skip
def test_the_next_change(story: str, hours: Shift, moment: str, change: str) -> None:
    assert hours.changes_after(at(moment)) == at(change), story


shifts = st.builds(
    shift,
    st.integers(0, 1439),
    st.integers(0, 1440),
    st.frozensets(st.integers(0, 6), min_size=1),
    # Zones that set their clocks by an hour, by half an hour, at midnight, and not at all.
    st.sampled_from(["Europe/Paris", "Australia/Lord_Howe", "Asia/Beirut", "Asia/Kolkata"]),
)
SPRING = at("2026-03-26 00:00")


@given(shifts, st.floats(SPRING, SPRING + 12 * 86_400), st.floats(0, 1))
def test_nothing_changes_before_the_next_change(hours: Shift, now: float, share: float) -> None:
    change = hours.changes_after(now)
    assert now < change <= now + 26 * 3600
    assert hours.is_on(now + (change - now) * share * 0.999) == hours.is_on(now)
