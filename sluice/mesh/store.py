"""A Redis of the user's own: where it is, and whether it answers before parts are started on it.

The URL is passed on to the services as it was given; they know TLS, Sentinel and Cluster. Asked
here is only what an operator gets wrong most: the address and the password.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from sluice.outcome import CannotReach, WrongUsage

# A Redis in another data centre answers within this; who waits longer for each call does not want
# it behind a rate limit.
ANSWER_SECONDS: Final = 3.0

_DEFAULT_PORT: Final = 6379

# Greedy up to the last @, so that a password with an @ in it goes too.
_SECRET_PART: Final = re.compile(r"(?P<head>://[^:@/,]*):.*@")

_LOCKED: Final = "asks for a password"
_FORMS: Final = "redis://[user:password@]host:port[/db], rediss://... with TLS, or unix:///path"


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """The Redis of a mesh. `embedded` is the part of this mesh; otherwise it is the user's own."""

    url: str
    embedded: bool

    @property
    def shown(self) -> str:
        """The URL for a person to read, without its password."""
        return _SECRET_PART.sub(r"\g<head>:***@", self.url)


def own_store(url: str, *, password_elsewhere: bool = False) -> Store:
    """Take the user's URL, and raise CannotReach in a sentence when nothing answers there.

    Several addresses by comma (Sentinel, Cluster) are as good as the first of them that answers.
    `password_elsewhere` says that the services have one by another setting (REDIS_AUTH).
    """
    store = Store(url=url, embedded=False)
    reasons: list[str] = []
    for part in url.split(","):
        reason = _why_not(part.strip())
        if reason is None or (password_elsewhere and reason.startswith(_LOCKED)):
            return store
        reasons.append(reason)
    raise CannotReach(
        f"the Redis {store.shown} {reasons[0]}: start it, or give its address with --redis URL"
    )


def _why_not(written: str) -> str | None:
    """Ask the Redis at one address; None when it answers and takes our credentials."""
    parts = _split(written)
    try:
        with _connect(parts) as connection:
            if parts.scheme == "rediss":
                # The services shake hands with the certificates they are told to use.
                return None
            return _greet(connection, parts)
    except TimeoutError:
        return f"does not answer within {ANSWER_SECONDS:g} s"
    except OSError as error:
        return f"cannot be reached ({error.strerror or error})"


def _split(written: str) -> SplitResult:
    # The reference's form, host:port or a socket's path, has no scheme.
    if "://" not in written:
        written = f"unix://{written}" if written.startswith("/") else f"redis://{written}"
    try:
        parts = urlsplit(written)
        port = parts.port
    except ValueError as error:
        raise WrongUsage(f"--redis: not a URL ({error}); write {_FORMS}") from None
    known = parts.scheme in {"redis", "rediss", "unix"}
    if not known or port == 0 or not (parts.path if parts.scheme == "unix" else parts.hostname):
        raise WrongUsage(f"--redis: not the URL of a Redis; write {_FORMS}")
    return parts


def _connect(parts: SplitResult) -> socket.socket:
    if parts.scheme == "unix":
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(ANSWER_SECONDS)
        connection.connect(parts.path)
        return connection
    address = (parts.hostname, parts.port or _DEFAULT_PORT)
    return socket.create_connection(address, timeout=ANSWER_SECONDS)


def _greet(connection: socket.socket, parts: SplitResult) -> str | None:
    """Say the password if there is one, then PING. Any answer but a refusal will do.

    A server that is loading or a replica answers an error to PING and is still the right server;
    the services wait for it.
    """
    words = [unquote(word) for word in (parts.username, parts.password) if word]
    answers = connection.makefile("rb")
    if parts.password:
        connection.sendall(_command("AUTH", *words))
        answer = answers.readline(1024).decode("latin-1").strip()
        if not answer.startswith("+"):
            return f"refuses the user and password ({answer.lstrip('-')})"
    connection.sendall(_command("PING"))
    answer = answers.readline(1024).decode("latin-1").strip()
    if answer.startswith("-NOAUTH"):
        return f"{_LOCKED} ({answer.lstrip('-')})"
    if not answer.startswith(("+", "-")):
        return "does not speak the Redis protocol"
    return None


def _command(*words: str) -> bytes:
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in encoded)
