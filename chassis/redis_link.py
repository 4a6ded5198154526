"""One connection to one Redis server: requests go out as they come, replies come back in order.

redis-py's asyncio client costs about 100 us of CPU a command, its bare Connection 70; this protocol
on hiredis costs 30, most of it the loop's own read and write (one command at a time, uvloop, MGET
of two keys on loopback). It pipelines by nature, so a few connections carry everything, and a
caller that gives up leaves the connection whole: its reply is read and dropped when it comes.
It never sends a command twice.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import hiredis

from chassis.errors import Exhausted, Unavailable
from chassis.redis_replies import Outcome, lost, translate

if TYPE_CHECKING:
    from collections.abc import Callable

    from chassis.redis_settings import Address, Credentials

# What a hung server may make us remember, per connection: the callers' waiting is bounded by
# their timeouts, these bound what is left behind. 16 MiB holds the largest cached body we write.
MAX_PENDING = 8192
MAX_UNSENT_BYTES = 16 * 1024 * 1024

Word = str | bytes | int | float

_NO_TLS = "if it does not speak TLS, leave REDIS_TLS out or write redis://"
# X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL's x509_vfy.h.
_OTHER_NAMES = (62, 64)

# hiredis's own types take this for a tuple of exactly one word.
pack: Callable[[tuple[Word, ...]], bytes] = cast("Any", hiredis.pack_command)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """How to enter a server: who we are, which database, which TLS, and what role it must have."""

    credentials: Credentials
    database: int = 0
    tls: ssl.SSLContext | None = None
    name: str = ""
    must_be_master: bool = False
    timeout_seconds: float


class Waiter(Protocol):
    """Who sent a command; exactly one of the two is called, in a later turn of the loop."""

    def replied(self, reply: Any) -> None:
        """Take the reply; an error reply is one too, of type hiredis.ReplyError. Must not raise."""

    def lost(self, error: Unavailable) -> None:
        """Hear that the link died before it; whether the command ran is unknown."""


class Link(asyncio.Protocol):
    """An open connection. Make one with `open_link`."""

    def __init__(self, address: Address, on_lost: Callable[[Link], None]) -> None:
        self.address = address
        self.open = False
        self._on_lost = on_lost
        self._pending: deque[Waiter] = deque()
        self._reader = hiredis.Reader()
        self._paused = False
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport

    def send(self, packed: bytes, waiter: Waiter, *, preamble: bytes = b"") -> None:
        """Send one packed command and return; the waiter hears of it later.

        `preamble` is a command in front of it, in the same write, whose reply nobody wants.
        Unavailable when the link is closed, Exhausted when the server has stopped reading and too
        much is waiting for it; then nothing was sent.
        """
        if not self.open:
            raise lost(self.address, Outcome.NOT_EXECUTED, "the connection has just been closed")
        if self._paused or len(self._pending) >= MAX_PENDING:
            raise Exhausted(
                f"Redis at {self.address} does not keep up: {len(self._pending)} commands wait",
                reason="REDIS_QUEUE_FULL",
            )
        if preamble:
            self._pending.append(_NOBODY)
        self._pending.append(waiter)
        self._transport.write(preamble + packed if preamble else packed)

    def request(self, packed: bytes) -> asyncio.Future[Any]:
        """Send one packed command, as `send`, for those who await: the future gets the reply.

        Unavailable if the link dies. Cancelling the future only stops waiting.
        """
        waiter = _Awaited(self._loop.create_future())
        self.send(packed, waiter)
        return waiter.future

    @property
    def pending(self) -> int:
        """How many commands are not answered yet."""
        return len(self._pending)

    def close(self, why: str = "we closed the connection") -> None:
        """Close it from our side; what is unanswered fails, `on_lost` is not called."""
        if self.open:
            self.open = False
            self._transport.abort()
            self._fail_pending(why)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.WriteTransport", transport)
        self._transport.set_write_buffer_limits(high=MAX_UNSENT_BYTES)
        self.open = True

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol. The hot path: one feed, then replies to whom they belong."""
        reader, pending = self._reader, self._pending
        answered: list[tuple[Waiter, Any]] = []
        try:
            reader.feed(data)
            # False cannot be a reply: hiredis makes bools only in RESP3, which is never asked for.
            while (reply := reader.gets()) is not False:
                answered.append((pending.popleft(), reply))
        except (hiredis.ProtocolError, IndexError) as error:
            # Something that does not speak Redis, or speaks unasked, is behind the port.
            self._end(f"it does not speak the Redis protocol ({error})")
            self._transport.abort()
        # All are read before the first is told: it may close the link because of what it hears.
        for waiter, reply in answered:
            waiter.replied(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        cause = f" ({_cause(exc)})" if isinstance(exc, OSError) else ""
        self._end(f"it closed the connection{cause}")

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self._paused = True

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._paused = False

    def _end(self, why: str) -> None:
        if self.open:
            self.open = False
            self._fail_pending(why)
            self._on_lost(self)

    def _fail_pending(self, why: str) -> None:
        # Not at once: whoever closes a link is in the middle of something.
        for waiter in self._pending:
            self._loop.call_soon(waiter.lost, lost(self.address, Outcome.UNKNOWN, why))
        self._pending.clear()


class _Awaited:
    """A waiter that is a future."""

    __slots__ = ("future",)

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self.future = future

    def replied(self, reply: Any) -> None:
        if not self.future.done():
            self.future.set_result(reply)

    def lost(self, error: Unavailable) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class _Nobody:
    """A waiter for a reply that nobody wants."""

    def replied(self, reply: Any) -> None:
        pass

    def lost(self, error: Unavailable) -> None:
        pass


_NOBODY = _Nobody()


async def open_link(address: Address, entry: Entry, on_lost: Callable[[Link], None]) -> Link:
    """Connect, authenticate, select, check the role; Unavailable says what is in the way."""
    try:
        async with asyncio.timeout(entry.timeout_seconds):
            link = await _connect(address, entry, on_lost)
            try:
                await _enter(link, entry)
            except BaseException:
                link.close()
                raise
            return link
    except TimeoutError as error:
        why = f"no answer within {entry.timeout_seconds:g} s while connecting"
        if entry.tls:
            why += f"; {_NO_TLS}"
        raise lost(address, Outcome.NOT_EXECUTED, why) from error
    except (OSError, UnicodeError) as error:
        # UnicodeError: a host or a password with characters that no wire can carry.
        why = f"cannot connect ({_cause(error)}); {_cure(error, tls=entry.tls is not None)}"
        raise lost(address, Outcome.NOT_EXECUTED, why) from error


def _cure(error: OSError | UnicodeError, *, tls: bool) -> str:
    match error:
        case ssl.SSLCertVerificationError() if error.verify_code in _OTHER_NAMES:
            skip = "REDIS_TLS_SKIP_HOSTNAME_VERIFICATION=true"
            cure = f"write the name its certificate is for in REDIS_URL, or set {skip}"
        case ssl.SSLCertVerificationError():
            cure = "name the PEM file of who signs its certificate with REDIS_TLS_CACERT"
        case ssl.SSLError() | ConnectionResetError() if tls:
            cure = _NO_TLS
        case UnicodeError():
            cure = "correct REDIS_URL or REDIS_AUTH"
        case socket.gaierror():
            cure = "correct the host in REDIS_URL"
        case PermissionError():
            cure = "let this user open it"
        case _:
            cure = "start it, or set REDIS_URL"
    return cure


def _cause(error: OSError | UnicodeError) -> str:
    # asyncio puts words of its own around the system's; TLS and name errors have numbers of theirs.
    if isinstance(error, UnicodeError | ssl.SSLError | socket.gaierror) or not error.errno:
        return str(error)
    return os.strerror(error.errno)


async def _connect(address: Address, entry: Entry, on_lost: Callable[[Link], None]) -> Link:
    loop = asyncio.get_running_loop()
    hostname = address.host if entry.tls else None
    if address.socket:
        _, link = await loop.create_unix_connection(
            lambda: Link(address, on_lost), address.socket, ssl=entry.tls, server_hostname=hostname
        )
    else:
        _, link = await loop.create_connection(
            lambda: Link(address, on_lost),
            address.host,
            address.port,
            ssl=entry.tls,
            server_hostname=hostname,
        )
    return link


async def _enter(link: Link, entry: Entry) -> None:
    steps: list[tuple[str, tuple[str, ...]]] = []
    who = entry.credentials
    if who.username or who.password:
        names = (who.username, who.password) if who.username else (who.password,)
        steps.append(("auth", ("AUTH", *names)))
    if entry.database:
        steps.append(("select", ("SELECT", str(entry.database))))
    if entry.name:
        steps.append(("name", ("CLIENT", "SETNAME", entry.name)))
    if entry.must_be_master:
        steps.append(("role", ("ROLE",)))
    steps.append(("ping", ("PING",)))
    # All in one write: a new connection costs one round trip whatever it asks for.
    waiting = [(step, link.request(pack(words))) for step, words in steps]
    try:
        replies = await asyncio.gather(*(future for _, future in waiting))
    except Unavailable as error:
        guess = (
            "if it wants a certificate of ours, set REDIS_TLS_CLIENT_CERT and REDIS_TLS_CLIENT_KEY"
            if entry.tls
            else "if it speaks TLS, set REDIS_TLS=true"
        )
        raise Unavailable(
            f"{error.message}; {guess}", reason=error.reason, metadata=error.metadata
        ) from error
    for (step, _), reply in zip(waiting, replies, strict=True):
        _judge(step, reply, link.address)


def _judge(step: str, reply: Any, address: Address) -> None:
    if step == "role":
        # An ACL may forbid ROLE; then the first write finds out (READONLY).
        role = reply[0] if isinstance(reply, list) and reply else b"master"
        if role == b"sentinel":
            why = "it is a sentinel; set REDIS_TYPE=SENTINEL and REDIS_URL=master-name,host:port"
            raise lost(address, Outcome.NOT_EXECUTED, why)
        if role != b"master":
            raise translate("READONLY its role is replica", address)
    elif isinstance(reply, hiredis.ReplyError) and step != "name":
        failure = translate(str(reply), address)
        if isinstance(failure, Unavailable):
            raise failure
        why = f"it refuses to let us in ({reply}); check REDIS_AUTH and REDIS_URL"
        raise lost(address, Outcome.NOT_EXECUTED, why) from failure
