"""The xDS client against a real server: accepting, refusing, losing it and finding it again."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import grpc
import pytest

from chassis.errors import OperatorError
from chassis.log import get_logger
from chassis.settings import load
from chassis.xds import Resource, Update, XdsClient, credentials_of
from chassis.xds_settings import XdsSettings
from ratelimit_service.transport.rule_resource import TYPE_URL
from tests.fastlane import certificates
from tests.servers import needed_program
from tests.waiting import wait_until
from tests.xds_server import XdsServer, config, packed, per_hour
from wire.envoy.service.discovery.v3 import discovery_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

FAST = {
    "XDS_CLIENT_BACKOFF_INITIAL_INTERVAL": "20ms",
    "XDS_CLIENT_BACKOFF_MAX_INTERVAL": "100ms",
    "CONFIG_GRPC_XDS_SERVER_CONNECT_RETRY_INTERVAL": "20ms",
}


class Taker:
    """A Consumer that notes what it is given and answers what it is told to."""

    def __init__(self) -> None:
        self.updates: list[Update] = []
        self.refusal = ""
        self.hold: asyncio.Event | None = None

    async def take(self, update: Update) -> str:
        self.updates.append(update)
        if self.hold is not None:
            await self.hold.wait()
        return self.refusal


@contextlib.asynccontextmanager
async def following(address: str, taker: Taker, **environ: str) -> AsyncIterator[XdsClient]:
    settings = load(XdsSettings, {"CONFIG_GRPC_XDS_SERVER_URL": address, **FAST, **environ})
    client = XdsClient(
        settings, type_url=TYPE_URL, user_agent="test", consumer=taker, log=get_logger("test")
    )
    running = asyncio.create_task(client.run())
    try:
        yield client
    finally:
        running.cancel()
        await asyncio.wait({running})


async def test_the_first_request_says_who_asks_for_what() -> None:
    said = {
        "CONFIG_GRPC_XDS_NODE_ID": "envoy-ratelimit",
        "CONFIG_GRPC_XDS_NODE_METADATA": '{"zone": "a", "n": 7}',
        "CONFIG_GRPC_XDS_CLIENT_ADDITIONAL_HEADERS": "Authorization:Bearer t,x-tenant:9",
    }
    async with XdsServer() as server, following(server.address, Taker(), **said):
        await wait_until(lambda: server.requests, description="it asks")
        (request,) = server.requests
        assert request.node.id == "envoy-ratelimit"
        assert dict(request.node.metadata.items()) == {"zone": "a", "n": 7}
        assert request.type_url == TYPE_URL
        assert not request.resource_names
        assert not request.version_info
        assert server.headers["authorization"] == "Bearer t"
        assert server.headers["x-tenant"] == "9"


async def test_an_update_is_accepted_with_its_version_and_nonce() -> None:
    taker = Taker()
    shop, bank = config("shop", per_hour("a", 1)), config("bank")
    async with XdsServer() as server, following(server.address, taker) as client:
        server.serve("7", shop, bank)
        await wait_until(lambda: server.acks, description="it accepts")
        ack = server.requests[-1]
        assert (ack.version_info, ack.response_nonce, ack.type_url) == ("7", "nonce 1", TYPE_URL)
        assert not ack.HasField("error_detail")
        (update,) = taker.updates
        assert update.version == "7"
        assert [r.value for r in update.resources] == [
            shop.SerializeToString(),
            bank.SerializeToString(),
        ]
        assert client.connected
        assert not client.trouble


async def test_a_refused_update_keeps_the_version_and_says_why() -> None:
    taker = Taker()
    async with XdsServer() as server, following(server.address, taker):
        server.serve("1")
        await wait_until(lambda: server.acks == ["1"], description="it accepts")
        taker.refusal = "a.yaml: wrong\nb.yaml: wrong too"
        server.serve("2")
        await wait_until(lambda: server.nacks, description="it refuses")
        (nack,) = server.nacks
        assert (nack.version_info, nack.response_nonce) == ("1", "nonce 2")
        assert (nack.error_detail.code, nack.error_detail.message) == (3, taker.refusal)
        taker.refusal = ""
        server.serve("3")
        await wait_until(lambda: server.acks == ["1", "3"], description="it accepts again")


async def test_a_reason_has_a_bound() -> None:
    taker = Taker()
    taker.refusal = "wrong\n" * 100_000
    async with XdsServer() as server, following(server.address, taker):
        server.serve("1")
        await wait_until(lambda: server.nacks, description="it refuses")
        assert len(server.nacks[0].error_detail.message) == 64 * 1024


async def test_a_response_of_another_type_is_refused_and_not_taken() -> None:
    taker = Taker()
    async with XdsServer() as server, following(server.address, taker):
        server.serve("1", type_url="type.googleapis.com/envoy.config.cluster.v3.Cluster")
        await wait_until(lambda: server.nacks, description="it refuses")
        assert "asked for type.googleapis.com/ratelimit" in server.nacks[0].error_detail.message
        assert not taker.updates


async def test_a_resource_in_an_envelope_is_taken_out() -> None:
    taker = Taker()
    inner = packed(config("shop"))
    envelope = discovery_pb2.Resource(name="shop", version="1", resource=inner)
    async with XdsServer() as server, following(server.address, taker):
        server.serve("1", envelope)
        await wait_until(lambda: server.acks, description="it accepts")
        assert taker.updates[0].resources == (Resource(TYPE_URL, inner.value),)


async def test_a_killed_server_is_found_again_and_told_the_last_version() -> None:
    taker = Taker()
    async with XdsServer() as server, following(server.address, taker) as client:
        server.serve("1", config("shop"))
        await wait_until(lambda: server.acks == ["1"], description="it accepts")
        await server.kill()
        await wait_until(lambda: "cannot be reached" in client.trouble, description="it notices")
        assert not client.connected
        server.requests.clear()
        await server.start()
        await wait_until(lambda: server.requests, description="it is back")
        first = server.requests[0]
        assert (first.version_info, first.response_nonce, first.node.id) == ("1", "", "default")
        await wait_until(lambda: client.connected, description="it says so")
        assert not client.trouble
        assert len(taker.updates) == 1, "the server need not send it again"
        server.serve("2", config("shop"), config("bank"))
        await wait_until(lambda: server.acks == ["2"], description="it goes on")


async def test_a_server_that_is_not_there_yet_is_waited_for() -> None:
    taker, server = Taker(), XdsServer()
    async with following(server.address, taker) as client:
        await wait_until(lambda: "cannot be reached" in client.trouble, description="it says so")
        assert server.address in client.trouble
        server.serve("1")
        async with server:
            await wait_until(lambda: server.acks, description="it accepts")


async def test_a_stream_that_is_refused_is_tried_again_with_the_reason_told() -> None:
    async with XdsServer() as server, following(server.address, Taker()) as client:
        server.refuse_with = grpc.StatusCode.PERMISSION_DENIED
        await wait_until(lambda: server.streams > 2, description="it tries again")
        await wait_until(
            lambda: "PERMISSION_DENIED: not you" in client.trouble, description="it says why"
        )
        server.refuse_with = None
        server.serve("1")
        await wait_until(lambda: server.acks, description="it accepts")


async def test_a_message_beyond_the_limit_is_refused_and_the_limit_can_be_raised() -> None:
    large = config("shop", *(per_hour(f"key {n:050}", n) for n in range(70_000)))
    assert large.ByteSize() > 4 * 1024 * 1024
    taker = Taker()
    async with XdsServer() as server:
        server.serve("1", large)
        async with following(server.address, taker) as client:
            await wait_until(
                lambda: "raise XDS_CLIENT_MAX_MSG_SIZE_IN_BYTES" in client.trouble,
                description="it says which variable to raise",
            )
        assert not taker.updates
        room = {"XDS_CLIENT_MAX_MSG_SIZE_IN_BYTES": str(16 * 1024 * 1024)}
        async with following(server.address, taker, **room):
            await wait_until(lambda: server.acks, description="it accepts")


async def test_renew_opens_another_stream_at_once() -> None:
    slow = {"XDS_CLIENT_BACKOFF_INITIAL_INTERVAL": "1h", "XDS_CLIENT_BACKOFF_MAX_INTERVAL": "1h"}
    async with XdsServer() as server, following(server.address, Taker(), **slow) as client:
        await wait_until(lambda: client.connected, description="it is connected")
        client.renew()
        await wait_until(lambda: server.streams == 2, description="a second stream")
        await server.kill()
        await wait_until(lambda: client.trouble, description="it waits an hour")
        await server.start()
        client.renew()
        await wait_until(lambda: server.streams == 3, description="it waits no longer")


async def test_stopping_ends_it_in_the_middle_of_an_update() -> None:
    taker = Taker()
    taker.hold = asyncio.Event()
    async with XdsServer() as server:
        server.serve("1")
        async with following(server.address, taker):
            await wait_until(lambda: taker.updates, description="it takes one")
        assert not server.acks


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needed_program("openssl", "openssl")
    folder = tmp_path_factory.mktemp("certificates")
    certificates.make(folder)
    return folder


def mutual(folder: Path) -> grpc.ServerCredentials:
    """Show a certificate for `localhost`, and ask for one of the same authority."""
    pair = ((folder / "server.key").read_bytes(), (folder / "server.pem").read_bytes())
    authority = (folder / "ca.pem").read_bytes()
    return grpc.ssl_server_credentials([pair], authority, require_client_auth=True)


def files(folder: Path, **changes: str) -> dict[str, str]:
    return {
        "CONFIG_GRPC_XDS_SERVER_USE_TLS": "true",
        "CONFIG_GRPC_XDS_CLIENT_TLS_CERT": str(folder / "client.pem"),
        "CONFIG_GRPC_XDS_CLIENT_TLS_KEY": str(folder / "client.key"),
        "CONFIG_GRPC_XDS_SERVER_TLS_CACERT": str(folder / "ca.pem"),
        "CONFIG_GRPC_XDS_SERVER_TLS_SAN": "localhost",
        **changes,
    }


async def test_both_sides_show_certificates(pem: Path) -> None:
    async with XdsServer(mutual(pem)) as server:
        server.serve("1")
        async with following(server.address, Taker(), **files(pem)):
            await wait_until(lambda: server.acks, description="it accepts")


@pytest.mark.parametrize(
    ("story", "changes"),
    [
        ("another name", {"CONFIG_GRPC_XDS_SERVER_TLS_SAN": "elsewhere.example"}),
        ("the name of the URL, which is not in it", {"CONFIG_GRPC_XDS_SERVER_TLS_SAN": ""}),
        ("no certificate of ours", {"CONFIG_GRPC_XDS_CLIENT_TLS_CERT": "", "CONFIG_GRPC_XDS_CLIENT_TLS_KEY": ""}),
        ("no TLS of ours", {"CONFIG_GRPC_XDS_SERVER_USE_TLS": "false"}),
        ("the system's authorities", {"CONFIG_GRPC_XDS_SERVER_TLS_CACERT": ""}),
    ],
)  # fmt: skip
async def test_a_server_we_do_not_trust_or_that_does_not_trust_us_gives_nothing(
    pem: Path, story: str, changes: dict[str, str]
) -> None:
    async with XdsServer(mutual(pem)) as server:
        server.serve("1")
        async with following(server.address, Taker(), **files(pem, **changes)) as client:
            await wait_until(lambda: client.trouble, description=f"it says so: {story}")
            assert not client.connected
        assert not server.requests, story


def copied(pem: Path, folder: Path) -> Path:
    for name in ("ca.pem", "client.pem", "client.key", "server.key"):
        (folder / name).write_bytes((pem / name).read_bytes())
    return folder


@pytest.mark.parametrize(
    ("name", "content", "variable"),
    [
        ("ca.pem", None, "CONFIG_GRPC_XDS_SERVER_TLS_CACERT"),
        ("ca.pem", b"no PEM", "CONFIG_GRPC_XDS_SERVER_TLS_CACERT"),
        ("client.pem", b"", "CONFIG_GRPC_XDS_CLIENT_TLS_CERT"),
        ("client.key", None, "CONFIG_GRPC_XDS_CLIENT_TLS_CERT and _KEY"),
    ],
)
def test_files_that_cannot_be_used_are_named(
    pem: Path, tmp_path: Path, name: str, content: bytes | None, variable: str
) -> None:
    folder = copied(pem, tmp_path)
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    with pytest.raises(OperatorError, match=variable):
        credentials_of(load(XdsSettings, files(folder)))


def test_a_key_of_another_certificate_is_told_of(pem: Path, tmp_path: Path) -> None:
    folder = copied(pem, tmp_path)
    (folder / "server.key").replace(folder / "client.key")
    with pytest.raises(OperatorError, match="KEY_VALUES_MISMATCH"):
        credentials_of(load(XdsSettings, files(folder)))


async def test_certificates_are_read_anew_for_each_connection(pem: Path, tmp_path: Path) -> None:
    folder = copied(pem, tmp_path)
    (folder / "ca.pem").write_bytes(b"half written")
    async with XdsServer(mutual(pem)) as server:
        server.serve("1")
        async with following(server.address, Taker(), **files(folder)) as client:
            await wait_until(lambda: "cannot be used" in client.trouble, description="it says so")
            copied(pem, folder)
            await wait_until(lambda: server.acks, description="it accepts")
