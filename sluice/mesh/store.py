"""A Redis of the user's own: where it is, and whether it answers before parts are started on it.

It is understood as the services will understand it, with the other REDIS_ variables, and passed on
to them as it was given. Asked here is only what an operator gets wrong most: the address and the
password.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from chassis.masking import mask_value
from chassis.redis_settings import RedisSettings, RedisType, parse_auth, parse_target
from chassis.settings import load
from sluice.outcome import CannotReach

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chassis.redis_settings import Address, Credentials

# A Redis in another data centre answers within this; who waits longer for each call does not want
# it behind a rate limit.
ANSWER_SECONDS: Final = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """The Redis of a mesh. `embedded` is the part of this mesh; otherwise it is the user's own."""

    url: str
    embedded: bool

    @property
    def shown(self) -> str:
        """The URL for a person to read, without its password."""
        return mask_value(self.url)


def own_store(url: str, environ: Mapping[str, str]) -> Store:
    """Take the user's URL, and raise CannotReach in a sentence when nothing answers there.

    Of several addresses (Sentinel, Cluster) one that answers is enough. Raises SettingsError when
    the URL is none, or does not go with the REDIS_ variables in `environ`.
    """
    settings = load(RedisSettings, {**environ, "REDIS_URL": url})
    target = parse_target(settings)
    who = target.credentials
    if settings.type is RedisType.SENTINEL:
        who = parse_auth(settings.sentinel_auth)
    store = Store(url=url, embedded=False)
    reasons: list[str] = []
    for address in target.addresses:
        reason = _why_not(address, who, tls=target.tls)
        if reason is None:
            return store
        reasons.append(reason)
    raise CannotReach(
        f"the Redis {store.shown} {reasons[0]}: start it, or give its address with --redis URL"
    )


def _why_not(address: Address, who: Credentials, *, tls: bool) -> str | None:
    """Ask the Redis at one address; None when it answers and takes our credentials."""
    try:
        with _connect(address) as connection:
            # With TLS the services shake hands, with the certificates they are told to use.
            return None if tls else _greet(connection, who)
    except TimeoutError:
        return f"does not answer within {ANSWER_SECONDS:g} s"
    except OSError as error:
        return f"cannot be reached ({error.strerror or error})"


def _connect(address: Address) -> socket.socket:
    if not address.socket:
        return socket.create_connection((address.host, address.port), timeout=ANSWER_SECONDS)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(ANSWER_SECONDS)
    connection.connect(address.socket)
    return connection


def _greet(connection: socket.socket, who: Credentials) -> str | None:
    """Say the password if there is one, then PING. Any answer but a refusal will do.

    A server that is loading or a replica answers an error to PING and is still the right server;
    the services wait for it.
    """
    answers = connection.makefile("rb")
    if who.password:
        words = (who.username, who.password) if who.username else (who.password,)
        connection.sendall(_command("AUTH", *words))
        answer = answers.readline(1024).decode("latin-1").strip()
        if not answer.startswith("+"):
            return f"refuses the user and password ({answer.lstrip('-')})"
    connection.sendall(_command("PING"))
    answer = answers.readline(1024).decode("latin-1").strip()
    if answer.startswith("-NOAUTH"):
        return f"asks for a password ({answer.lstrip('-')})"
    if not answer.startswith(("+", "-")):
        return "does not speak the Redis protocol"
    return None


def _command(*words: str) -> bytes:
    # surrogateescape: what an environment variable holds goes out byte for byte.
    encoded = [word.encode("utf-8", "surrogateescape") for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in encoded)
