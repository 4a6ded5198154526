"""The rules in force as a management server's updates come: whole, or not at all."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from chassis.errors import OperatorError
from chassis.log import get_logger
from chassis.settings import load
from chassis.xds import Resource, Update
from chassis.xds_settings import XdsSettings
from ratelimit_service.storage.xds_book import XdsBook
from ratelimit_service.transport import rule_resource
from tests.waiting import wait_until
from tests.xds_server import XdsServer, config, per_hour

if TYPE_CHECKING:
    from wire.ratelimit.config.ratelimit.v3 import rls_conf_pb2

SHOP = config("shop", per_hour("client", 5), name="first-listener")
BANK = config("bank", per_hour("client", 7), name="second-listener")
WRONG = config("", per_hour("", 1), name="third-listener")


def make(*, merge_domains: bool = False, **environ: str) -> XdsBook:
    return XdsBook(
        load(XdsSettings, environ),
        type_url=rule_resource.TYPE_URL,
        decode=rule_resource.document,
        log=get_logger("test"),
        merge_domains=merge_domains,
    )


def update(version: str, *resources: rls_conf_pb2.RateLimitConfig) -> Update:
    items = (Resource(rule_resource.TYPE_URL, r.SerializeToString()) for r in resources)
    return Update(version, tuple(items))


def paths(book: XdsBook) -> list[str]:
    assert book.current is not None
    return [rule.path for rule in book.current.rules()]


@pytest.fixture
async def book() -> XdsBook:
    made = make()
    assert await made.take(update("1", SHOP, BANK)) == ""
    return made


async def test_each_update_is_the_whole_truth(book: XdsBook) -> None:
    assert paths(book) == ["shop.client", "bank.client"]
    assert await book.take(update("2", BANK)) == ""
    assert paths(book) == ["bank.client"], "what is not named is gone"
    assert await book.take(update("3")) == ""
    assert paths(book) == []
    assert (book.generation, book.loads, book.detail) == (3, 3, "generation 3")


async def test_one_mistake_refuses_all_and_every_mistake_is_named(book: XdsBook) -> None:
    new = config("new", per_hour("client", 1))
    why = await book.take(update("2", new, WRONG, config("bank"), BANK))
    assert "third-listener: config file cannot have empty domain" in why
    assert "third-listener: descriptors[0]: descriptor has empty key" in why
    assert "duplicate domain 'bank'" in why
    assert paths(book) == ["shop.client", "bank.client"]
    assert (book.generation, book.failed_loads) == (1, 1)
    assert "generation 1 stays in force, the last load failed" in book.detail


async def test_what_went_before_can_come_back_after_a_mistake(book: XdsBook) -> None:
    await book.take(update("2", WRONG))
    assert await book.take(update("3", SHOP, BANK)) == ""
    assert not book.last_error
    assert all(not file.error for file in book.files)


async def test_the_same_under_another_version_changes_nothing(book: XdsBook) -> None:
    rules = book.current
    assert await book.take(update("2", SHOP, BANK)) == ""
    assert book.current is rules
    assert book.generation == 1


async def test_each_resource_is_known_by_name_digest_and_error(book: XdsBook) -> None:
    before = book.load_time
    assert before is not None
    await book.take(update("2", SHOP, WRONG))
    assert [file.name for file in book.files] == ["first-listener", "third-listener"]
    shop, wrong = book.files
    assert shop.sha256 == hashlib.sha256(SHOP.SerializeToString()).hexdigest()
    assert not shop.error
    assert wrong.sha256 == hashlib.sha256(WRONG.SerializeToString()).hexdigest()
    assert len(wrong.error.splitlines()) == 2
    assert book.load_time == before, "the rules in force are still those"


async def test_resources_of_one_name_or_of_none_are_told_apart() -> None:
    why = await make().take(update("1", SHOP, SHOP))
    assert "first-listener: stands twice in the update" in why
    nameless = config("d", per_hour("", 1))
    nameless.name = ""
    assert "resource 2: descriptors[0]" in await make().take(update("1", SHOP, nameless))


async def test_garbage_is_refused(book: XdsBook) -> None:
    garbage = Update("2", (Resource("type.googleapis.com/nonsense", b"\xff"), Resource("", b"")))
    why = await book.take(garbage)
    assert len(why.splitlines()) == 2
    assert paths(book) == ["shop.client", "bank.client"]


async def test_domains_are_merged_where_that_is_asked_for() -> None:
    both = (config("shop", per_hour("a", 1), name="x"), config("shop", per_hour("b", 1), name="y"))
    assert "duplicate domain 'shop'" in await make().take(update("1", *both))
    merging = make(merge_domains=True)
    assert await merging.take(update("1", *both)) == ""
    assert paths(merging) == ["shop.a", "shop.b"]


def test_before_the_first_update_there_are_no_rules() -> None:
    assert make().current is None
    assert make().detail == "no rate limit configuration loaded"


async def test_it_follows_a_server_and_says_when_that_is_away() -> None:
    fast: dict[str, Any] = {
        "XDS_CLIENT_BACKOFF_INITIAL_INTERVAL": "20ms",
        "XDS_CLIENT_BACKOFF_MAX_INTERVAL": "50ms",
    }
    async with XdsServer() as server:
        book = make(CONFIG_GRPC_XDS_SERVER_URL=server.address, **fast)
        await book.open()
        server.serve("1", SHOP)
        await wait_until(lambda: book.current, description="rules are in force")
        server.serve("2", WRONG)
        await wait_until(lambda: server.nacks, description="it refuses")
        (nack,) = server.nacks
        assert "third-listener: config file cannot have empty domain" in nack.error_detail.message
        assert nack.version_info == "1"
        await server.kill()
        await wait_until(lambda: "cannot be reached" in book.detail, description="it says so")
        assert paths(book) == ["shop.client"]
        await server.start()
        server.serve("3", BANK)
        await wait_until(lambda: paths(book) == ["bank.client"], description="the new rules")
        await book.reload()
        await wait_until(lambda: server.streams == 3, description="a new stream")
        await book.close()


async def test_tls_files_that_cannot_be_used_end_the_start() -> None:
    book = make(
        CONFIG_GRPC_XDS_SERVER_USE_TLS="true", CONFIG_GRPC_XDS_SERVER_TLS_CACERT="/nowhere/ca.crt"
    )
    with pytest.raises(OperatorError, match=r"_SERVER_TLS_CACERT: /nowhere/ca\.crt cannot be used"):
        await book.open()
