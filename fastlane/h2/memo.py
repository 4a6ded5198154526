"""The memo of field blocks.

A proxy sends the same block for every call of a connection. Decoding and checking eight fields
costs 10 us; finding the block in a dict costs 0.1 us. The law of the memo:

* a block is remembered only if decoding it changed nothing in the dynamic table,
* any insertion or size update forgets every block, as indices then point elsewhere,
* blocks remembered are bounded in number and in size, by two generations: what was not asked for
  while the young one filled up is forgotten. (To delete the oldest entry of one dict takes longer
  the more were deleted before it.)

So a hit means: the same bytes, decoded against the same table, which is the same field list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import hpack

from fastlane.h2.decoding import DecodingError, Field, TooLargeError, decode
from fastlane.h2.errors import ConnectionFault, ErrorCode, StreamFault
from fastlane.h2.heads import Fields, RequestHead, read_request, read_trailers
from fastlane.h2.table import DynamicTable

if TYPE_CHECKING:
    from fastlane.h2.limits import Limits


class HeaderDecoder:
    """Decodes the field blocks of one connection, in the order they arrive."""

    __slots__ = ("_generation", "_limits", "_old", "_table", "remembered")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._table = DynamicTable()
        self._generation = max(1, limits.memo_blocks // 2)
        self._old: dict[bytes, RequestHead] = {}
        self.remembered: dict[bytes, RequestHead] = {}
        """The young generation, always the same dict. Public for the frame loop, which looks here
        before it calls `request`: 0.1 us a call."""

    def request(self, block: bytes) -> RequestHead:
        """Return the head in `block`; StreamFault if malformed, ConnectionFault if not HPACK."""
        known = self.remembered.get(block)
        if known is not None:
            return known
        known = self._old.get(block)
        if known is not None:
            self._remember(block, known)
            return known
        changes = self._table.changes
        head = read_request(self._decode(block))
        if self._table.changes == changes and len(block) <= self._limits.memo_block_bytes:
            self._remember(block, head)
        return head

    def _remember(self, block: bytes, head: RequestHead) -> None:
        if len(self.remembered) >= self._generation:
            self._old = self.remembered.copy()
            self.remembered.clear()
        self.remembered[block] = head

    def trailers(self, block: bytes) -> Fields:
        """Return the trailers in `block`; faults as `request`."""
        return read_trailers(self._decode(block))

    def skip(self, block: bytes) -> None:
        """Decode for the table's sake alone: the block of a stream that is refused or gone."""
        if block in self.remembered or block in self._old:
            return
        try:
            self._decode(block)
        except StreamFault:
            return  # too long a list, of a stream that is gone anyway

    def _decode(self, block: bytes) -> list[Field]:
        limits = self._limits
        changes = self._table.changes
        try:
            fields, size = decode(block, self._table, limits.decoded_bytes)
        except TooLargeError as error:
            reason = f"a field list over {limits.decoded_bytes} bytes"
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, reason) from error
        except (DecodingError, hpack.HPACKError) as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, "undecodable field block") from error
        finally:
            if self._table.changes != changes:
                self.remembered.clear()
                self._old.clear()
        if size > limits.header_list_bytes:
            reason = f"a field list over {limits.header_list_bytes} bytes"
            raise StreamFault(ErrorCode.ENHANCE_YOUR_CALM, reason)
        return fields
