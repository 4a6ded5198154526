"""Requests by their bytes: the same client sends the same ones again and again.

A known request is neither parsed nor matched. What is kept holds for one edition of the rules and
is dropped with it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from ratelimit_service.service.asked import Asked, Edition

_STEP: Final = 200  # what is let go of between two turns of the event loop


class Memo:
    """Planned requests by their bytes. Bounded; forgets the longest unused.

    Two dicts in turn instead of an ordered one: a hit is one look-up and moves nothing.
    """

    MAX_KEPT = 16_384  # per dict; at most 3 KiB each with its key, so 96 MiB in all
    MAX_REQUEST_BYTES = 1024  # Envoy's are some 30 to 300; a larger one is not worth its room
    MAX_ITEMS = 4  # some 350 bytes each
    # Requests remembered by their hash alone, until they come again: clients that come once, or
    # more of them than there is room for, would only push out those that come often, and keeping
    # one costs as much as planning it.
    MAX_SEEN = 65_536

    def __init__(self, make: Callable[[Edition, bytes], Asked]) -> None:
        self._make = make
        self._edition: Edition | None = None
        self._young: dict[bytes, Asked] = {}
        self._old: dict[bytes, Asked] = {}
        self._seen: set[int] = set()

    def asked(self, edition: Edition, request: bytes) -> Asked:
        """Return `request` as planned under `edition`."""
        if edition is not self._edition:
            _release((self._young, self._old))
            self._edition, self._young, self._old = edition, {}, {}
        asked = self._young.get(request)
        if asked is not None:
            return asked
        asked = self._old.get(request)
        if asked is None:
            asked = self._make(edition, request)
            if self._is_new(request):
                return asked
        if len(request) <= self.MAX_REQUEST_BYTES and len(asked.counted) <= self.MAX_ITEMS:
            if len(self._young) >= self.MAX_KEPT:
                self._young, self._old = {}, self._young
            self._young[request] = asked
        return asked

    def _is_new(self, request: bytes) -> bool:
        """Return whether `request` comes for the first time, as far as is remembered."""
        known = hash(request)
        if known in self._seen:
            return False
        if len(self._seen) >= self.MAX_SEEN:
            self._seen.clear()
        self._seen.add(known)
        return True


def _release(kept: tuple[dict[bytes, Asked], ...]) -> None:
    """Let go of many in steps: all at once would hold the calls of 25 ms up."""
    for one in kept:
        for _ in range(min(len(one), _STEP)):
            one.popitem()
    if any(kept):
        asyncio.get_running_loop().call_soon(_release, kept)
