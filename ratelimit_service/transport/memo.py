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
_MARKS: Final = 1 << 20
_ITEM_BYTES: Final = 800  # what a descriptor takes, planned; each limit but one a little more


class Memo:
    """Planned requests by their bytes. Bounded; forgets the longest unused.

    Two dicts in turn instead of an ordered one: a hit is one look-up and moves nothing.
    """

    MAX_KEPT = 16_384  # requests in each dict
    MAX_KEPT_BYTES = 48 << 20  # in each dict: twice that in all
    MAX_REQUEST_BYTES = 4096  # Envoy's are some 30 to 300; a larger one is not worth its room
    # Requests remembered by a bit of their hash, until they come again: clients that come once, or
    # more of them than there is room for, would only push out those that come often, and keeping
    # one costs as much as planning it. One in thirty is mistaken for one that came before.
    MAX_SEEN = 65_536

    def __init__(self, make: Callable[[Edition, bytes], Asked]) -> None:
        self._make = make
        self._edition: Edition | None = None
        self._young: dict[bytes, Asked] = {}
        self._old: dict[bytes, Asked] = {}
        self._young_bytes = 0
        self._marks = bytearray(_MARKS)
        self._marked = 0

    def asked(self, edition: Edition, request: bytes) -> Asked:
        """Return `request` as planned under `edition`."""
        if edition is not self._edition:
            _release((self._young, self._old))
            self._edition, self._young, self._old, self._young_bytes = edition, {}, {}, 0
        asked = self._young.get(request)
        if asked is not None:
            return asked
        asked = self._old.get(request)
        if asked is None:
            asked = self._make(edition, request)
            mark = hash(request) % _MARKS
            if not self._marks[mark]:  # it comes for the first time, as far as is remembered
                self._marks[mark] = 1
                self._marked += 1
                if self._marked >= self.MAX_SEEN:
                    self._marks, self._marked = bytearray(_MARKS), 0
                return asked
        if len(request) <= self.MAX_REQUEST_BYTES:
            self._keep(request, asked)
        return asked

    def _keep(self, request: bytes, asked: Asked) -> None:
        if len(self._young) >= self.MAX_KEPT or self._young_bytes >= self.MAX_KEPT_BYTES:
            _release((self._old,))
            self._young, self._old, self._young_bytes = {}, self._young, 0
        self._young[request] = asked
        self._young_bytes += len(request) + _ITEM_BYTES * len(asked.counted)
        asked.kept = True


def _release(kept: tuple[dict[bytes, Asked], ...]) -> None:
    """Let go of many in steps: all at once would hold the calls of 25 ms up."""
    for one in kept:
        for _ in range(min(len(one), _STEP)):
            one.popitem()
    if any(kept):
        asyncio.get_running_loop().call_soon(_release, kept)
