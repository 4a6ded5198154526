"""How many connections a server takes, and that the process never runs out of descriptors.

The kernel gives out the lowest descriptor that is free, so the number of a new socket says how full
the process's table is, whoever filled it: other servers, database links, files. A socket beyond the
ceiling is turned away while there are descriptors left for everything else.
"""

from __future__ import annotations

import logging
import resource
from typing import Final

# Descriptors kept for what is not a connection of ours: links to stores, files, pipes.
_SPARE: Final = 64
# Where an episode of refusals ends, so that a server at its limit does not tell of each.
_CALM: Final = 0.9

_log: Final = logging.getLogger("fastlane")


class Door:
    """What lets connections in, and counts them."""

    def __init__(self, most: int) -> None:
        """Raise the soft limit of descriptors as far as `most` connections need and it may be."""
        self.inside = 0
        """Connections that are open."""
        self.turned_away = 0
        """Connections refused so far."""
        self._most = most
        self._ceiling = raise_descriptors(most + _SPARE) - _SPARE
        self._refusing = False

    def admits(self, descriptor: int) -> bool:
        """Whether a connection may come in, and then count it."""
        if self.inside < self._most and descriptor < self._ceiling:
            if self._refusing and self.inside < self._most * _CALM:
                self._refusing = False
                _log.info("taking connections again; %d were turned away", self.turned_away)
            self.inside += 1
            return True
        self.turned_away += 1
        if not self._refusing:
            self._refusing = True
            _log.warning("turning new connections away: %d are open", self.inside)
        return False

    def on_left(self) -> None:
        """Note that a connection has gone."""
        self.inside -= 1


def raise_descriptors(wanted: int) -> int:
    """Raise the process's soft limit of descriptors to `wanted` if it may; returns what it is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    goal = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if goal > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (goal, hard))
        soft = goal
    return soft
