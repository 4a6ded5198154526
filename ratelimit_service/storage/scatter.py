"""One request over several places that cannot be charged in one step: reserve, then compensate.

The slots of a Redis Cluster, and a second Redis, are each charged atomically, but not together. So
every part of a request is charged at once (the reservation), each by the rules of core/charge.py;
when all have answered, or failed, a part that charged what the whole request does not allow is
refunded (the compensation). What that is worth:

* A request that passes was charged wholly. One that is refused is charged nothing in the end, but
  while its reservation stands, some round trips, others may be refused for its tokens.
* Nothing passes that the limits forbid, as only that is given back which still lacks when the
  refund comes: not what refilled meanwhile beyond a full bucket, nor hits of a window that is over.
  When it will come is not known; its way is taken to be as long as that of the charge. Where it is
  longer, as much may pass too many as flows back in the difference.
* A refund is sent once, and nobody waits for it. One that fails is counted
  (`ratelimit_store_refunds_lost`) and not sent again: whether it ran is unknown, and a refund made
  twice lets through what nobody allowed. The tokens come back as used ones do.
* A part that was not answered in time may stay charged, as any request that times out may.
* A credit (core/grant.py) that a reservation used stays used.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from chassis.clock import SystemClock
from ratelimit_service.core.charge import Charge, Mode, answers, blocked, debt_after
from ratelimit_service.core.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from ratelimit_service.service import Done
    from ratelimit_service.storage.counts import StoreCounts

    # BucketStore.take of the place of a part.
    Take: TypeAlias = Callable[[Sequence[Charge], float | None, Done], None]

# What is not made if another charge of its request is not: all of it is taken back where a part
# of the request failed. The other modes are made whatever happens.
_CONDITIONAL: Final = frozenset((Mode.ENFORCED, Mode.QUOTA, Mode.POSTPAID))


@dataclass(frozen=True, slots=True)
class Part:
    """The charges of one place, and their indices in the request."""

    take: Take
    charges: Sequence[Charge]
    indices: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What each charge of a part met, and how long that took."""

    found: Sequence[Sequence[int]]
    took_us: int

    @property
    def debts(self) -> list[int]:
        return [met[0] for met in self.found]


def parts_of(
    charges: Sequence[Charge], places: Sequence[int], take_at: Callable[[int], Take]
) -> list[Part]:
    """Group charges by their places, numbers of the caller's, in order of first mention."""
    parts = []
    for place in dict.fromkeys(places):
        indices = [index for index, other in enumerate(places) if other == place]
        parts.append(Part(take_at(place), [charges[index] for index in indices], indices))
    return parts


def refund(charge: Charge, met: Sequence[int], stood_us: int) -> Charge | None:
    """Return what undoes a charge that was made where it `met` this, if it comes `stood_us` later.

    None where nothing is left to undo.
    """
    debt = max(0, met[0])
    made = max(0, debt_after(charge, met[0])) - debt
    if made > 0:
        made -= min(made, _lapsed(charge, met, stood_us))
    # In shadow mode none keeps the others from being made. The undoing of a refund may not fit:
    # what was given back has been spent, and stays so.
    return Charge(charge.key, charge.meter, -made, Mode.SHADOW, charge.per_second) if made else None


def _lapsed(charge: Charge, met: Sequence[int], stood_us: int) -> int:
    """Return how much of what a charge took must not be given back after this time."""
    meter = charge.meter
    if isinstance(meter, Window):
        return charge.cost if met[3] <= stood_us else 0
    return max(0, stood_us // meter.tick_us * meter.refill - max(0, met[0]))


class Scatter:
    """Charges requests in parts, as the head of this file says, and counts what happens."""

    def __init__(
        self, counts: StoreCounts, monotonic: Callable[[], float] = SystemClock.monotonic
    ) -> None:
        self._counts = counts
        self._monotonic = monotonic

    def take(self, parts: Sequence[Part], timeout_seconds: float | None, done: Done) -> None:
        """Charge all parts or, in the end, none, and call `done` as BucketStore.take promises."""
        self._counts.scattered += 1
        request = _Request(self, parts, done, self._monotonic)
        for number, part in enumerate(parts):
            part.take(part.charges, timeout_seconds, partial(request.answered, number))

    def give_back(self, part: Part, charges: Sequence[Charge]) -> None:
        """Send a refund; nobody waits for it."""
        self._counts.taken_back += 1
        part.take(charges, None, self._given_back)

    def _given_back(self, _met: Sequence[int], error: BaseException | None) -> None:
        if error is not None:
            self._counts.refunds_lost += 1


class _Request:
    """A scattered request: what its parts have answered so far."""

    __slots__ = (
        "_answers",
        "_done",
        "_error",
        "_left",
        "_monotonic",
        "_parts",
        "_scatter",
        "_started",
    )

    def __init__(
        self,
        scatter: Scatter,
        parts: Sequence[Part],
        done: Done,
        monotonic: Callable[[], float],
    ) -> None:
        self._scatter = scatter
        self._parts = parts
        self._done = done
        self._left = len(parts)
        self._answers: dict[int, _Answer] = {}
        self._error: BaseException | None = None
        self._monotonic = monotonic
        self._started = monotonic()

    def answered(self, number: int, met: Sequence[int], error: BaseException | None) -> None:
        """Hear of one part; the last one ends the request."""
        if error is None:
            found = answers(self._parts[number].charges, met)
            self._answers[number] = _Answer(found, self._age_us())
        else:
            self._error = self._error or error
        self._left -= 1
        if not self._left:
            self._end()

    def _age_us(self) -> int:
        return int((self._monotonic() - self._started) * 1_000_000)

    def _end(self) -> None:
        if self._error is not None:
            self._compensate(_CONDITIONAL)
            self._done((), self._error)
            return
        gathered: list[tuple[int, Charge, Sequence[int]]] = []
        for number, part in enumerate(self._parts):
            gathered += zip(part.indices, part.charges, self._answers[number].found, strict=True)
        gathered.sort(key=lambda one: one[0])
        stopped = blocked([one[1] for one in gathered], [one[2][0] for one in gathered])
        if stopped:
            self._compensate(stopped)
        self._done([value for one in gathered for value in one[2]], None)

    def _compensate(self, stopped: Collection[Mode]) -> None:
        """Refund the charges of these modes where they were made."""
        age_us = self._age_us()
        for number, answer in self._answers.items():
            part = self._parts[number]
            not_made = blocked(part.charges, answer.debts)
            refunds = [
                refund(charge, met, age_us + answer.took_us)
                for charge, met in zip(part.charges, answer.found, strict=True)
                if charge.mode in stopped and charge.mode not in not_made
            ]
            charges = [charge for charge in refunds if charge is not None]
            if charges:
                self._scatter.give_back(part, charges)
