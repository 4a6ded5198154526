"""The programs that the README prints run as they stand."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from tests.fastlane.processes import ROOT
from tests.servers import free_port
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

README: Final = (ROOT / "fastlane" / "README.md").read_text()
GRPC, ASK, HTTP = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
SECONDS: Final = 20


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def running(program: str, printed: int) -> Iterator[int]:
    """Run a server's program on a free port, which it yields, instead of `printed`."""
    port = free_port()
    assert program.count(str(printed)) == 1
    process = subprocess.Popen(
        [sys.executable, "-c", program.replace(str(printed), str(port))],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield port
    except AssertionError as error:
        process.kill()
        raise AssertionError(process.communicate()[1]) from error
    finally:
        process.kill()
        process.communicate(timeout=SECONDS)


async def test_the_grpc_program_and_its_client() -> None:
    with running(GRPC, 50051) as port:
        await wait_until(lambda: listens(port), timeout=SECONDS, description="it listens")
        client = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", ASK.replace("50051", str(port))),
            stdout=subprocess.PIPE,
        )
        printed, _ = await asyncio.wait_for(client.communicate(), SECONDS)
        assert printed == b"b'hello, world'\n"


async def test_the_http_program() -> None:
    with running(HTTP, 8080) as port:
        await wait_until(lambda: listens(port), timeout=SECONDS, description="it listens")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), SECONDS)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"\r\n\r\nhello\n")


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(fastlane/[a-z0-9/_]+\.py)`", README))))
def test_a_file_that_is_named_is_there(path: str) -> None:
    assert (ROOT / path).is_file()
