"""Read what a rule allows: its `rate_limit`, or its list of `limits`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from zoneinfo import available_timezones

from ratelimit_service.core.calendars import CALENDAR_UNITS, zone
from ratelimit_service.core.fields import Fields, suggestion
from ratelimit_service.core.keys import counting
from ratelimit_service.core.limit import Algorithm, Limit, Unit
from ratelimit_service.core.rule import Allowance
from ratelimit_service.core.shifts import SHIFT_KEYS, read_shift

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratelimit_service.core.schedule import Shift
    from ratelimit_service.core.source import Mapping

# What is exact in 53 bits ends far above it, and a period that long is a slip of the pen.
MAX_PERIOD_SECONDS = 10 * Unit.YEAR.seconds
MAX_LIMITS = 8  # of one descriptor; each is a counter of its own in every request
DEFAULT_KEYS = ("algorithm", "burst", "unit_multiplier")
_COUNTING_KEYS = (*DEFAULT_KEYS, "time_zone", "schedule")
_LIMIT_KEYS = ("unit", "requests_per_unit", "unlimited", "name", "replaces", *_COUNTING_KEYS)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Defaults:
    """What stands beside the limits for all of them."""

    algorithm: Algorithm
    burst: int | None
    unit_multiplier: int


def read_allowances(fields: Fields) -> tuple[Allowance, ...]:
    """Return the limits of a descriptor, none where it has none."""
    maps = _limit_maps(fields)
    if not maps:
        return ()
    defaults = _read_defaults(fields)
    several = len(maps) > 1
    inner = [_fields(item, fields) for item in maps]
    read = [_read_allowance(each, defaults, several=several) for each in inner]
    names = {allowance.limit.name for allowance in read if allowance.limit.name}
    for each, allowance in zip(inner, read, strict=True):
        if names.intersection(allowance.replaces):
            each.note(
                each.where("replaces"),
                "replaces should not contain name of same descriptor; name another one's limit",
            )
    return _numbered(read)


def _limit_maps(fields: Fields) -> Sequence[Mapping]:
    single = fields.mapping("rate_limit")
    if not fields.has("limits"):
        return () if single is None else (single,)
    maps = list(fields.maps("limits"))
    where = fields.where("limits")
    if single is not None:
        fields.note(where, "'limits' stands instead of 'rate_limit'; move the rate_limit into it")
    elif not maps:
        fields.note(where, "'limits' names no limit; write one as '- unit: ...', or remove it")
    elif len(maps) > MAX_LIMITS:
        fields.note(where, f"a descriptor has at most {MAX_LIMITS} limits, here are {len(maps)}")
    return maps


def _fields(item: Mapping, beside: Fields) -> Fields:
    return Fields(item, known=_LIMIT_KEYS, what="a rate_limit", findings=beside.findings)


def _numbered(allowances: list[Allowance]) -> tuple[Allowance, ...]:
    """Give limits that are counted alike an ordinal each, so that they share no counter."""
    seen: Counter[str] = Counter()
    numbered = []
    for allowance in allowances:
        how = counting(allowance.limit)
        seen[how] += 1
        numbered.append(replace(allowance, ordinal=seen[how]) if seen[how] > 1 else allowance)
    return tuple(numbered)


def _read_defaults(fields: Fields) -> _Defaults:
    return _Defaults(
        algorithm=fields.choice("algorithm", Algorithm, Algorithm.TOKEN_BUCKET),
        burst=fields.whole("burst", least=1),
        unit_multiplier=fields.whole("unit_multiplier", least=1) or 1,
    )


def _read_allowance(fields: Fields, defaults: _Defaults, *, several: bool) -> Allowance:
    name = _read_name(fields)
    replaces = _read_replaces(fields)
    if fields.flag("unlimited"):
        if several:
            fields.note(
                fields.where("unlimited"), "an unlimited limit stands alone; remove the others"
            )
        _read_unlimited(fields)
        return Allowance(limit=Limit(unlimited=True, name=name), replaces=replaces)
    limit = _read_limit(fields, defaults, name)
    shifts = _read_shifts(fields, limit)
    return Allowance(limit=limit, replaces=replaces, shifts=shifts)


def _read_unlimited(fields: Fields) -> None:
    if fields.text("unit").upper() in Unit.__members__:
        fields.note(
            fields.where("unit"),
            "should not specify rate limit unit when unlimited; remove one of the two",
        )
    if fields.whole("requests_per_unit"):
        fields.warn(
            fields.where("requests_per_unit"), "'requests_per_unit' has no effect when unlimited"
        )
    for key in _COUNTING_KEYS:
        if fields.has(key):
            fields.note(fields.where(key), f"nothing is counted when unlimited; remove '{key}'")


def _read_name(fields: Fields) -> str:
    name = fields.text("name")
    if any(character in '"\\' or not character.isprintable() for character in name):
        fields.warn(
            fields.where("name"),
            "'name' breaks Envoy's x-ratelimit-limit header, into which it is copied as it is; "
            "leave out quotes, backslashes and what cannot be printed",
        )
    return name


def _read_replaces(fields: Fields) -> tuple[str, ...]:
    names = []
    for item in fields.maps("replaces"):
        inner = Fields(item, known=("name",), what="replaces", findings=fields.findings)
        name = inner.text("name")
        if name:
            names.append(name)
        else:
            inner.note(
                inner.where("name"),
                "should not have an empty replaces entry; write '- name: NAME' of another limit",
            )
    return tuple(names)


def _read_limit(fields: Fields, defaults: _Defaults, name: str) -> Limit:
    unit = _read_unit(fields)
    multiplier = fields.whole("unit_multiplier", least=1) or defaults.unit_multiplier
    if unit.seconds * multiplier > MAX_PERIOD_SECONDS:
        fields.note(
            fields.where("unit_multiplier"),
            f"{multiplier} {unit.name.lower()}s are more than ten years; write a shorter period",
        )
        multiplier = 1
    algorithm = fields.choice("algorithm", Algorithm, defaults.algorithm)
    return Limit(
        requests_per_unit=_read_requests(fields),
        unit=unit,
        unit_multiplier=multiplier,
        burst=_read_burst(fields, defaults, algorithm),
        algorithm=algorithm,
        time_zone=_read_time_zone(fields, algorithm, unit, multiplier),
        name=name,
    )


def _read_requests(fields: Fields) -> int:
    requests = fields.whole("requests_per_unit")
    if requests is None:
        if not fields.has("requests_per_unit"):
            fields.warn(
                fields.place,
                "no 'requests_per_unit', so everything is refused; write how many requests a unit "
                "allows, or 0 if that is meant",
            )
        return 0
    return requests


def _read_burst(fields: Fields, defaults: _Defaults, algorithm: Algorithm) -> int | None:
    burst = fields.whole("burst", least=1)
    if algorithm is Algorithm.TOKEN_BUCKET:
        return defaults.burst if burst is None else burst
    if burst is not None:
        fields.note(
            fields.where("burst"),
            f"'burst' is the size of a token bucket; {algorithm.value} has none",
        )
    return None


def _read_unit(fields: Fields) -> Unit:
    text = fields.text("unit")
    if text.upper() in Unit.__members__:
        return Unit[text.upper()]
    names = [unit.name.lower() for unit in Unit]
    hint = suggestion(text.lower(), names) or f"; write one of {', '.join(names)}"
    fields.note(fields.where("unit"), f"invalid rate limit unit '{text}'{hint}")
    return Unit.SECOND


def _read_time_zone(fields: Fields, algorithm: Algorithm, unit: Unit, multiplier: int) -> str:
    name = known_zone(fields)
    if name and (
        algorithm is not Algorithm.FIXED_WINDOW or unit not in CALENDAR_UNITS or multiplier != 1
    ):
        fields.note(
            fields.where("time_zone"),
            "'time_zone' is for a fixed_window of one day, week, month or year; remove it, or "
            "write 'algorithm: fixed_window' and such a unit",
        )
        return ""
    return name


def known_zone(fields: Fields) -> str:
    """Return the text of `time_zone` if it names one, else "" having noted it."""
    name = fields.text("time_zone")
    if name and zone(name) is None:
        known = available_timezones()
        hint = suggestion(name, known) or "; write an IANA name such as Europe/Paris"
        if not known:
            hint = "; this machine has no time zones at all: install tzdata"
        fields.note(fields.where("time_zone"), f"there is no time zone '{name}'{hint}")
        return ""
    return name


def _read_shifts(fields: Fields, limit: Limit) -> tuple[Shift, ...]:
    shifts = []
    for item in fields.maps("schedule"):
        inner = Fields(
            item, known=SHIFT_KEYS, what="a schedule", findings=fields.findings, ours=True
        )
        shifts.append(read_shift(inner, limit, known_zone(inner) or "UTC"))
    return tuple(shifts)
