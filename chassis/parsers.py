"""Readers of single settings: text from the environment in, a typed value out, or why not.

A parser raises ValueError with the second half of a sentence, "is not a port; write a whole
number from 0 to 65535": `chassis.settings` puts `NAME=value` in front of it. Where the reference
rate limiter is written in Go, its spellings are accepted (flags, durations, lists, maps).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")
E = TypeVar("E", bound=Enum)


@dataclass(frozen=True, slots=True)
class Parser(Generic[T]):
    """How one kind of setting is read and shown.

    `kind` names it in the generated documentation, `show` is the inverse of `read`.
    `may_hold_password` keeps values such as URLs out of a settings object's repr.
    """

    kind: str
    read: Callable[[str], T]
    show: Callable[[T], str] = str
    may_hold_password: bool = False

    def __call__(self, value: str) -> T:
        """Read one value."""
        return self.read(value)


# Go's strconv.ParseBool, so that settings of the reference keep their meaning.
_FLAGS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}

_DURATION_UNITS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0,
}  # fmt: skip
_DURATION_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+")
_SECONDS = re.compile(r"\d+\.?\d*|\.\d+")

# Go's time.Duration ends at 292 years; anything near it is a slip of the keyboard.
_LONGEST_SECONDS = 292 * 365 * 86400.0

text: Parser[str] = Parser("text", str)


def _range(minimum: float | None, maximum: float | None) -> str:
    if minimum is None and maximum is None:
        return ""
    if maximum is None:
        return f" of at least {minimum}"
    if minimum is None:
        return f" of at most {maximum}"
    return f" from {minimum} to {maximum}"


def _check_bounds(value: float, minimum: float | None, maximum: float | None, kind: str) -> None:
    if (minimum is not None and value < minimum) or (maximum is not None and value > maximum):
        raise ValueError(f"is out of bounds; write a {kind}")


def _show_number(value: float) -> str:
    return f"{value:.12g}"


def whole(minimum: int | None = None, maximum: int | None = None) -> Parser[int]:
    """Read a whole number within bounds, both included; `1_000` may be written for 1000."""
    kind = "whole number" + _range(minimum, maximum)

    def read(value: str) -> int:
        stripped = value.strip()
        # int() would also take other alphabets' digits, and without a limit is quadratic in length.
        if not re.fullmatch(r"[+-]?[0-9][0-9_]{0,30}", stripped) or stripped.endswith("_"):
            raise ValueError(f"is not a whole number; write a {kind}")
        number_read = int(stripped.replace("_", ""))
        _check_bounds(number_read, minimum, maximum, kind)
        return number_read

    return Parser(kind, read)


def number(minimum: float | None = None, maximum: float | None = None) -> Parser[float]:
    """Read a finite number within bounds, both included."""
    kind = "number" + _range(minimum, maximum)

    def read(value: str) -> float:
        try:
            number_read = float(value)
        except ValueError:
            raise ValueError(f"is not a number; write a {kind}") from None
        if not math.isfinite(number_read):
            raise ValueError(f"is not a finite number; write a {kind}")
        _check_bounds(number_read, minimum, maximum, kind)
        return number_read

    return Parser(kind, read, _show_number)


def _read_flag(value: str) -> bool:
    try:
        return _FLAGS[value.strip()]
    except KeyError:
        raise ValueError("is not a flag; write true or false") from None


def _read_duration(value: str) -> float:
    stripped = value.strip()
    if _SECONDS.fullmatch(stripped):
        seconds = float(stripped)
    elif _DURATION.fullmatch(stripped):
        parts = _DURATION_PART.findall(stripped)
        # Rounded to Go's nanosecond grain, so that 1.1s is 1.1 and not 1.1000000000000001.
        seconds = round(sum(float(amount) * _DURATION_UNITS[unit] for amount, unit in parts), 9)
    else:
        raise ValueError("is not a duration; write for example 250ms, 10s or 1h30m")
    if seconds > _LONGEST_SECONDS:
        raise ValueError("is longer than 292 years; write a shorter duration")
    return seconds


def _show_duration(seconds: float) -> str:
    if seconds == 0:
        return "0s"
    if seconds < 1:
        for unit, scale in (("ms", 1e3), ("us", 1e6)):
            if float(f"{seconds * scale:.6g}").is_integer():
                return f"{seconds * scale:.6g}{unit}"
        return f"{_show_number(seconds)}s"
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    shown = f"{int(hours)}h" if hours else ""
    shown += f"{int(minutes)}m" if minutes else ""
    return shown + (f"{_show_number(round(rest, 9))}s" if rest or not shown else "")


ratio: Parser[float] = number(0, 1)
flag: Parser[bool] = Parser("flag", _read_flag, lambda value: "true" if value else "false")
port: Parser[int] = whole(0, 65535)
duration: Parser[float] = Parser("duration", _read_duration, _show_duration)


def duration_between(minimum: float, maximum: float) -> Parser[float]:
    """Read a duration within bounds given in seconds, both included."""
    kind = f"duration from {_show_duration(minimum)} to {_show_duration(maximum)}"

    def read(value: str) -> float:
        seconds = _read_duration(value)
        if not minimum <= seconds <= maximum:
            raise ValueError(f"is out of bounds; write a {kind}")
        return seconds

    return Parser(kind, read, _show_duration)


def choice(options: type[E]) -> Parser[E]:
    """Read one of an enum's values, in any case. The enum's values are the spellings."""
    spellings = {str(member.value).lower(): member for member in options}
    kind = " or ".join(str(member.value) for member in options)

    def read(value: str) -> E:
        try:
            return spellings[value.strip().lower()]
        except KeyError:
            raise ValueError(f"is not one of the choices; write {kind}") from None

    return Parser(kind, read, lambda member: str(member.value))


def _read_listing(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _read_mapping(value: str) -> Mapping[str, str]:
    pairs: dict[str, str] = {}
    for part in _read_listing(value):
        key, colon, item = part.partition(":")
        if not colon or not key.strip():
            raise ValueError(f"has a part without a key, {part!r}; write key:value,key:value")
        if key.strip() in pairs:
            raise ValueError(f"names {key.strip()!r} twice; write each key once")
        pairs[key.strip()] = item.strip()
    return pairs


def _read_path(value: str) -> Path:
    if "\0" in value:
        raise ValueError("holds a NUL character; write a path")
    return Path(value)


listing: Parser[tuple[str, ...]] = Parser("list: a,b", _read_listing, ",".join)
mapping: Parser[Mapping[str, str]] = Parser(
    "map: k:v,k:v", _read_mapping, lambda pairs: ",".join(f"{k}:{v}" for k, v in pairs.items())
)
path: Parser[Path] = Parser("path", _read_path)


def url(*schemes: str) -> Parser[str]:
    """Read a URL of one of the schemes with a host; kept as written, without a final slash."""
    kind = " or ".join(f"{scheme}://host:port" for scheme in schemes)

    def read(value: str) -> str:
        stripped = value.strip()
        try:
            parts = urlsplit(stripped)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f"is not a URL ({error}); write {kind}") from None
        if parts.scheme not in schemes or not host:
            raise ValueError(f"is not such a URL; write {kind}")
        return stripped.rstrip("/")

    return Parser(f"URL: {kind}", read, may_hold_password=True)
