"""Fixtures of every test: a real Valkey, empty at the start and without leaked keys at the end.

A key without a TTL is memory that nobody gives back, so each test that uses `valkey` also checks
that every key it left expires.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis

from tests.servers import Server, start_valkey

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def _session_valkey() -> Iterator[Server]:
    with start_valkey() as server:
        yield server


@pytest.fixture
def valkey(_session_valkey: Server) -> Iterator[Server]:
    """Give a real Valkey of the embedded kind, empty: `.url`, `.port`, `.pid`.

    It is shared by the session: a test that kills or hangs a server starts its own
    (`tests.servers.start_valkey`).
    """
    client = redis.Redis(port=_session_valkey.port)
    client.flushall()
    client.script_flush()
    yield _session_valkey
    eternal = [key for key in client.scan_iter(count=1000) if client.ttl(key) == -1]
    client.close()
    assert not eternal, f"keys without a TTL were left behind: {eternal[:10]}"
