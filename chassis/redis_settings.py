"""Where Redis is and how to get in: one settings class for every service, two spellings of an URL.

    REDIS_URL=redis://user:password@host:6379/0      rediss://... with TLS      unix:///path?db=0
    REDIS_URL=host:6379                              as the reference spells it
    REDIS_URL=/run/redis.sock                        a Unix socket, as the reference spells it
    REDIS_TYPE=SENTINEL REDIS_URL=mymaster,sentinel-1:26379,sentinel-2:26379
    REDIS_TYPE=CLUSTER  REDIS_URL=node-1:6379,node-2:6379   (or redis://user:password@node-1:6379)

A service takes it as a field, `redis: RedisSettings = group(RedisSettings)`, and a second
connection with `prefix=("REDIS_", "REDIS_PERSECOND_")`; TLS files are those of the first.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from chassis.settings import (
    Parser,
    choice,
    duration_between,
    flag,
    path,
    setting,
    text,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

REDIS_PORT = 6379
SENTINEL_PORT = 26379

_AUTHORITY = re.compile(
    r"(?:\[(?P<six>[0-9a-fA-F:.%]+)\]|(?P<host>[^\s:/\[\]@]+))(?::(?P<port>\d+))?"
)


class RedisType(Enum):
    """How the servers behind the URL are arranged."""

    SINGLE = "SINGLE"
    SENTINEL = "SENTINEL"
    CLUSTER = "CLUSTER"


class SocketType(Enum):
    """The reference's REDIS_SOCKET_TYPE; AUTO tells them apart by the leading slash."""

    AUTO = "auto"
    TCP = "tcp"
    UNIX = "unix"


@dataclass(frozen=True, slots=True)
class Address:
    """One server: `host` and `port`, or a Unix socket `socket` with both empty."""

    host: str = ""
    port: int = 0
    socket: str = ""

    def __str__(self) -> str:
        if self.socket:
            return f"unix://{self.socket}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are to a server; both empty when it asks for nothing."""

    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class RedisTarget:
    """What a REDIS_URL means: the servers (or sentinels, or cluster seeds) and how to enter."""

    addresses: tuple[Address, ...]
    credentials: Credentials = Credentials()
    tls: bool = False
    database: int = 0
    master: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RedisSettings:
    """How to reach Redis or Valkey; the names are the reference's where it has one."""

    url: str = setting(
        "REDIS_URL",
        "redis://127.0.0.1:6380",
        parse=Parser("URL, host:port or socket path", str.strip, may_hold_password=True),
        doc="where Redis is: redis://, rediss://, unix://, host:port, /socket, or a list of them",
    )
    type: RedisType = setting(
        "REDIS_TYPE",
        RedisType.SINGLE,
        parse=choice(RedisType),
        doc="one server, `master,sentinel:26379,...`, or the seeds of a cluster",
    )
    socket_type: SocketType = setting(
        "REDIS_SOCKET_TYPE",
        SocketType.AUTO,
        parse=choice(SocketType),
        doc="how to read a REDIS_URL without a scheme; auto takes a leading / for a Unix socket",
    )
    auth: str = setting(
        "REDIS_AUTH",
        "",
        parse=text,
        doc="`password` or `user:password`; wins over what REDIS_URL carries",
        secret=True,
    )
    sentinel_auth: str = setting(
        "REDIS_SENTINEL_AUTH",
        "",
        parse=text,
        doc="`password` or `user:password` of the sentinels themselves",
        secret=True,
    )
    tls: bool = setting("REDIS_TLS", default=False, parse=flag, doc="speak TLS; rediss:// does too")
    tls_client_cert: Path | None = setting(
        "REDIS_TLS_CLIENT_CERT", None, parse=path, doc="our certificate (PEM)", shared=True
    )
    tls_client_key: Path | None = setting(
        "REDIS_TLS_CLIENT_KEY", None, parse=path, doc="the key of our certificate", shared=True
    )
    tls_cacert: Path | None = setting(
        "REDIS_TLS_CACERT", None, parse=path, doc="who signs Redis's certificate", shared=True
    )
    tls_skip_hostname_verification: bool = setting(
        "REDIS_TLS_SKIP_HOSTNAME_VERIFICATION",
        default=False,
        parse=flag,
        doc="accept a certificate for another host name, if REDIS_TLS_CACERT signed it",
        shared=True,
    )
    connect_timeout_seconds: float = setting(
        "REDIS_TIMEOUT",
        2.0,
        # A minute: beyond it a dead address would hold up recovery longer than anybody waits.
        parse=duration_between(0.01, 60),
        doc="how long connecting, TLS and AUTH may take together",
    )
    command_timeout_seconds: float = setting(
        "REDIS_COMMAND_TIMEOUT",
        1.0,
        parse=duration_between(0.001, 60),
        doc="how long one command may take, unless the caller's deadline is sooner",
    )
    pool_size: int = setting(
        "REDIS_POOL_SIZE",
        2,
        # Commands are pipelined, so two connections carry any load; more only spread long replies.
        parse=whole(1, 64),
        doc="connections to each server",
    )

    def check(self) -> Iterable[tuple[str, str]]:
        """Yield what is wrong with the fields taken together."""
        try:
            parse_target(self)
        except ValueError as error:
            yield "url", str(error)
        if (self.tls_client_cert is None) != (self.tls_client_key is None):
            yield "tls_client_cert", "needs its key; set REDIS_TLS_CLIENT_KEY as well, or neither"
        for name in ("tls_client_cert", "tls_client_key", "tls_cacert"):
            file: Path | None = getattr(self, name)
            if file is not None and not file.is_file():
                yield name, "is not a file; write the path of a PEM file"
                return
        try:
            tls_context(self)
        except OSError as error:
            yield "tls_cacert", f"with its companions is unusable ({error}); write PEM files"


def tls_context(settings: RedisSettings) -> ssl.SSLContext:
    """Build what TLS connections share. OSError (ssl.SSLError is one) on unusable files."""
    context = ssl.create_default_context(cafile=settings.tls_cacert)
    context.check_hostname = not settings.tls_skip_hostname_verification
    if settings.tls_client_cert:
        context.load_cert_chain(settings.tls_client_cert, settings.tls_client_key)
    return context


def parse_target(settings: RedisSettings) -> RedisTarget:
    """Read what the settings say together; ValueError with the second half of a sentence."""
    url = settings.url
    if settings.type is RedisType.SENTINEL:
        target = _sentinel_target(url)
    elif "://" in url:
        target = _url_target(url)
    elif settings.socket_type is SocketType.UNIX or (
        settings.socket_type is SocketType.AUTO and url.startswith("/")
    ):
        target = RedisTarget(addresses=(Address(socket=url),))
    else:
        target = RedisTarget(addresses=_addresses(url, REDIS_PORT))
    _check_type(settings.type, target)
    tls = target.tls or settings.tls
    if tls and any(address.socket for address in target.addresses):
        raise ValueError("is a Unix socket, which has no TLS; leave REDIS_TLS out, or use a port")
    return RedisTarget(
        addresses=target.addresses,
        credentials=parse_auth(settings.auth) if settings.auth else target.credentials,
        tls=tls,
        database=target.database,
        master=target.master,
    )


def parse_auth(auth: str) -> Credentials:
    """Read `password` or `user:password`; `:password` is a password with a colon in it."""
    username, colon, password = auth.partition(":")
    return Credentials(username, password) if colon else Credentials("", auth)


def _check_type(kind: RedisType, target: RedisTarget) -> None:
    if kind is RedisType.SINGLE and len(target.addresses) > 1:
        raise ValueError("names several servers; set REDIS_TYPE=CLUSTER, or write one host:port")
    if kind is RedisType.CLUSTER:
        if any(address.socket for address in target.addresses):
            raise ValueError("is a socket, a cluster needs host:port; write one or more of those")
        if target.database:
            raise ValueError("names a database, a cluster has only number 0; leave it out")


def _sentinel_target(url: str) -> RedisTarget:
    master, comma, sentinels = url.partition(",")
    if not comma or not master.strip() or "://" in url or ":" in master:
        raise ValueError("is not a sentinel list; write master-name,host:26379,host:26379")
    addresses = _addresses(sentinels, SENTINEL_PORT)
    return RedisTarget(addresses=addresses, master=master.strip())


def _url_target(url: str) -> RedisTarget:
    scheme, _, _ = url.partition("://")
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(set(options) - {"db"})
    if unknown or parts.fragment:
        raise ValueError(
            f"carries {(unknown or ['#' + parts.fragment])[0]!r}, which is not known here; "
            "only ?db=NUMBER may follow the address, the rest has REDIS_... settings of its own"
        )
    userinfo, _, authority = parts.netloc.rpartition("@")
    username, _, password = userinfo.partition(":")
    credentials = Credentials(unquote(username), unquote(password))
    if scheme == "unix":
        if not parts.path.startswith("/"):
            raise ValueError("names no socket; write unix:///path/to/redis.sock")
        path_there = unquote(parts.path)
        if "\0" in path_there:
            raise ValueError("holds a NUL character; write unix:///path/to/redis.sock")
        address = Address(socket=path_there)
        database = _database(options.get("db", ""))
        return RedisTarget(addresses=(address,), credentials=credentials, database=database)
    if scheme not in ("redis", "rediss"):
        raise ValueError(f"begins with {scheme}://; write redis://, rediss:// or unix://")
    return RedisTarget(
        addresses=_addresses(authority, REDIS_PORT),
        credentials=credentials,
        tls=scheme == "rediss",
        database=_database(options.get("db", "") or parts.path.removeprefix("/")),
    )


def is_host(name: str) -> bool:
    """Tell whether a resolver can be asked for this name or address."""
    try:
        name.encode("idna")  # as the socket module does
    except UnicodeError:
        return False
    return bool(name) and name.isprintable()


def _database(written: str) -> int:
    if not written:
        return 0
    if not re.fullmatch(r"[0-9]{1,9}", written):
        raise ValueError(f"names the database {written!r}; write a number, as in /0")
    return int(written)


def _addresses(listed: str, default_port: int) -> tuple[Address, ...]:
    return tuple(_address(part.strip(), default_port) for part in listed.split(","))


def _address(written: str, default_port: int) -> Address:
    match = _AUTHORITY.fullmatch(written)
    if match is None:
        raise ValueError(f"has {written!r} where host:port belongs; write host:{default_port}")
    port = int(match["port"] or default_port)
    if not 0 < port < 65536:
        raise ValueError(f"has port {port}; write a port from 1 to 65535")
    host = match["six"] or match["host"]
    if not is_host(host):
        raise ValueError(
            f"has {host!r} where a host belongs; write 1 to 63 characters between the dots"
        )
    return Address(host, port)
