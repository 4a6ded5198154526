"""A planned request: which limits it meets, and what each will cost. Made by planner.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ratelimit_service.core.charge import Charge, Mode
from ratelimit_service.core.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ratelimit_service.core.limit import Limit
    from ratelimit_service.core.match import Match
    from ratelimit_service.core.rule import Rule


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What the settings say of every request.

    `reference`: count as envoyproxy/ratelimit does, whatever a rule says of algorithms.
    `quota_mode`: every limit is in quota mode. `shadow_mode`: nothing is refused in the end.
    """

    key_prefix: str = ""
    reference: bool = False
    quota_mode: bool = False
    shadow_mode: bool = False


@dataclass(slots=True)  # not frozen, like Plan: that triples the cost of making one
class Charged:
    """A limit whose part of the status the store decides."""

    limit: Limit
    charge: Charge
    rule: Rule


# What is known of a descriptor: all of its status; one limit to charge; or several.
Item: TypeAlias = "Status | Charged | tuple[Charged, ...]"


@dataclass(slots=True)
class Plan:
    """A request, matched: an item for each descriptor, and the charges in the same order.

    `matches`: what each descriptor met (replaced limits included), None for nothing. `quotas`:
    whether it counts as a quota when the request is judged. `refused`: an enforced limit is over
    whatever the store says, so charges of other modes than SHADOW and COUNTED only look. No
    charges: the verdict needs no store. A plan may be kept while its rules last and until their
    `changes_after`.
    """

    items: tuple[Item, ...]
    charges: tuple[Charge, ...]
    refused: bool
    matches: tuple[Match | None, ...] = ()
    quotas: tuple[bool, ...] = ()
    policy: Policy = Policy()


def charges_of(items: Iterable[Item]) -> tuple[Charge, ...]:
    """Return what is to be charged, in the order of the items."""
    charges: list[Charge] = []
    for item in items:
        if isinstance(item, Charged):
            charges.append(item.charge)
        elif isinstance(item, tuple):
            charges += [charged.charge for charged in item]
    return tuple(charges)


def looking(item: Item) -> Item:
    """Return `item` of a refused request, which charges nothing but what is always charged."""
    if isinstance(item, Status):
        return item
    if isinstance(item, tuple):
        return tuple([_look(charged) for charged in item])
    return _look(item)


def _look(charged: Charged) -> Charged:
    if charged.charge.mode in (Mode.SHADOW, Mode.COUNTED):
        return charged
    return Charged(charged.limit, charged.charge.look, charged.rule)
