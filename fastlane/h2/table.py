"""The dynamic table of field blocks that we receive (RFC 7541 sections 2.3 and 4).

Two lists and no tuples: a client that sends a new deadline with every call fills the table, and 64
bytes an entry instead of 136 are 6 KiB a connection.
"""

from __future__ import annotations

from typing import Final

from hpack.table import HeaderTable

# Our SETTINGS_HEADER_TABLE_SIZE, the default; the peer may ask for less.
ALLOWED_BYTES: Final = 4_096
# What an entry counts beside its text (section 4.1).
OVERHEAD_BYTES: Final = 32
STATIC: Final = HeaderTable.STATIC_TABLE
STATIC_SIZE: Final = len(STATIC)


class DynamicTable:
    """The entries of one connection, the newest last, and how often they changed."""

    __slots__ = ("_size", "changes", "limit", "names", "values")

    def __init__(self) -> None:
        self.changes = 0
        """Insertions and size updates so far: what a decoded block means may differ after one."""
        self.limit = ALLOWED_BYTES
        self.names: list[bytes] = []
        self.values: list[bytes] = []
        self._size = 0

    def add(self, name: bytes, value: bytes) -> None:
        """Insert an entry and evict the oldest; one that is over the limit by itself goes too."""
        self.changes += 1
        self._size += len(name) + len(value) + OVERHEAD_BYTES
        self.names.append(name)
        self.values.append(value)
        if self._size > self.limit:
            self._evict()

    def resize(self, limit: int) -> bool:
        """Take over a size update; returns whether the size was offered."""
        if limit > ALLOWED_BYTES:
            return False
        self.changes += 1
        self.limit = limit
        self._evict()
        return True

    def _evict(self) -> None:
        names, values = self.names, self.values
        size = self._size
        count = 0
        while size > self.limit:
            size -= len(names[count]) + len(values[count]) + OVERHEAD_BYTES
            count += 1
        self._size = size
        del names[:count]
        del values[:count]
