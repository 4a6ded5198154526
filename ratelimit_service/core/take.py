"""Charge many requests in order: the executable specification of storage/lua/take.lua."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from ratelimit_service.core.charge import blocked, debt_after

if TYPE_CHECKING:
    from collections.abc import Collection, MutableMapping, Sequence

    from ratelimit_service.core.bucket import Cell
    from ratelimit_service.core.charge import Charge, Mode
    from ratelimit_service.core.window import Slots

# Each meter knows its own kind of cell; a key is only ever met by one kind of meter.
Cells: TypeAlias = "MutableMapping[bytes, Cell | Slots]"
_Drafts: TypeAlias = "dict[bytes, Any]"


def take(cells: Cells, requests: Sequence[Sequence[Charge]], now_us: int) -> list[int]:
    """Charge `requests` in order, each by the modes of its charges; return what each charge met.

    That is `meter.width` integers a charge. A charge sees those before it in its own request, as
    if they had been made. The caller judges from the answer alone (see judge.judge).
    """
    met: list[int] = []
    for charges in requests:
        drafts: _Drafts = {}
        debts: list[int] = []
        for charge in charges:
            answer = _draft(drafts, cells, charge, now_us)
            debts.append(answer[0])
            met += answer
        stopped = blocked(charges, debts)
        if stopped:
            drafts = _made(cells, charges, stopped, now_us)
        keep(cells, drafts)
    return met


def _made(
    cells: Cells, charges: Sequence[Charge], stopped: Collection[Mode], now_us: int
) -> _Drafts:
    """Charge what is charged though the request is refused, on what is there without the rest."""
    drafts: _Drafts = {}
    for charge in charges:
        if charge.mode not in stopped:
            _draft(drafts, cells, charge, now_us)
    return drafts


def _draft(drafts: _Drafts, cells: Cells, charge: Charge, now_us: int) -> tuple[int, ...]:
    """Add to `drafts` what `charge` leaves, unless that is what it met; return its answer."""
    key = charge.key
    meter: Any = charge.meter
    before = meter.settled(drafts[key] if key in drafts else cells.get(key), now_us)
    debt = debt_after(charge, before.debt)
    if debt == before.debt:
        return tuple(meter.answer(before, before, charge, now_us))
    after = drafts[key] = meter.charged(before, debt, now_us)
    return tuple(meter.answer(before, after, charge, now_us))


def keep(cells: Cells, drafts: _Drafts) -> None:
    """Store what was drafted; a meter that lacks nothing is an absent one."""
    for key, draft in drafts.items():
        if draft.debt:
            cells[key] = draft
        else:
            cells.pop(key, None)
