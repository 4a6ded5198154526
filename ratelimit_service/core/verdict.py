"""What is said of a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratelimit_service.core.limit import Limit


@dataclass(slots=True)
class Status:
    """What is said of one descriptor. `limit` None: nothing limits it, the rest is not sent.

    `reset_us`: passed, until its meter is as before any hit; refused, until the asked hits fit,
    rounded up to whole seconds, because Envoy cuts Retry-After down to them. `shadowed`: over, if
    its rule were not in shadow mode.
    Not frozen: one is made for every decision, and freezing triples what making it costs.
    """

    over: bool = False
    limit: Limit | None = None
    remaining: int = 0
    reset_us: int = 0
    shadowed: bool = False


@dataclass(slots=True)
class Verdict:
    """What is said of a request: refused or not, and a status for each descriptor, in order.

    `shadowed`: it would be refused, if the whole service were not in shadow mode.
    """

    over: bool
    statuses: Sequence[Status]
    shadowed: bool = False
