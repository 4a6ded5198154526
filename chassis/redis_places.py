"""What servers say about where others are: a sentinel's master, a cluster's slots, MOVED and ASK.

Pure readers of replies. What comes over a wire may be anything, so a reply that is not what the
command promises raises ValueError, in words that finish the sentence "it answers ...".
"""

from __future__ import annotations

from typing import Any, Final

from chassis.redis_settings import Address, is_host

SLOTS: Final = 16384
# Redis's own ceiling for a sane cluster; a table that names more is not one.
MAX_NODES: Final = 1000
# What of a strange reply is shown.
_SHOWN_CHARACTERS: Final = 80


def master_address(reply: Any) -> Address:
    """Read the reply to SENTINEL GET-MASTER-ADDR-BY-NAME, of a name that is known."""
    if isinstance(reply, list) and len(reply) == 2:
        address = _address(reply[0], reply[1])
        if address is not None:
            return address
    raise ValueError(f"something that is no address: {_shown(reply)}")


def slot_table(reply: Any, asked: Address) -> list[tuple[int, int, Address]]:
    """Read the reply to CLUSTER SLOTS: first slot, last slot (included), primary; may be empty."""
    table = [_row(row, asked) for row in (reply if isinstance(reply, list) else [reply])]
    if len({address for _, _, address in table}) > MAX_NODES:
        raise ValueError(f"a table of more than {MAX_NODES} nodes")
    return table


def redirection(text: str, asked: Address) -> Address:
    """Read where `MOVED 3999 host:port`, or ASK in its place, sends us."""
    words = text.split(" ")
    if len(words) >= 3:
        host, _, port = words[2].rpartition(":")
        address = _address(host.encode() or asked.host.encode(), port.encode())
        if address is not None:
            return address
    raise ValueError(f"a redirection to nowhere: {_shown(text)}")


def _row(row: Any, asked: Address) -> tuple[int, int, Address]:
    if isinstance(row, list) and len(row) >= 3 and isinstance(row[2], list) and len(row[2]) >= 2:
        first, last, (host, port, *_) = row[:3]
        # An empty or unknown host means: where you reached me.
        address = _address(asked.host.encode() if host in (None, b"", b"?") else host, port)
        ordered = isinstance(first, int) and isinstance(last, int) and 0 <= first <= last < SLOTS
        if ordered and address is not None:
            return first, last, address
    raise ValueError(f"a table of slots with a row that is none: {_shown(row)}")


def _address(host: Any, port: Any) -> Address | None:
    """Make an address of what a reply says, or None when it says none."""
    if not isinstance(host, bytes) or not isinstance(port, int | bytes):
        return None
    name = host.decode("utf-8", "replace")
    number = port if isinstance(port, int) else int(port) if _is_number(port) else 0
    return Address(name, number) if is_host(name) and 0 < number < 65536 else None


def _is_number(written: bytes) -> bool:
    return 0 < len(written) <= 5 and written.isdigit()


def _shown(reply: Any) -> str:
    text = repr(reply)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
