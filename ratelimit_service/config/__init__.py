"""Settings of the rate limiter: its own, and what becomes of envoyproxy/ratelimit's.

settings.py    Settings, read from the environment; the reference's names wherever it has one
reference.py   the reference's variables that are not among them, and why: one table for the
               refusal at start, the line in the log, and `sluice check --env`
"""

from ratelimit_service.config.reference import (
    Finding,
    Standing,
    judge,
    refuse_unbuilt,
    without_effect,
)
from ratelimit_service.config.settings import ConfigType, RateLimitMode, Settings

__all__ = [
    "ConfigType",
    "Finding",
    "RateLimitMode",
    "Settings",
    "Standing",
    "judge",
    "refuse_unbuilt",
    "without_effect",
]
