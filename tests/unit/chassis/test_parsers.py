"""Readers of single settings, in the spellings of the reference and in ours."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.parsers import (
    Parser,
    choice,
    duration,
    duration_between,
    flag,
    listing,
    mapping,
    number,
    path,
    port,
    ratio,
    text,
    url,
    whole,
)


class Colour(Enum):
    RED = "red"
    BLUE = "BLUE"


ACCEPTED: list[tuple[Parser[Any], str, Any]] = [
    (text, " as it is ", " as it is "),
    (whole(), "-7", -7),
    (whole(0, 10), " 10 ", 10),
    (whole(), "1_000_000", 1_000_000),
    (whole(), "+5", 5),
    (whole(), "010", 10),
    (number(), "1e3", 1000.0),
    (number(0.5, 2), "0.5", 0.5),
    (ratio, "0.8", 0.8),
    (ratio, "1", 1.0),
    (port, "0", 0),
    (port, "65535", 65535),
    *[(flag, spelling, True) for spelling in ("1", "t", "T", "TRUE", "true", "True", " true ")],
    *[(flag, spelling, False) for spelling in ("0", "f", "F", "FALSE", "false", "False")],
    (duration, "1h30m", 5400.0),
    (duration, "250ms", 0.25),
    (duration, "1.5s", 1.5),
    (duration, "1.1s", 1.1),
    (duration, ".5s", 0.5),
    (duration, "3us", 0.000003),
    (duration, "3µs", 0.000003),
    (duration, "7ns", 0.000000007),
    (duration, "24h", 86400.0),
    (duration, "10", 10.0),
    (duration, "0.25", 0.25),
    (duration, "0", 0.0),
    (duration_between(1, 60), "1m", 60.0),
    (choice(Colour), "RED", Colour.RED),
    (choice(Colour), " blue ", Colour.BLUE),
    (listing, "a, b,,c ", ("a", "b", "c")),
    (mapping, "a:1, b:x:y", {"a": "1", "b": "x:y"}),
    (path, "/srv/rules", Path("/srv/rules")),
    (url("http", "https"), "https://u:p@host:1/path/", "https://u:p@host:1/path"),
]


@pytest.mark.parametrize(("parser", "written", "value"), ACCEPTED)
def test_accepted(parser: Parser[Any], written: str, value: Any) -> None:
    assert parser(written) == value


REFUSED: list[tuple[Parser[Any], str, str]] = [
    (whole(), "ten", "is not a whole number; write a whole number"),
    (whole(1, 9), "ten", "is not a whole number; write a whole number from 1 to 9"),
    (whole(1, 9), "10", "is out of bounds; write a whole number from 1 to 9"),
    (whole(1), "0", "is out of bounds; write a whole number of at least 1"),
    (whole(None, 9), "10", "is out of bounds; write a whole number of at most 9"),
    (whole(), "1.0", "is not a whole number"),
    (whole(), "٣", "is not a whole number"),
    (whole(), "9" * 5000, "is not a whole number"),
    (number(), "nan", "is not a finite number"),
    (number(), "1e999", "is not a finite number"),
    (number(), "1,5", "is not a number"),
    (ratio, "1.01", "is out of bounds; write a number from 0 to 1"),
    (port, "65536", "write a whole number from 0 to 65535"),
    (port, "-1", "write a whole number from 0 to 65535"),
    (flag, "yes", "is not a flag; write true or false"),
    (flag, "tRUE", "is not a flag"),
    (duration, "5 minutes", "write for example 250ms, 10s or 1h30m"),
    (duration, "-1s", "is not a duration"),
    (duration, "1h30", "is not a duration"),
    (duration, "inf", "is not a duration"),
    (duration, "9999999h", "longer than 292 years"),
    (duration_between(0.01, 60), "2m", "write a duration from 10ms to 1m"),
    (choice(Colour), "green", "write red or BLUE"),
    (mapping, "novalue", "write key:value,key:value"),
    (mapping, ":x", "write key:value,key:value"),
    (mapping, "a:1,a:2", "names 'a' twice"),
    (path, "a\0b", "holds a NUL character"),
    (url("http"), "https://host", "write http://host:port"),
    (url("http"), "http://", "is not such a URL"),
    (url("http"), "http://host:port", "is not a URL"),
    (url("http"), "http://[::1", "is not a URL"),
]


@pytest.mark.parametrize(("parser", "written", "why"), REFUSED)
def test_refused_with_what_to_write_instead(parser: Parser[Any], written: str, why: str) -> None:
    with pytest.raises(ValueError, match="; write ") as raised:
        parser(written)
    assert why in str(raised.value)


@given(st.integers(0, 10**15).map(lambda microseconds: microseconds / 1_000_000))
def test_a_duration_is_read_back_as_it_is_shown(seconds: float) -> None:
    assert duration(duration.show(seconds)) == pytest.approx(seconds, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (0.25, "250ms"),
        (0.000003, "3us"),
        (1.5, "1.5s"),
        (5400, "1h30m"),
        (86400, "24h"),
        (61, "1m1s"),
    ],
)
def test_durations_are_shown_as_people_write_them(seconds: float, shown: str) -> None:
    assert duration.show(seconds) == shown


@given(st.text())
def test_any_text_is_read_or_refused_but_never_breaks_a_parser(written: str) -> None:
    for parser in (whole(0, 9), number(), flag, duration, choice(Colour), mapping, url("http")):
        try:
            parser(written)
        except ValueError as error:
            assert "; write " in str(error)  # noqa: PT017  either outcome is fine, silence is not
