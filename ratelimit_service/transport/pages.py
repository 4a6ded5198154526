"""Page tokens: where a list goes on, bound to the question that it answers (AIP-158)."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING

from chassis.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Hashable

_TOKEN = re.compile(r"(\d{1,9}):([0-9a-f]{18})", re.ASCII)


def token_of(start: int, question: Hashable) -> str:
    """Return the token of the page that begins with item `start` of the answer to `question`.

    `question` is whatever makes another list, as plain values with an unambiguous repr.
    """
    return base64.urlsafe_b64encode(f"{start}:{_digest(start, question)}".encode()).decode()


def start_of(token: str, question: Hashable) -> int:
    """Return where the page that `token` asks for begins; InvalidRequest for any other's token."""
    if not token:
        return 0
    try:
        found = _TOKEN.fullmatch(base64.b64decode(token, b"-_", validate=True).decode("ascii"))
    except ValueError:
        found = None
    if found is not None and found[2] == _digest(int(found[1]), question):
        return int(found[1])
    raise InvalidRequest.field(
        "page_token",
        "is not of this list, or the rules were loaded again since; ask for the first page",
        reason="PAGE_TOKEN_INVALID",
    )


def _digest(start: int, question: Hashable) -> str:
    return hashlib.blake2b(
        repr((start, question)).encode("utf-8", "replace"), digest_size=9
    ).hexdigest()
