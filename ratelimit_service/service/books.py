"""The books: what each rule has decided, and which keys are hot.

Requests count for themselves (asked.py) and are gathered here: when somebody wants to see, once a
second, and whenever many have collected, so that no hit is lost when a plan is forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ratelimit_service.core.hot_keys import Hot, HotKeys
from ratelimit_service.core.tally import Tallies
from ratelimit_service.service.asked import Counted

if TYPE_CHECKING:
    from chassis.clock import Clock
    from ratelimit_service.core.descriptor import Descriptor, Entries
    from ratelimit_service.core.match import Match
    from ratelimit_service.core.plan import Item
    from ratelimit_service.service.asked import Asked

# Gathering one costs some 2 us; this many hold nobody up for a millisecond.
MAX_WAITING = 256
# Where so many different requests come, those that came once are counted as hot keys by samples:
# that costs 2 us each. What rules have decided is counted whole.
SAMPLE = 32
# Hot keys are kept by the thousand; callers may send megabytes of each.
_KEY_CHARACTERS = 512
_CUT_ENTRIES, _CUT_CHARACTERS = 8, 32
NEAR_LIMIT_RATIO = 0.8  # the reference's

# Domain, entries, and the path of the rule they met, "" for none.
HotKey: TypeAlias = "tuple[str, Entries, str]"


@dataclass(slots=True)
class Counts:
    """What was decided since the start, as plain integers for the metrics."""

    ok: int = 0
    over_limit: int = 0
    store_failures: int = 0
    allowed_without_store: int = 0
    denied_without_store: int = 0
    unknown_domain: int = 0
    global_shadow_mode: int = 0


class Books:
    """Tallies by rule and hot keys by descriptor, of this process."""

    def __init__(self, clock: Clock, *, near_limit_ratio: float = NEAR_LIMIT_RATIO) -> None:
        self.counts = Counts()
        self.tallies = Tallies()
        self._clock = clock
        self._ratio = near_limit_ratio
        self._hot: HotKeys[HotKey] = HotKeys(clock.monotonic())
        self._waiting: list[Asked] = []
        self._entered = 0  # since they were brought up

    def counted(
        self, domain: str, descriptor: Descriptor, match: Match | None, item: Item
    ) -> Counted:
        """Return the counters of one descriptor of a request that was just planned."""
        hits = max(0, descriptor.hits)  # a refund is no hit
        if match is None:
            return Counted(hits, None, 0)
        # The path of a limit that a request brought along is made of its values.
        rule = match.rule.path if descriptor.override is None else domain
        tally = self.tallies.of(match.metric, rule)
        limit = getattr(item, "limit", None)
        if limit is None:  # unlimited, or several limits, whose nearness is none of one number
            return Counted(hits, tally, 0)
        return Counted(hits, tally, limit.capacity - int(limit.capacity * self._ratio))

    def enter(self, asked: Asked) -> None:
        """Remember a request that counted for the first time since it was last gathered.

        What serves no other call is not worth remembering where many come.
        """
        self._entered += 1
        if asked.kept or self._entered < MAX_WAITING:
            self._waiting.append(asked)
            if len(self._waiting) >= MAX_WAITING or asked.is_large:
                self._gather(SAMPLE)
        else:
            if not self._entered % SAMPLE:
                self._tell(asked, SAMPLE, self._clock.monotonic())
            self._settle(asked)

    def bring_up(self) -> None:
        """Gather what the requests have counted."""
        self._entered = 0
        self._gather(1)

    def _gather(self, sample: int) -> None:
        """Gather; of requests that came once, one in `sample` stands for all as a hot key."""
        waiting, self._waiting = self._waiting, []
        now = self._clock.monotonic()
        for number, asked in enumerate(waiting):
            if asked.calls > 1:
                self._tell(asked, 1, now)
            elif not number % sample:
                self._tell(asked, sample, now)
            self._settle(asked)

    def _settle(self, asked: Asked) -> None:
        """Give the tallies what a request has counted."""
        calls, asked.calls = asked.calls, 0
        for counted in asked.counted:
            tally = counted.tally
            if tally is not None:
                hits = calls * counted.hits
                tally.total_hits += hits
                tally.within_limit += hits
        if asked.over is not None:
            for counted, over in zip(asked.counted, asked.over, strict=True):
                if counted.tally is not None:
                    counted.tally.over_limit += over
                    counted.tally.within_limit -= over
            asked.over = None

    def _tell(self, asked: Asked, weight: int, now: float) -> None:
        """Count the keys of a request as often as it came, and for `weight` such requests."""
        for place, descriptor in enumerate(asked.descriptors):
            hits = asked.calls * asked.counted[place].hits
            if hits:
                over = asked.over[place] if asked.over is not None else 0
                key = _hot_key(asked.domain, descriptor, asked.outline.matches[place])
                self._hot.add(key, hits * weight, over * weight, now)

    def hottest(self, count: int, domain: str) -> tuple[list[Hot[HotKey]], float]:
        """Return the hottest keys, of one domain or of all (""), and the seconds they cover."""
        self.bring_up()
        now = self._clock.monotonic()
        seconds = self._hot.window_seconds(now)
        wanted = count if not domain else None
        found = [hot for hot in self._hot.top(wanted, now) if not domain or hot.key[0] == domain]
        return found[:count], seconds


def _hot_key(domain: str, descriptor: Descriptor, match: Match | None) -> HotKey:
    """Return what a descriptor is counted under, its texts cut where they are long."""
    entries = descriptor.entries
    path = match.rule.path if match is not None else ""
    if descriptor.size > _KEY_CHARACTERS:
        entries = tuple([(_cut(key), _cut(value)) for key, value in entries[:_CUT_ENTRIES]])
        path = path if descriptor.override is None else _cut(path)
    return domain if len(domain) <= _KEY_CHARACTERS else _cut(domain), entries, path


def _cut(text: str) -> str:
    return text if len(text) <= _CUT_CHARACTERS else f"{text[:_CUT_CHARACTERS]}…"
