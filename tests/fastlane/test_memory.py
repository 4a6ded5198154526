"""What a connection costs in memory: one that is idle, and one that has made a thousand calls.

Measured as the growth of a server's process, over so many connections that its own noise is small.
And no call leaves what only the cycle collector finds: with a collector that runs seldom, as servers
set it, that would be memory too.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest

import fastlane
from fastlane.h2 import frames
from fastlane.h2.frames import FrameType
from tests.fastlane.attacker import UNARY, Attacker
from tests.fastlane.calls import add, echo
from tests.fastlane.client import REQUEST, Client
from tests.fastlane.processes import interop_server, server_on
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psutil

KIB: Final = 1_024
IDLE: Final = 9 * KIB
BUSY: Final = 16 * KIB
CONNECTIONS: Final = 100
CALLS: Final = 1_000
IN_FLIGHT: Final = 20


@pytest.fixture
def port() -> Iterator[int]:
    """Run a server with some connections that stay: what the first need is no connection's own."""
    with interop_server() as number, crowd(number, 30) as early:
        make_calls(early, traffic(new_deadlines=True))
        yield number


@pytest.fixture
def process(port: int) -> psutil.Process:
    """Return the server's process."""
    return server_on(port)


@contextlib.contextmanager
def crowd(port: int, size: int) -> Iterator[list[Attacker]]:
    """Open so many connections, and have the server answer on each."""
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Attacker(port, patience=10.0)) for _ in range(size)]
        for peer in peers:
            peer.send(frames.ping(bytes(8), ack=False))
        for peer in peers:
            assert any(one.kind == FrameType.PING for one in peer.read(until=FrameType.PING))
        yield peers


def traffic(*, new_deadlines: bool) -> list[bytes]:
    """Return the calls that a client makes, some at a time: the same bytes for each client.

    With new deadlines it does as grpc-go and grpcio do: every call puts one into the HPACK table,
    until that is full.
    """
    client = Client()
    found = []
    for first in range(1, 2 * CALLS, 2 * IN_FLIGHT):
        parts: list[bytes] = []
        for stream_id in range(first, first + 2 * IN_FLIGHT, 2):
            timeout = (b"grpc-timeout", b"%du" % (9_000_000 + stream_id))
            fields = (*UNARY, timeout) if new_deadlines else UNARY
            parts += client.headers(stream_id, fields), client.data(stream_id, bytes(5), end=True)
        found.append(b"".join(parts))
    return found


def make_calls(peers: Sequence[Attacker], calls: Sequence[bytes]) -> None:
    """Make these calls on each connection."""
    for peer in peers:
        for some in calls:
            peer.send(some)
            left = IN_FLIGHT
            while left and not peer.closed:
                seen = peer.read(until=FrameType.HEADERS)
                assert seen, "an answer is missing"
                left -= sum(one.kind == 1 and one.flags & frames.END_STREAM for one in seen)


@pytest.mark.parametrize("new_deadlines", [False, True], ids=["alike", "with new deadlines"])
def test_a_connection_is_small_idle_and_after_a_thousand_calls(
    port: int, process: psutil.Process, new_deadlines: bool
) -> None:
    calls = traffic(new_deadlines=new_deadlines)
    before = process.memory_info().rss
    with crowd(port, CONNECTIONS) as peers:
        idle = (process.memory_info().rss - before) / CONNECTIONS
        make_calls(peers, calls)
        busy = (process.memory_info().rss - before) / CONNECTIONS
    print(f"idle {idle / KIB:.1f} KiB, busy {busy / KIB:.1f} KiB")
    assert idle <= IDLE
    assert busy <= BUSY


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Keep the cycle collector from running."""
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


@pytest.mark.usefixtures("no_collector")
async def test_a_call_leaves_nothing_to_the_cycle_collector() -> None:
    server = fastlane.server()
    handler: Any = grpc.unary_unary_rpc_method_handler(echo)
    add(server, handler)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(frames.PREFACE + frames.settings({}) + frames.SETTINGS_ACK)
    client = Client()
    for stream_id in range(1, 41, 2):
        timeout = (b"grpc-timeout", b"%dm" % (9_000 + stream_id))
        writer.write(client.headers(stream_id, (*REQUEST, timeout)))
        writer.write(client.data(stream_id, bytes(5), end=True))
        writer.write(frames.ping(b"%08d" % stream_id, ack=False))
        await asyncio.wait_for(reader.readuntil(b"%08d" % stream_id), 10)
        if stream_id == 1:
            gc.collect()  # what the start has left
    engine = server._engine
    await wait_until(lambda: engine is not None and not engine.calls, description="all answered")
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    left = [one for one in gc.garbage if type(one).__module__.startswith("fastlane")]
    assert left == []
    writer.close()
    await server.stop(None)
