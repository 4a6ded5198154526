"""Every spelling of where Redis is."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from chassis.redis_settings import (
    Address,
    Credentials,
    RedisSettings,
    RedisTarget,
    RedisType,
    SocketType,
    parse_target,
    tls_context,
)
from chassis.settings import SettingsError, group, load, masked

if TYPE_CHECKING:
    from pathlib import Path


def target(*addresses: Address, who: tuple[str, str] = ("", ""), **rest: object) -> RedisTarget:
    return RedisTarget(addresses=addresses, credentials=Credentials(*who), **rest)  # type: ignore[arg-type]


HERE = Address("127.0.0.1", 6380)
HOST = Address("host", 7000)
SOCKET = Address(socket="/run/redis.sock")

MATRIX = [
    ({}, target(HERE)),
    ({"REDIS_URL": "redis://host:7000"}, target(HOST)),
    ({"REDIS_URL": "redis://host"}, target(Address("host", 6379))),
    ({"REDIS_URL": " redis://host:7000/3 "}, target(HOST, database=3)),
    ({"REDIS_URL": "redis://host:7000?db=4"}, target(HOST, database=4)),
    ({"REDIS_URL": "redis://:pw@host:7000"}, target(HOST, who=("", "pw"))),
    ({"REDIS_URL": "redis://ann:p%40w@host:7000"}, target(HOST, who=("ann", "p@w"))),
    ({"REDIS_URL": "rediss://host:7000"}, target(HOST, tls=True)),
    ({"REDIS_URL": "redis://[::1]:7000"}, target(Address("::1", 7000))),
    ({"REDIS_URL": "unix:///run/redis.sock?db=2"}, target(SOCKET, database=2)),
    ({"REDIS_URL": "unix://ann:pw@/run/redis.sock"}, target(SOCKET, who=("ann", "pw"))),
    # As the reference spells it.
    ({"REDIS_URL": "host:7000"}, target(HOST)),
    ({"REDIS_URL": "host:7000", "REDIS_SOCKET_TYPE": "tcp"}, target(HOST)),
    ({"REDIS_URL": "/run/redis.sock"}, target(SOCKET)),
    ({"REDIS_URL": "/run/redis.sock", "REDIS_SOCKET_TYPE": "unix"}, target(SOCKET)),
    ({"REDIS_URL": "host:7000", "REDIS_TYPE": "single", "REDIS_TLS": "t"}, target(HOST, tls=True)),
    ({"REDIS_URL": "host:7000", "REDIS_AUTH": "pw"}, target(HOST, who=("", "pw"))),
    ({"REDIS_URL": "host:7000", "REDIS_AUTH": "ann:p:w"}, target(HOST, who=("ann", "p:w"))),
    ({"REDIS_URL": "host:7000", "REDIS_AUTH": ":p:w"}, target(HOST, who=("", "p:w"))),
    ({"REDIS_URL": "redis://a:b@host:7000", "REDIS_AUTH": "c:d"}, target(HOST, who=("c", "d"))),
    (
        {"REDIS_TYPE": "Sentinel", "REDIS_URL": "mymaster, s1:1 ,s2"},
        target(Address("s1", 1), Address("s2", 26379), master="mymaster"),
    ),
    (
        {"REDIS_TYPE": "CLUSTER", "REDIS_URL": "host:7000,other"},
        target(HOST, Address("other", 6379)),
    ),
    (
        {"REDIS_TYPE": "CLUSTER", "REDIS_URL": "rediss://ann:pw@host:7000,other:1"},
        target(HOST, Address("other", 1), who=("ann", "pw"), tls=True),
    ),
]


@pytest.mark.parametrize(("environ", "meant"), MATRIX)
def test_what_a_url_means(environ: dict[str, str], meant: RedisTarget) -> None:
    assert parse_target(load(RedisSettings, environ)) == meant


REFUSED = [
    ({"REDIS_URL": "http://host"}, "REDIS_URL=http://host: begins with http://; write redis://"),
    ({"REDIS_URL": "redis://host:7000/x"}, "names the database 'x'"),
    ({"REDIS_URL": "redis://host:7000?timeout=1"}, "carries 'timeout', which is not known here"),
    ({"REDIS_URL": "redis://host:70000"}, "has port 70000; write a port from 1 to 65535"),
    ({"REDIS_URL": "redis://host:0"}, "has port 0"),
    ({"REDIS_URL": "redis://"}, "has '' where host:port belongs"),
    ({"REDIS_URL": "host:port"}, "has 'host:port' where host:port belongs; write host:6379"),
    ({"REDIS_URL": "redis://a..b:6379"}, "has 'a..b' where a host belongs; write 1 to 63"),
    ({"REDIS_URL": f"{'a' * 64}.example:6379"}, "where a host belongs; write 1 to 63 characters"),
    ({"REDIS_TYPE": "SENTINEL", "REDIS_URL": "main,.s1"}, "has '.s1' where a host belongs"),
    ({"REDIS_URL": "unix:///run/a%00b"}, "holds a NUL character"),
    ({"REDIS_URL": "a:1,b:2"}, "names several servers; set REDIS_TYPE=CLUSTER"),
    ({"REDIS_URL": "unix://relative"}, "names no socket"),
    ({"REDIS_URL": "/run/x", "REDIS_TLS": "true"}, "is a Unix socket, which has no TLS"),
    ({"REDIS_TYPE": "SENTINEL", "REDIS_URL": "s1:26379"}, "is not a sentinel list"),
    ({"REDIS_TYPE": "SENTINEL"}, "is not a sentinel list"),
    ({"REDIS_TYPE": "CLUSTER", "REDIS_URL": "redis://h:1/1"}, "a cluster has only number 0"),
    ({"REDIS_TYPE": "CLUSTER", "REDIS_URL": "/run/x"}, "a cluster needs host:port"),
    ({"REDIS_TYPE": "RING"}, "write SINGLE or SENTINEL or CLUSTER"),
    ({"REDIS_TLS_CLIENT_CERT": "/etc/hosts"}, "set REDIS_TLS_CLIENT_KEY as well"),
    ({"REDIS_TLS_CACERT": "/no/such.pem"}, "REDIS_TLS_CACERT=/no/such.pem: is not a file"),
    ({"REDIS_TLS_CACERT": "/etc/hosts"}, "is unusable"),
    ({"REDIS_COMMAND_TIMEOUT": "0s"}, "write a duration from 1ms to 1m"),
]


@pytest.mark.parametrize(("environ", "why"), REFUSED)
def test_what_is_refused_and_why(environ: dict[str, str], why: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(RedisSettings, environ)
    assert why in str(raised.value)


@pytest.mark.parametrize("url", ["http://ann:hunter22@host", "ann:hunter22@host", "x,a:hunter22@b"])
def test_a_refused_url_does_not_show_its_password(url: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(RedisSettings, {"REDIS_URL": url})
    assert "hunter22" not in str(raised.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class TwoStores:
    redis: RedisSettings = group(RedisSettings)
    per_second: RedisSettings | None = group(
        RedisSettings,
        prefix=("REDIS_", "REDIS_PERSECOND_"),
        switch="REDIS_PERSECOND",
        doc="whether limits per second have a Redis of their own",
        required=("url",),
    )


def test_a_second_redis_has_its_own_url_and_the_same_certificates(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    settings = TwoStores(
        redis=RedisSettings(tls_cacert=ca),
        per_second=RedisSettings(tls_cacert=ca, url="host:7000"),
    )
    shown = masked(settings)
    assert shown["REDIS_URL"] == "redis://127.0.0.1:6380"
    assert shown["REDIS_PERSECOND_URL"] == "host:7000"
    assert shown["REDIS_TLS_CACERT"] == str(ca)
    assert "REDIS_PERSECOND_TLS_CACERT" not in shown


def test_a_second_redis_is_read_from_the_variables_of_the_reference() -> None:
    environ = {
        "REDIS_PERSECOND": "true",
        "REDIS_PERSECOND_TYPE": "sentinel",
        "REDIS_PERSECOND_URL": "mymaster,s-1:26379",
        "REDIS_PERSECOND_AUTH": "user:pw",
        "REDIS_PERSECOND_SENTINEL_AUTH": "guard",
        "REDIS_PERSECOND_SOCKET_TYPE": "tcp",
        "REDIS_PERSECOND_TLS": "true",
        "REDIS_PERSECOND_POOL_SIZE": "7",
        "REDIS_PERSECOND_TIMEOUT": "3s",
    }
    second = load(TwoStores, environ).per_second
    assert second == RedisSettings(
        url="mymaster,s-1:26379",
        type=RedisType.SENTINEL,
        auth="user:pw",
        sentinel_auth="guard",
        socket_type=SocketType.TCP,
        tls=True,
        pool_size=7,
        connect_timeout_seconds=3.0,
    )


def test_what_is_wrong_with_a_second_redis_is_told_in_its_own_names() -> None:
    with pytest.raises(SettingsError) as raised:
        load(TwoStores, {"REDIS_PERSECOND": "1", "REDIS_PERSECOND_URL": "a:1,b:2"})
    assert str(raised.value) == (
        "REDIS_PERSECOND_URL=a:1,b:2: names several servers; "
        "set REDIS_PERSECOND_TYPE=CLUSTER, or write one host:port"
    )


def test_tls_checks_the_name_unless_told_otherwise_and_the_signature_always() -> None:
    strict = tls_context(RedisSettings())
    lax = tls_context(RedisSettings(tls_skip_hostname_verification=True))
    assert (strict.check_hostname, lax.check_hostname) == (True, False)
    assert strict.verify_mode == lax.verify_mode == ssl.CERT_REQUIRED
