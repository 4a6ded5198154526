"""The rules in force: what a change, a mistake, a swap and a broken watch do to them."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from chassis.errors import ConfigError, OperatorError
from chassis.log import get_logger
from ratelimit_service.storage import rule_book
from ratelimit_service.storage.rule_book import RuleBook
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ratelimit_service.storage.rules_file import Sources


def write(directory: Path, domain: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "rules.yaml").write_text(f"domain: {domain}\n")


def make(directory: Path, watched_root: Path | None = None) -> RuleBook:
    return RuleBook(directory, watched_root=watched_root, log=get_logger("test"))


def domains(book: RuleBook) -> set[str]:
    assert book.current is not None
    return set(book.current.domains)


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[RuleBook]:
    write(tmp_path / "config", "one")
    opened = make(tmp_path / "config")
    await opened.open()
    yield opened
    await opened.close()


async def becomes(book: RuleBook, *names: str) -> None:
    await wait_until(lambda: domains(book) == set(names), description=f"domains are {names}")


async def test_a_missing_directory_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"there is no rules directory .* set RUNTIME_ROOT"):
        await make(tmp_path / "none").open()


async def test_an_empty_directory_limits_nothing(tmp_path: Path) -> None:
    book = make(tmp_path)
    await book.load()
    assert domains(book) == set()


async def test_files_added_changed_moved_over_and_removed_are_noticed(book: RuleBook) -> None:
    write(book.directory, "two")
    await becomes(book, "two")
    new = book.directory / ".new"
    new.write_text("domain: three\n")
    new.replace(book.directory / "rules.yaml")
    await becomes(book, "three")
    (book.directory / "more.yaml").write_text("domain: four\n")
    await becomes(book, "three", "four")
    (book.directory / "rules.yaml").unlink()
    await becomes(book, "four")


async def test_a_mistake_keeps_the_old_rules_and_tells(book: RuleBook) -> None:
    (book.directory / "bad.yaml").write_text("domain: [\n")
    await wait_until(lambda: book.failed_loads == 1, description="the mistake is seen")
    assert domains(book) == {"one"}
    assert "generation 1 stays in force" in book.detail
    assert "bad.yaml:2:1" in book.detail
    (book.directory / "bad.yaml").unlink()
    await wait_until(lambda: not book.last_error, description="the mistake is gone")


async def test_a_kubernetes_config_map_is_followed(tmp_path: Path) -> None:
    mount = tmp_path / "config"
    write(mount / "..2026_1", "one")
    (mount / "..data").symlink_to("..2026_1")
    (mount / "rules.yaml").symlink_to("..data/rules.yaml")
    book = make(mount)
    await book.open()
    assert domains(book) == {"one"}
    write(mount / "..2026_2", "two")
    (mount / "..data_tmp").symlink_to("..2026_2")
    (mount / "..data_tmp").replace(mount / "..data")
    await becomes(book, "two")
    await book.close()


async def test_a_swapped_root_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "v1/config", "one")
    write(tmp_path / "v2/config", "two")
    (tmp_path / "current").symlink_to("v1")
    book = make(tmp_path / "current/config", watched_root=tmp_path / "current")
    await book.open()
    (tmp_path / "next").symlink_to("v2")
    (tmp_path / "next").replace(tmp_path / "current")
    await becomes(book, "two")
    await book.close()


async def test_the_newest_files_win_when_two_loads_overlap(
    book: RuleBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, entered, leave = book._read, threading.Event(), threading.Event()

    def slow_once() -> Sources:
        found = real()
        if not entered.is_set():
            entered.set()
            leave.wait(10)
        return found

    monkeypatch.setattr(book, "_read", slow_once)
    first = asyncio.create_task(book.load())
    await asyncio.to_thread(entered.wait, 10)
    write(book.directory, "two")
    second = asyncio.create_task(book.load())
    await asyncio.sleep(0)
    leave.set()
    await asyncio.gather(first, second)
    assert domains(book) == {"two"}


async def test_rules_are_polled_where_watching_is_not_to_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> object:
        raise OSError(28, "no space left for another watch")

    monkeypatch.setattr(rule_book, "awatch", refused)
    monkeypatch.setattr(rule_book, "_RECHECK_SECONDS", 0.01)
    write(tmp_path, "one")
    book = make(tmp_path)
    await book.open()
    write(tmp_path, "two")
    await becomes(book, "two")
    await book.close()


async def test_a_load_that_fails_says_everything(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("domain: ''\n")
    (tmp_path / "b.yaml").write_text("- 1\n")
    with pytest.raises(ConfigError) as caught:
        await make(tmp_path).load()
    assert [problem.file for problem in caught.value.problems] == [
        str(tmp_path / "a.yaml"),
        str(tmp_path / "b.yaml"),
    ]
