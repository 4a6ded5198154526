"""How a connection is closed so that the peer hears the last words.

A reset hides what was written before it: closing with unread input, or at once after writing, makes
the kernel send one. So the writing side is closed first, what still comes is read and dropped for a
moment, and only then the connection is closed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

# Seconds to read on: several round trips round the world.
LINGER: Final = 1.0


def leave(
    transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, patience_seconds: float
) -> None:
    """Close the writing side now and the connection soon.

    A peer that does not take what was written for `patience_seconds` is cut off.
    """
    if transport.can_write_eof():
        try:
            transport.write_eof()
        except OSError:  # the peer was faster
            transport.abort()
            return
    loop.call_later(LINGER, _cut, transport, loop, loop.time() + patience_seconds)


def _cut(transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, deadline: float) -> None:
    """Close for good, once everything is written or the peer has not read it for too long."""
    if transport.is_closing() and not transport.get_write_buffer_size():
        return
    if not transport.get_write_buffer_size():
        transport.close()
    elif loop.time() >= deadline:
        transport.abort()
    else:
        loop.call_later(LINGER, _cut, transport, loop, deadline)
