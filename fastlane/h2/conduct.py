"""How much of a peer's conduct is borne: budgets for what costs us work and brings none done.

Each kind of act that floods are made of spends from a budget; an honest peer never comes near its
end. What the acts are and how many are too many stands in limits.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlane.h2.budget import Budget
from fastlane.h2.errors import ConnectionFault, ErrorCode

if TYPE_CHECKING:
    from fastlane.h2.errors import StreamFault
    from fastlane.h2.limits import Limits
    from fastlane.h2.outbound import Outbound

# Nuisances that a request earns back: clients that measure bandwidth ping beside every burst.
_NUISANCES_A_REQUEST = 10


class Conduct:
    """The budgets of one connection; every act raises ConnectionFault when its budget is spent."""

    __slots__ = (
        "_early_resets",
        "_excused",
        "_limits",
        "_nuisances",
        "_outbound",
        "_provoked_resets",
        "is_spent",
        "now",
    )

    def __init__(self, limits: Limits, outbound: Outbound, now: float) -> None:
        self.now = now
        self.is_spent = False
        """Whether a budget ran out in an act of ours, which cannot raise."""
        self._limits = limits
        self._outbound = outbound
        self._excused = limits.unaware_refusals
        self._nuisances = Budget(
            burst=limits.nuisance_burst,
            per_second=limits.nuisance_per_second,
            per_work=_NUISANCES_A_REQUEST,
            now=now,
        )
        self._early_resets = Budget(
            burst=limits.early_reset_burst,
            per_second=limits.early_reset_per_second,
            per_work=1,
            now=now,
        )
        self._provoked_resets = Budget(
            burst=limits.provoked_reset_burst,
            per_second=limits.provoked_reset_per_second,
            per_work=0,
            now=now,
        )

    def nuisance(self) -> None:
        """Count a frame that brings no data."""
        if not self._nuisances.spend(self.now, self._outbound.work):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many frames without data")

    def refusal(self, *, aware: bool) -> None:
        """Count a stream over the limit: the first cost nothing while the peer cannot know it."""
        if aware or not self._excused:
            self.nuisance()
        else:
            self._excused -= 1

    def peer_reset(self, opened_at: float) -> None:
        """Count a stream that the peer reset, if right after its request (CVE-2023-44487)."""
        early = self.now - opened_at < self._limits.early_reset_seconds
        if early and not self._early_resets.spend(self.now, self._outbound.finished):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many streams reset at once")

    def violation(self, fault: StreamFault) -> None:
        """Count a stream that we reset for its peer's violation (CVE-2025-8671)."""
        if not self._provoked_resets.spend(self.now, 0):
            reason = f"too many violations, the last: {fault.reason}"
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, reason)

    def early_answer(self) -> None:
        """Count a request that was answered before its end, which costs a reset and earns nothing.

        The work done for it was noted when its response ended, so that is taken back.
        """
        self._outbound.work -= 1
        if not self._nuisances.spend(self.now, self._outbound.work):
            self.is_spent = True

    def check(self) -> None:
        """Raise what an act of ours could not."""
        if self.is_spent:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many requests without an end")
