"""How the tokens of one bucket are split among the streams that want them.

Everybody gets as much as wanted if there is enough. If not, nobody gets more while another has
less and wants more: an idle stream keeps nothing that a busy one could use, and one that asks for
much (refused requests come again and count as demand) takes nothing from those that ask for little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratelimit_service.core.share import MAX_BLOCK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratelimit_service.core.share import Share, Terms


def split(
    shares: Sequence[Share], now: float, available: int, terms: Terms
) -> list[tuple[Share, int]]:
    """Return which shares are to get new blocks of how many tokens; together at most `available`.

    Shares that cannot use tokens now have their part kept for when they report. A newcomer gets
    half of its part, as nothing is known of it.
    """
    claims = [share.claim(now, available, terms) for share in shares]
    waits = [share.given_at for share in shares]
    grants = []
    for share, part in zip(shares, level(available, claims, waits), strict=True):
        if not part or not share.is_eligible(now):
            continue
        tokens = min(MAX_BLOCK, (part + 1) // 2 if share.rate is None else part)
        keeps = share.may_be_prolonged(now) and not share.has_too_much(now, terms)
        if tokens > share.left(now) or not keeps:
            grants.append((share, tokens))
    return grants


def level(total: int, claims: Sequence[int], waits: Sequence[float]) -> list[int]:
    """Split `total` so that nobody gets less than a claim while another gets more.

    What does not divide goes, one each, to those with the lowest of `waits`.
    """
    by_claim = sorted(claims)
    highest, left = 0, total
    for done, claim in enumerate(by_claim):
        highest = left // (len(claims) - done)
        if claim > highest:
            break
        left -= claim
    parts = [min(claim, highest) for claim in claims]
    left = total - sum(parts)
    for index in sorted(range(len(claims)), key=waits.__getitem__):
        if left and parts[index] < claims[index]:
            parts[index] += 1
            left -= 1
    return parts
