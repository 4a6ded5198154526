"""Every case of the suite, those that may end a careless server last."""

from __future__ import annotations

from tests.conformance.cases import (
    charging,
    counting,
    errors,
    extras,
    matching,
    modes,
    overrides,
    timing,
    values,
    wildcards,
)

ALL = tuple(
    sorted(
        errors.CASES
        + counting.CASES
        + matching.CASES
        + wildcards.CASES
        + modes.CASES
        + overrides.CASES
        + values.CASES
        + charging.CASES
        + timing.CASES
        + extras.CASES,
        key=lambda case: case.deadly,
    )
)
