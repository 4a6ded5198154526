"""Passwords in URLs: found and masked in one way, wherever a URL is shown, logged or complained of.

A password is what stands between the colon behind the user and the last @ of the URL, so that one
with an @ in it goes whole. In a list of URLs by comma each keeps its host. What may be a password
is masked: `http://host:80/a@b` loses its path rather than a typing mistake its secret.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MASK: Final = "******"

_SCHEME = r"\b[a-z][a-z0-9+.-]*://"
_USER = r"[^\s/?#:@]*"
_PASSWORD = rf"(?P<password>(?:(?!,{_SCHEME})\S)+)"
_IN_TEXT = re.compile(rf"(?P<head>{_SCHEME}{_USER}:){_PASSWORD}@", re.IGNORECASE)
_IN_VALUE = re.compile(
    rf"(?P<head>{_SCHEME}{_USER}:|{_USER}:(?!//)){_PASSWORD}@",  # // makes the user a scheme
    re.IGNORECASE,
)


def mask_urls(text: str) -> str:
    """Mask the passwords of the URLs in a text about anything."""
    return _IN_TEXT.sub(rf"\g<head>{MASK}@", text)


def mask_value(value: str) -> str:
    """Mask the passwords in a setting: a URL, or one without its scheme (`user:password@host`)."""
    return _IN_VALUE.sub(rf"\g<head>{MASK}@", value)


def passwords_in(value: str) -> Iterator[str]:
    """Find what `mask_value` masks."""
    for found in _IN_VALUE.finditer(value):
        yield found["password"]
