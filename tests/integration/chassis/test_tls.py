"""TLS of a server as its clients see it, while the files under it change."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest
import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from chassis.build import Build
from chassis.errors import OperatorError
from chassis.health import Health
from chassis.listen import Listen
from chassis.metrics import Metrics
from chassis.server import GrpcBackend, GrpcLimits, make_server
from chassis.settings import SettingsError, load
from chassis.tls import ServerTls
from chassis.tls_settings import TlsSettings
from tests.integration.chassis.certificates import Authority, Pair
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

BACKENDS = pytest.mark.parametrize("backend", GrpcBackend)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server_pair(authority: Authority) -> Pair:
    return authority.issue("server", "DNS:localhost")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Envoy's name, on another authority's word."""
    other = Authority(tmp_path_factory.mktemp("stranger"), "stranger")
    return other.issue("envoy", "DNS:envoy.mesh.example")


@pytest.fixture(scope="module")
def envoy(authority: Authority) -> Pair:
    return authority.issue("envoy", "DNS:envoy.mesh.example")


class Rig:
    """A running TLS server, and how to reach it."""

    def __init__(self, tls: ServerTls, port: int) -> None:
        self.tls = tls
        self.port = port

    def channel(self, authority: Authority, client: Pair | None = None) -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials(
            authority.cert.read_bytes(), *(client.pem if client else ())
        )
        return grpc.aio.secure_channel(f"localhost:{self.port}", credentials)

    async def works(self, authority: Authority, client: Pair | None = None) -> bool:
        """Tell whether a connection of one's own serves a call."""
        async with self.channel(authority, client) as channel:
            try:
                await check(channel)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    return False
                raise
            return True

    async def certificate(self) -> bytes:
        """Return the certificate that a new connection is shown."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        _, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return shown


async def check(channel: grpc.aio.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)


def der(pair: Pair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.cert.read_text())


def settings(pair: Pair, **more: str) -> TlsSettings:
    return load(
        TlsSettings,
        {
            "GRPC_SERVER_USE_TLS": "true",
            "GRPC_SERVER_TLS_CERT": str(pair.cert),
            "GRPC_SERVER_TLS_KEY": str(pair.key),
            **more,
        },
    )


@contextlib.asynccontextmanager
async def serving(
    made: TlsSettings, backend: GrpcBackend = GrpcBackend.FASTLANE
) -> AsyncIterator[Rig]:
    tls = ServerTls(made)
    server = make_server([], health=Health(checks={}), limits=GrpcLimits(backend=backend), tls=tls)
    await tls.open()
    port = await server.start(Listen(host="localhost", variable="GRPC_PORT"))
    try:
        yield Rig(tls, port)
    finally:
        await server.stop(0)
        await tls.close()


@BACKENDS
async def test_it_speaks_tls_and_nothing_else(
    backend: GrpcBackend, authority: Authority, server_pair: Pair
) -> None:
    async with serving(settings(server_pair), backend) as rig:
        assert await rig.works(authority)
        async with grpc.aio.insecure_channel(f"localhost:{rig.port}") as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await check(channel)


@BACKENDS
async def test_with_an_authority_clients_need_its_certificate(
    backend: GrpcBackend, authority: Authority, server_pair: Pair, envoy: Pair, stranger: Pair
) -> None:
    asked = settings(server_pair, GRPC_CLIENT_TLS_CACERT=str(authority.cert))
    async with serving(asked, backend) as rig:
        assert await rig.works(authority, envoy)
        assert not await rig.works(authority)
        assert not await rig.works(authority, stranger)


async def test_the_authority_may_be_named_as_envoy_gateway_names_it(
    authority: Authority, server_pair: Pair, envoy: Pair
) -> None:
    asked = settings(server_pair, GRPC_SERVER_TLS_CA_CERT=str(authority.cert))
    async with serving(asked) as rig:
        assert await rig.works(authority, envoy)
        assert not await rig.works(authority)


def asking(authority: Authority, pair: Pair, san: str) -> TlsSettings:
    asked = {"GRPC_CLIENT_TLS_CACERT": str(authority.cert), "GRPC_CLIENT_TLS_SAN": san}
    return settings(pair, **asked)


@pytest.mark.parametrize("san", ["envoy.mesh.example", "ENVOY.mesh.example"])
async def test_a_client_that_carries_the_name_passes(
    san: str, authority: Authority, server_pair: Pair, envoy: Pair
) -> None:
    async with serving(asking(authority, server_pair, san)) as rig:
        assert await rig.works(authority, envoy)
        assert rig.tls.strangers == 0


async def test_one_that_lacks_it_is_refused_counted_and_told_of_once(
    authority: Authority, server_pair: Pair, envoy: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    # `envoy` is the subject's name, which is nobody's word.
    async with serving(asking(authority, server_pair, "envoy")) as rig:
        assert not await rig.works(authority, envoy)
        assert not await rig.works(authority, envoy)
        metrics = Metrics(Build(service="t", version="1", python="p", platform="l"))
        rig.tls.observe(metrics)
        assert metrics.numbers()["sluice_tls_strangers_total"] >= 2
    told = [record for record in caplog.records if "lacks the name" in record.getMessage()]
    assert len(told) == 1


def test_the_other_server_cannot_look_at_names_and_says_so(
    authority: Authority, server_pair: Pair
) -> None:
    async def start() -> None:
        async with serving(asking(authority, server_pair, "x"), GrpcBackend.GRPCIO):
            raise AssertionError("it started")

    with pytest.raises(OperatorError, match="leave SLUICE_GRPC_SERVER unset"):
        asyncio.run(start())


def publish(folder: Path, pair: Pair, version: str) -> None:
    """Put a pair where Kubernetes would: files link to ..data, which is swapped as a whole."""
    data = folder / f"..{version}"
    data.mkdir()
    (data / "tls.crt").write_bytes(pair.cert.read_bytes())
    (data / "tls.key").write_bytes(pair.key.read_bytes())
    (folder / "..tmp").symlink_to(data.name)
    (folder / "..tmp").rename(folder / "..data")
    for name in ("tls.crt", "tls.key"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


async def follow_a_swap(
    backend: GrpcBackend, folder: Path, authority: Authority, before: Pair, after: Pair
) -> None:
    publish(folder, before, "one")
    here = Pair(folder / "tls.crt", folder / "tls.key")
    async with serving(settings(here), backend) as rig, rig.channel(authority) as old:
        watch = health_pb2_grpc.HealthStub(old).Watch(health_pb2.HealthCheckRequest())
        await watch.read()
        assert await rig.certificate() == der(before)
        publish(folder, after, "two")
        await wait_until(lambda: rig.tls.loads == 2, description="the new pair is in use")
        assert await rig.certificate() == der(after)
        await check(old)
        assert not watch.done()
        watch.cancel()


@BACKENDS
@pytest.mark.parametrize("kind", ["ec", "rsa"])
async def test_a_swapped_secret_is_for_new_connections_and_drops_none(
    backend: GrpcBackend, kind: str, tmp_path: Path, authority: Authority, server_pair: Pair
) -> None:
    after = authority.issue(f"next-{kind}", "DNS:localhost", kind)
    await follow_a_swap(backend, tmp_path, authority, server_pair, after)


def test_it_is_so_on_uvloop_too(tmp_path: Path, authority: Authority, server_pair: Pair) -> None:
    after = authority.issue("next-uvloop", "DNS:localhost", "rsa")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(follow_a_swap(GrpcBackend.FASTLANE, tmp_path, authority, server_pair, after))


async def test_clients_of_an_authority_that_is_exchanged_are_out(
    tmp_path: Path, authority: Authority, server_pair: Pair, envoy: Pair
) -> None:
    bundle = tmp_path / "ca.crt"
    bundle.write_text("# Größe und Ort\n" + authority.cert.read_text())
    other = Authority(tmp_path, "other")
    theirs = other.issue("envoy", "DNS:envoy.mesh.example")
    async with serving(settings(server_pair, GRPC_CLIENT_TLS_CACERT=str(bundle))) as rig:
        assert await rig.works(authority, envoy)
        assert not await rig.works(authority, theirs)
        bundle.write_bytes(other.cert.read_bytes())
        await wait_until(lambda: rig.tls.loads == 2, description="the bundle was read again")
        assert not await rig.works(authority, envoy)
        assert await rig.works(authority, theirs)


async def test_half_a_swap_changes_nothing_and_is_told_once_if_it_stays(
    tmp_path: Path, authority: Authority, server_pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    here = Pair(tmp_path / "tls.crt", tmp_path / "tls.key")
    here.cert.write_bytes(server_pair.cert.read_bytes())
    here.key.write_bytes(server_pair.key.read_bytes())
    after = authority.issue("late", "DNS:localhost")

    def told() -> list[str]:
        return [r.getMessage() for r in caplog.records if "not reloaded" in r.getMessage()]

    async with serving(settings(here)) as rig:
        here.cert.write_bytes(after.cert.read_bytes())
        await rig.tls.reload()
        assert await rig.certificate() == der(server_pair)
        await wait_until(lambda: rig.tls.failed_loads == 1, description="it is still half")
        await rig.tls.reload()
        await rig.tls.reload()
        assert len(told()) == 1
        assert "a pair" in told()[0]
        here.key.write_bytes(after.key.read_bytes())
        await wait_until(lambda: rig.tls.loads == 2, description="the pair is whole")
        assert await rig.certificate() == der(after)


async def test_the_end_of_the_certificate_is_a_metric(server_pair: Pair) -> None:
    metrics = Metrics(Build(service="t", version="1", python="p", platform="l"))
    ServerTls(settings(server_pair)).observe(metrics)
    expected = ssl.cert_time_to_seconds(server_pair.not_after())
    assert metrics.numbers()["sluice_tls_certificate_end_seconds"] == expected


def refusal(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as raised:
        load(TlsSettings, environ)
    return str(raised.value)


def test_files_that_cannot_be_used_are_named_with_their_variable(
    tmp_path: Path, authority: Authority, server_pair: Pair, envoy: Pair
) -> None:
    usable = {
        "GRPC_SERVER_USE_TLS": "true",
        "GRPC_SERVER_TLS_CERT": str(server_pair.cert),
        "GRPC_SERVER_TLS_KEY": str(server_pair.key),
        "GRPC_CLIENT_TLS_CACERT": str(authority.cert),
    }
    junk = tmp_path / "junk.pem"
    junk.write_text("nothing")
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    locked = tmp_path / "locked.key"
    locked.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n")
    none = tmp_path / "none"
    for variable, file, told in (
        ("GRPC_SERVER_TLS_CERT", none, "cannot be read (No such file or directory)"),
        ("GRPC_SERVER_TLS_CERT", tmp_path, "cannot be read (Is a directory)"),
        ("GRPC_SERVER_TLS_CERT", junk, "holds no certificate"),
        ("GRPC_SERVER_TLS_CERT", broken, "is not an X.509 certificate"),
        ("GRPC_SERVER_TLS_CERT", envoy.cert, "that are a pair"),
        ("GRPC_SERVER_TLS_KEY", locked, "is encrypted"),
        ("GRPC_CLIENT_TLS_CACERT", junk, "holds no certificate"),
        ("GRPC_CLIENT_TLS_CACERT", broken, "is unusable"),
    ):
        said = refusal({**usable, variable: str(file)})
        assert said.startswith(f"{variable}={file}: "), said
        assert told in said
        assert "\n" not in said
