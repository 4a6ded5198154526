"""Accepting: on sockets of the kernel's, and a loop that the test turns."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

import pytest

from fastlane import listener as module
from fastlane.door import Door
from fastlane.listener import Listener, is_gone

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

HELLO: Final = b"hello"
FULL: Final = b"full"


class Task:
    """A task that is done."""

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Ignore it."""


class Loop:
    """A loop that is turned by hand."""

    def __init__(self) -> None:
        self.readers: dict[int, Callable[[], None]] = {}
        self.soon: list[Callable[[], None]] = []
        self.later: list[tuple[float, Callable[[], None]]] = []
        self.kept: list[socket.socket] = []

    def add_reader(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Keep it."""
        self.readers[descriptor] = callback

    def remove_reader(self, descriptor: int) -> None:
        """Forget it."""
        self.readers.pop(descriptor, None)

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Keep it for the next turn."""
        self.soon.append(callback)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Any:
        """Keep it."""
        self.later.append((seconds, callback))
        return contextlib.nullcontext()

    def create_task(self, coroutine: Coroutine[Any, Any, None]) -> Task:
        """Run what does not wait."""
        with contextlib.suppress(StopIteration):
            coroutine.send(None)
        return Task()

    async def connect_accepted_socket(
        self, _make: object, connection: socket.socket, **_options: object
    ) -> None:
        """Keep what a connection is made of."""
        self.kept.append(connection)

    @property
    def made(self) -> int:
        """How many connections were made."""
        return len(self.kept)

    def close(self) -> None:
        """Close what was made."""
        for one in self.kept:
            one.close()

    def turn(self) -> None:
        """Run one turn, in which every listening socket has something to accept."""
        due, self.soon = self.soon, []
        for callback in [*due, *self.readers.values()]:
            callback()


class Rig:
    """A listener on a port of its own, and its peers."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.loop = Loop()
        self.door = Door(10)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.setblocking(False)
        stack.callback(self.socket.close)
        stack.callback(self.loop.close)
        self._stack = stack

    def listen(self, **options: Any) -> Listener:
        """Listen."""
        loop: Any = self.loop
        made = Listener(loop, self.socket, lambda: pytest.fail("not yet"), self.door, **options)
        made.start()
        self._stack.callback(made.close)
        return made

    def connect(self) -> socket.socket:
        """Return a peer that has connected."""
        peer = socket.create_connection(self.socket.getsockname(), timeout=5)
        self._stack.callback(peer.close)
        return peer


@pytest.fixture
def rig() -> Iterator[Rig]:
    with contextlib.ExitStack() as stack:
        yield Rig(stack)


def test_a_peer_is_told_the_first_words_before_anything_is_made_of_it(rig: Rig) -> None:
    rig.listen(first_words=HELLO)
    peer = rig.connect()
    rig.loop.turn()
    assert peer.recv(100) == HELLO
    assert (rig.loop.made, rig.door.inside) == (1, 1)


def test_nothing_is_made_of_a_peer_that_has_left(rig: Rig) -> None:
    rig.listen(first_words=HELLO)
    rig.connect().close()
    rig.loop.turn()
    assert (rig.loop.made, rig.door.inside) == (0, 0)


def test_nor_of_one_whose_end_is_hidden_behind_what_it_sent(rig: Rig) -> None:
    rig.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    rig.listen(first_words=HELLO)
    peer = rig.connect()
    peer.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while peer.send(bytes(65_536)):
            pass
    peer.close()
    rig.loop.turn()
    assert (rig.loop.made, rig.door.inside) == (0, 0)


def test_a_crowd_is_made_something_of_some_a_turn(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MADE_A_TURN", 3)
    monkeypatch.setattr(module, "_TURN_SECONDS", 5.0)
    rig.listen()
    for _ in range(8):
        rig.connect()
    story = []
    for _ in range(4):
        rig.loop.turn()
        story.append(rig.loop.made)
    assert story == [3, 6, 8, 8]
    assert rig.door.inside == 8, "all were accepted at once"
    assert not rig.loop.soon


def test_one_too_many_is_told_why_and_closed(rig: Rig) -> None:
    rig.door = Door(1)
    rig.listen(first_words=HELLO, last_words=FULL)
    rig.connect()
    second = rig.connect()
    rig.loop.turn()
    assert second.recv(100) == FULL
    assert second.recv(100) == b""
    assert (rig.loop.made, rig.door.turned_away) == (1, 1)


def test_over_tls_nothing_is_said_in_the_clear(rig: Rig) -> None:
    rig.door = Door(1)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    rig.listen(first_words=HELLO, last_words=FULL, tls=tls, handshake_seconds=1.0)
    first, second = rig.connect(), rig.connect()
    rig.loop.turn()
    assert second.recv(100) == b""
    first.setblocking(False)
    with pytest.raises(BlockingIOError):
        first.recv(100)


class Exhausted:
    """A listening socket of a process that has no descriptors left."""

    family = socket.AF_INET

    def __init__(self, inner: socket.socket) -> None:
        self.inner = inner
        self.is_full = True
        self.tries = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def accept(self) -> Any:
        """Fail, or accept."""
        self.tries += 1
        if self.is_full:
            raise OSError(errno.EMFILE, "Too many open files")
        return self.inner.accept()


def test_without_descriptors_it_rests_a_moment_and_says_so_once(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "fastlane")
    full = Exhausted(rig.socket)
    rig.socket = full  # type: ignore[assignment]
    rig.listen()
    rig.connect()
    for tries in (1, 2, 3):
        rig.loop.turn()
        assert full.tries == tries
        assert rig.loop.readers == {}, "nobody wakes it meanwhile"
        seconds, go_on = rig.loop.later.pop()
        assert 0.01 <= seconds <= 1.0
        go_on()
    assert [one.message for one in caplog.records] == [
        "cannot accept connections: Too many open files"
    ]
    full.is_full = False
    rig.loop.turn()
    assert rig.loop.made == 1


def test_who_waits_is_closed_with_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MADE_A_TURN", 0)
    made = rig.listen()
    peer = rig.connect()
    rig.loop.turn()
    assert rig.door.inside == 1
    made.close()
    assert rig.door.inside == 0
    assert peer.recv(100) == b""
    assert rig.loop.readers == {}


def test_whether_a_peer_has_gone() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        assert not is_gone(ours.fileno())
        theirs.send(b"still here")
        assert not is_gone(ours.fileno())
        theirs.close()
        assert is_gone(ours.fileno())
    assert is_gone(ours.fileno()), "a socket that is closed"
