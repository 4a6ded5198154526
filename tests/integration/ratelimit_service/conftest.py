"""Services with an admin client, on each of the two gRPC servers.

They run in the loop of the test module: mark it `pytest.mark.asyncio(loop_scope="module")`.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.integration.ratelimit_service.admin import SERVERS, serving
from tests.servers import start_valkey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.integration.ratelimit_service.admin import Admin
    from tests.servers import Server


@pytest.fixture(params=SERVERS)
def grpc_server(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def admins(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Admin]]:
    """Give a service on each server, for tests that leave it as it was."""
    async with contextlib.AsyncExitStack() as stack:
        found = {}
        for server in SERVERS:
            store = stack.enter_context(start_valkey())
            folder = tmp_path_factory.mktemp(server)
            found[server] = await stack.enter_async_context(
                serving(folder, store.url, SLUICE_GRPC_SERVER=server)
            )
        yield found


@pytest.fixture
def admin(admins: dict[str, Admin], grpc_server: str) -> Admin:
    admin = admins[grpc_server]
    admin.store.flushdb()
    return admin


@pytest_asyncio.fixture(loop_scope="module")
async def own(tmp_path: Path, valkey: Server, grpc_server: str) -> AsyncIterator[Admin]:
    """Give a service of the test's own."""
    async with serving(tmp_path, valkey.url, SLUICE_GRPC_SERVER=grpc_server) as started:
        yield started
