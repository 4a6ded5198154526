"""The times during which the store decides nothing, each told once however many calls meet it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chassis.clock import Clock
    from ratelimit_service.service.ports import StoreWatch


class Absence:
    """The present one, if the store is away."""

    def __init__(self, clock: Clock, watch: StoreWatch) -> None:
        self.lasts = False
        self._clock = clock
        self._watch = watch
        self._since = 0.0
        self._undecided = 0

    def goes_on(self, error: BaseException) -> None:
        """Note a request that the store did not decide."""
        if not self.lasts:
            self.lasts, self._since, self._undecided = True, self._clock.monotonic(), 0
            self._watch.away(error)
        self._undecided += 1

    def end(self) -> None:
        """Note one that it decided."""
        self.lasts = False
        self._watch.back(self._clock.monotonic() - self._since, self._undecided)
