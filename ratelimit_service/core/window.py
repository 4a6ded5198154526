"""Windows, fixed and sliding: the executable specification of storage/lua/window.lua.

Hits are counted by slots of time, and those of a slot count until `keep_us` after its end. A fixed
window is one slot as long as the period, kept no longer: at most the limit in each period. A
sliding one has SLOTS slots to the period and keeps each for a period: of hits that are at most a
period apart the earlier always counts when the later comes, so there is never more than the limit
in any period whatever; the price is that a hit is free again up to a slot, a 64th of the period,
later than it had to be. Slots without hits are not stored: an idle client costs one pair.

A changed limit applies at once to what was used under the old one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ratelimit_service.core.charge import LARGEST, Mode, is_short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratelimit_service.core.charge import Charge
    from ratelimit_service.core.limit import Limit

SLOTS = 64
_MICROSECONDS = 1_000_000
# Modes whose charge is made though it does not fit, so that the next of its kind waits longer.
_INTO_DEBT = (Mode.QUOTA, Mode.POSTPAID, Mode.COUNTED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """The shape of a window of `full` hits, counted by slots of `slot_us` from the Unix epoch.

    `edges_us`: where given, the slots are the periods of a calendar that begin at these four
    moments: the last, this, the next and the one after, seen from when the request was planned.
    The store picks by its own clock. The store answers `width` integers for a charge: the hits
    that count when it comes, and the microseconds until it fits (where its mode goes into debt:
    until it would fit again), until the window is empty if it is not made, and if it is made.
    """

    width: ClassVar[int] = 4
    parts: ClassVar[int] = 1

    full: int
    slot_us: int
    keep_us: int
    edges_us: tuple[int, ...] = ()

    @staticmethod
    def fixed(limit: Limit) -> Window:
        """Return the window of `limit` whose periods are counted from the Unix epoch."""
        period_us = limit.period_seconds * _MICROSECONDS
        return Window(full=limit.requests_per_unit, slot_us=period_us, keep_us=0)

    @staticmethod
    def calendar(limit: Limit, edges: Sequence[int]) -> Window:
        """Return the window of `limit` whose periods begin at `edges`, four Unix seconds."""
        return Window(
            full=limit.requests_per_unit,
            slot_us=limit.period_seconds * _MICROSECONDS,
            keep_us=0,
            edges_us=tuple([edge * _MICROSECONDS for edge in edges]),
        )

    @staticmethod
    def sliding(limit: Limit) -> Window:
        """Return the window of `limit` that ends now, whenever that is."""
        period_us = limit.period_seconds * _MICROSECONDS
        return Window(
            full=limit.requests_per_unit, slot_us=-(-period_us // SLOTS), keep_us=period_us
        )

    def cost(self, hits: int) -> int:
        """Return what `hits` take, any balance at most."""
        return max(-LARGEST, min(hits, LARGEST))

    @property
    def words(self) -> tuple[int, ...]:
        """The kind of meter it is, 1 or with a calendar 2, and five numbers of that kind."""
        if self.edges_us:
            return 2, self.full, self.slot_us, *self.edges_us[1:]
        return 1, self.full, self.slot_us, self.keep_us, 0, 0

    @property
    def most_credit(self) -> int:
        """The hits beyond which grants add up to no more."""
        return LARGEST - 2 * self.full - 1

    def tokens(self, debt: int) -> int:
        """Return the hits left at `debt`, 0 where it is more than `full`."""
        return max(0, self.full - debt)

    def end_us(self, now_us: int) -> int:
        """Return when the slot of `now_us` ends.

        A clock beyond the edges it was given (it is days away from that of the process) counts in
        the first or in one more period like the last.
        """
        if not self.edges_us:
            return now_us - now_us % self.slot_us + self.slot_us
        for edge in self.edges_us[1:]:
            if now_us < edge:
                return edge
        return now_us - (now_us - self.edges_us[3]) % self.slot_us + self.slot_us

    def settled(self, cell: Slots | None, now_us: int) -> Slots:
        """Return what still counts at `now_us`.

        Of a clock that went back the hits of slots to come count in this one: they are neither
        forgotten nor kept for longer than any.
        """
        if cell is None:
            return Slots()
        if cell.debt < 0:
            return cell if now_us < cell.pairs[0][0] else Slots()
        end = self.end_us(now_us)
        counts: dict[int, int] = {}
        for stop, hits in cell.pairs:
            if stop + self.keep_us > now_us:
                # The only slot of a fixed window ends as its period does now.
                at = min(stop, end) if self.keep_us else end
                counts[at] = counts.get(at, 0) + hits
        return Slots(tuple(counts.items()))

    def charged(self, cell: Slots, debt: int, now_us: int) -> Slots:
        """Return the settled `cell` with another debt.

        More is of now. Less is what was used first: then what is left counts for as long as it
        may, whichever hits were meant.
        """
        if debt < 0:
            return Slots(((cell.pairs[0][0], debt),))
        if debt < cell.debt:
            return Slots(_without(cell.pairs, cell.debt - debt))
        end = self.end_us(now_us)
        pairs = cell.pairs if cell.debt > 0 else ()
        counts = dict(pairs)
        counts[end] = counts.get(end, 0) + debt - max(0, cell.debt)
        return Slots(tuple([pair for pair in counts.items() if pair[1]]))

    def answer(self, before: Slots, after: Slots, charge: Charge, now_us: int) -> tuple[int, ...]:
        """Return what the store answers where `charge` meets `before` and would leave `after`."""
        empty = self._empty(before, charge, now_us)
        after_empty = empty if after is before else self._empty(after, charge, now_us)
        wait = 0
        if is_short(charge, before.debt):
            wait = self._wait(after if charge.mode in _INTO_DEBT else before, charge, now_us)
        return before.debt, wait, empty, after_empty

    def granted(self, cell: Slots, hits: int, end_us: int) -> Slots:
        """Return the settled `cell` with `hits` more; what is beyond full is gone at `end_us`."""
        debt = max(cell.debt - hits, min(cell.debt, -self.most_credit))
        if debt >= 0:
            return Slots(_without(cell.pairs, cell.debt - debt))
        return Slots(((max(end_us, cell.pairs[0][0]) if cell.debt < 0 else end_us, debt),))

    def _empty(self, cell: Slots, charge: Charge, now_us: int) -> int:
        """Return how long anything counts; as envoyproxy/ratelimit counts, how long it could."""
        if charge.mode is Mode.COUNTED:
            return self.end_us(now_us) - now_us
        if cell.debt <= 0:
            return 0
        return cell.pairs[-1][0] + self.keep_us - now_us

    def _wait(self, cell: Slots, charge: Charge, now_us: int) -> int:
        """Return how long until enough is gone for the charge, or all where it never fits."""
        used = cell.debt
        for stop, hits in cell.pairs:
            used -= hits
            if used + charge.cost <= self.full:
                return stop + self.keep_us - now_us
        return self._empty(cell, charge, now_us)


@dataclass(frozen=True, slots=True)
class Slots:
    """What the store keeps of one window: pairs of a slot's end and its hits, oldest first.

    Hits below zero are a credit: the only pair, gone at its end.
    """

    pairs: tuple[tuple[int, int], ...] = ()

    @property
    def debt(self) -> int:
        """The hits that count."""
        return sum([hits for _, hits in self.pairs])


def _without(pairs: tuple[tuple[int, int], ...], hits: int) -> tuple[tuple[int, int], ...]:
    """Return `pairs` less `hits`, the oldest first."""
    left = []
    for stop, counted in pairs:
        gone = min(hits, counted)
        hits -= gone
        if counted > gone:
            left.append((stop, counted - gone))
    return tuple(left)
