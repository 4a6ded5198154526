"""How long the services may let calls end, so that a mesh as a whole stops when it promised to.

SLUICE_DRAIN_SECONDS is the services' own setting; `sluice up` passes it on. A stop has a bound of
its own (supervisor.STOP_SECONDS), of which the other stages need their share, so a longer drain is
cut to what is left rather than ended by a kill.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from chassis.parsers import duration_between
from sluice.mesh.part import Stage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sluice.mesh.part import Part
    from sluice.mesh.plan import Plan

VARIABLE: Final = "SLUICE_DRAIN_SECONDS"

# What a service drains when nothing is said, and what it and a busy machine need on top of it.
_DEFAULT_SECONDS: Final = 3.0
_MARGIN_SECONDS: Final = 2.5

_duration = duration_between(0, 300)


def service_grace(plan: Plan) -> float:
    """Answer how long after SIGTERM a service is killed."""
    told = _read(plan.environ)
    return (_DEFAULT_SECONDS if told is None else told) + _MARGIN_SECONDS


def fitting_drain(
    parts: Sequence[Part], environ: Mapping[str, str], *, stop_seconds: float, finish_seconds: float
) -> float | None:
    """Answer what SLUICE_DRAIN_SECONDS must be cut to, in seconds, or None when it fits.

    `stop_seconds` is the bound of the whole stop, `finish_seconds` what a part may take before its
    SIGTERM. What is no duration is left for the service to complain about.
    """
    told = _read(environ)
    if told is None or not any(part.grace for part in parts):
        return None
    others: dict[Stage, float] = {}
    for part in parts:
        if part.stage is not Stage.SERVICE:
            finish = finish_seconds if part.finishes else 0.0
            longest = max(others.get(part.stage, 0.0), part.grace_seconds + finish)
            others[part.stage] = longest
    room = stop_seconds - sum(others.values()) - _MARGIN_SECONDS
    return room if told > room else None


def _read(environ: Mapping[str, str]) -> float | None:
    try:
        return _duration(environ[VARIABLE])
    except (KeyError, ValueError):
        return None
