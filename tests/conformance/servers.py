"""The servers this suite is run against in the tests: ours, and the reference where it is built."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.demo.mesh_process import free_block
from tests.conformance.run import Target
from tests.conformance.table import Need
from tests.servers import Server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
RULES = Path(__file__).parent / "rules"
_EXTRAS = {"LIMIT_RESPONSE_HEADERS_ENABLED": "true", "RESPONSE_DYNAMIC_METADATA": "true"}


@contextlib.contextmanager
def started_sluice(store: Server, **environ: str) -> Iterator[Target]:
    """Run our service with the suite's rules on a Redis or Valkey."""
    command = [sys.executable, "-m", "ratelimit_service"]
    ours = {"REDIS_URL": store.url, "PYTHONPATH": str(ROOT), **environ}
    with _started(command, ours, store) as target:
        yield target


@contextlib.contextmanager
def started_reference(binary: str, store: Server) -> Iterator[Target]:
    """Run a locally built envoyproxy/ratelimit with the suite's rules on a Redis or Valkey."""
    environ = {
        "REDIS_SOCKET_TYPE": "tcp",
        "REDIS_URL": f"127.0.0.1:{store.port}",
        "RUNTIME_SUBDIRECTORY": "",
        "RUNTIME_WATCH_ROOT": "false",
        "USE_STATSD": "false",
        "DISABLE_STATS": "true",
    }
    with _started([binary], environ, store) as target:
        yield target


@contextlib.contextmanager
def _started(command: Sequence[str], environ: Mapping[str, str], store: Server) -> Iterator[Target]:
    port = free_block()
    with tempfile.TemporaryDirectory(prefix="conformance-") as name:
        folder = Path(name)
        # Copied: the reference walks its folder and follows no link.
        shutil.copytree(RULES, folder / "config")
        settings = {
            "GRPC_HOST": "127.0.0.1", "HOST": "127.0.0.1", "DEBUG_HOST": "127.0.0.1",
            "GRPC_PORT": str(port), "PORT": str(port + 1), "DEBUG_PORT": str(port + 2),
            "RATELIMIT_ADMIN_PORT": str(port + 3),  # ours alone
            "RUNTIME_ROOT": name, "LOG_LEVEL": "error", **_EXTRAS, **environ,
        }  # fmt: skip
        words = [f"{variable}={value}" for variable, value in settings.items()]
        server = Server(["env", *words, *command], port=port, url="", folder=folder)
        try:
            server.start()
            yield Target(address=f"127.0.0.1:{port}", has=frozenset(Need), store_url=store.url)
        finally:
            server.close()


def reference_binary() -> str:
    """Return the path of a built envoyproxy/ratelimit, "" where none is given."""
    return os.environ.get("RLS_REFERENCE", "")
