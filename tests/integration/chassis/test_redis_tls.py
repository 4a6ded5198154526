"""TLS with and without client certificates, and ACL users, on a redis-server that has them."""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING

import pytest

from chassis.redis import RedisDoor, RedisSettings
from chassis.settings import load
from tests.servers import Server, needed_program, start_redis
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a CA, certificates of it for 127.0.0.1, elsewhere and a client, and a stranger CA."""
    folder = tmp_path_factory.mktemp("certificates")
    openssl = needed_program("openssl", "openssl")

    def run(*words: str) -> None:
        subprocess.run([openssl, *words], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for ca in ("ca", "stranger"):
        files = ("-keyout", f"{ca}.key", "-out", f"{ca}.pem")
        run("req", "-x509", *key, *files, "-subj", f"/CN={ca}", "-days", "2")
    for name, san in (
        ("server", "IP:127.0.0.1"),
        ("elsewhere", "DNS:elsewhere.example"),
        ("client", "DNS:client"),
    ):
        (folder / "san").write_text(f"subjectAltName={san}")
        run("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        run(
            *("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", "-days", "2"),
            *("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "san"),
        )
    return folder


@contextlib.contextmanager
def tls_server(certificates: Path, certificate: str, *, clients: str) -> Iterator[Server]:
    acl = certificates / "users.acl"
    acl.write_text("user default off\nuser ann on >p@ss:word ~k* +@all\n")
    with start_redis(
        *("--tls-cert-file", str(certificates / f"{certificate}.pem")),
        *("--tls-key-file", str(certificates / f"{certificate}.key")),
        *("--tls-ca-cert-file", str(certificates / "ca.pem")),
        *("--tls-auth-clients", clients),
        *("--aclfile", str(acl)),
        scheme="rediss",
    ) as server:
        yield server


@contextlib.asynccontextmanager
async def opened(**environ: str) -> AsyncIterator[RedisDoor]:
    door = RedisDoor(load(RedisSettings, environ))
    await door.open()
    try:
        yield door
    finally:
        await door.close()


async def works(door: RedisDoor) -> bool:
    await door.call("SET", "k", "v", "EX", 60)
    return bool(await door.call("GET", "k") == b"v")


async def test_tls_with_a_client_certificate_and_an_acl_user(certificates: Path) -> None:
    with tls_server(certificates, "server", clients="yes") as server:
        common = {
            "REDIS_URL": f"127.0.0.1:{server.port}",
            "REDIS_AUTH": "ann:p@ss:word",
            "REDIS_TLS": "true",
            "REDIS_TLS_CACERT": str(certificates / "ca.pem"),
        }
        async with opened(
            **common,
            REDIS_TLS_CLIENT_CERT=str(certificates / "client.pem"),
            REDIS_TLS_CLIENT_KEY=str(certificates / "client.key"),
        ) as door:
            assert await works(door)
        async with opened(**common) as door:
            await wait_until(lambda: "set REDIS_TLS_CLIENT_CERT" in door.detail)
            assert not door.ready


async def test_a_url_with_rediss_and_a_quoted_password(certificates: Path) -> None:
    with tls_server(certificates, "server", clients="no") as server:
        async with opened(
            REDIS_URL=f"rediss://ann:p%40ss%3Aword@127.0.0.1:{server.port}/0",
            REDIS_TLS_CACERT=str(certificates / "ca.pem"),
        ) as door:
            assert await works(door)


@pytest.mark.parametrize(
    ("certificate", "ca", "skip", "trouble"),
    [
        ("server", "stranger", "false", "who signs its certificate with REDIS_TLS_CACERT"),
        ("server", "stranger", "true", "who signs its certificate with REDIS_TLS_CACERT"),
        ("elsewhere", "ca", "false", "set REDIS_TLS_SKIP_HOSTNAME_VERIFICATION=true"),
        ("elsewhere", "ca", "true", ""),
    ],
)
async def test_whom_it_trusts(
    certificates: Path, certificate: str, ca: str, skip: str, trouble: str
) -> None:
    with tls_server(certificates, certificate, clients="no") as server:
        async with opened(
            REDIS_URL=f"rediss://127.0.0.1:{server.port}",
            REDIS_AUTH="ann:p@ss:word",
            REDIS_TLS_CACERT=str(certificates / f"{ca}.pem"),
            REDIS_TLS_SKIP_HOSTNAME_VERIFICATION=skip,
        ) as door:
            if trouble:
                await wait_until(lambda: trouble in door.detail, description=trouble)
                assert not door.ready
            else:
                assert await works(door)


async def test_plain_against_tls_and_tls_against_plain_are_told(
    certificates: Path, valkey: Server
) -> None:
    with tls_server(certificates, "server", clients="no") as server:
        async with opened(REDIS_URL=f"127.0.0.1:{server.port}") as door:
            await wait_until(lambda: "if it speaks TLS, set REDIS_TLS=true" in door.detail)
    url = f"rediss://127.0.0.1:{valkey.port}"
    async with opened(REDIS_URL=url, REDIS_TIMEOUT="300ms") as door:
        await wait_until(lambda: "leave REDIS_TLS out" in door.detail)
        assert not door.ready
