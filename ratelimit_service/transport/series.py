"""Clients that were never seen: their requests are known but for a value.

Where each client has a counter of its own, requests differ in the last value of their descriptor,
and most rules do not care for it. So what such a request is to be charged is found by the bytes
before that value: in 5 us where parsing, matching and planning it takes 13.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ratelimit_service.transport import codec

if TYPE_CHECKING:
    from collections.abc import Callable

    from ratelimit_service.service.asked import Asked, Edition, Series


class SeriesMemo:
    """Series of requests by the bytes that their requests begin with, under one edition."""

    # Beginnings, of 128 bytes at most: one for each rule and length of the values that it is asked
    # with; but callers may vary the values before as well.
    MAX_KEPT: Final = 1024

    def __init__(
        self,
        make: Callable[[Edition, bytes], Asked],
        series_of: Callable[[Edition, Asked, int], Series | None],
    ) -> None:
        self._make = make
        self._series_of = series_of
        self._edition: Edition | None = None
        self._kept: dict[bytes, Series | None] = {}
        # Beginnings that came once: one that comes no more is not worth finding out about.
        self._seen: set[bytes] = set()

    def asked(self, edition: Edition, request: bytes) -> Asked:
        """Return `request` as planned under `edition`."""
        if edition is not self._edition:
            self._edition, self._kept, self._seen = edition, {}, set()
        at = codec.last_value_of(request)
        if not at:
            return self._make(edition, request)
        head = request[:at]
        series = self._kept.get(head)
        if series is not None:
            value = request[at:]
            # Other bytes may be no UTF-8, which parsing finds out.
            if series.size == len(request) and value.isascii():
                return series.asked(value)
            return self._make(edition, request)
        asked = self._make(edition, request)
        if head not in self._kept:
            self._look_at(edition, request, head, asked)
        return asked

    def _look_at(self, edition: Edition, request: bytes, head: bytes, asked: Asked) -> None:
        """Find out what requests with this beginning have in common, when it comes again."""
        if head not in self._seen:
            if len(self._seen) >= self.MAX_KEPT:
                self._seen.clear()
            self._seen.add(head)
            return
        if len(self._kept) >= self.MAX_KEPT:
            self._kept.clear()
        is_plain = codec.plain(request) is not None
        size = len(request)
        self._kept[head] = self._series_of(edition, asked, size) if is_plain else None
