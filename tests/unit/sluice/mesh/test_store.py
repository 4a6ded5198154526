"""The URL of a Redis of the user's own: understood, refused, never shown with its password.

Whether it answers is asked of real servers in tests/integration/sluice/test_up_refusals.py.
"""

from __future__ import annotations

import pytest

from sluice.mesh.store import Store, own_store
from sluice.outcome import WrongUsage


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
        ("redis://ada:secret@db:6379/0", "redis://ada:***@db:6379/0"),
        ("rediss://:p@ss:w@db:6379", "rediss://:***@db:6379"),
        ("redis://a:one@db1,redis://b:two@db2", "redis://a:***@db2"),
    ],
)
def test_no_password_is_ever_shown(url: str, shown: str) -> None:
    assert Store(url=url, embedded=False).shown == shown


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:6379", "redis://", "redis://db:notaport", "redis://db:0", "unix://"]
)
def test_what_is_no_address_of_a_redis_is_refused_with_the_forms_that_are(url: str) -> None:
    with pytest.raises(WrongUsage, match=r"redis://.*rediss://.*unix://"):
        own_store(url)
