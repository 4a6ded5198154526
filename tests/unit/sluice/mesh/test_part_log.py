"""A part's log: bounded, and its last lines are those of the process that started last."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sluice.mesh import part_log
from sluice.mesh.part_log import TAIL_LINES, PartLog

if TYPE_CHECKING:
    from pathlib import Path


def write(log: PartLog, text: str) -> None:
    descriptor = log.open()
    os.write(descriptor, text.encode())
    os.close(descriptor)


def test_the_last_words_are_only_those_of_the_last_start(tmp_path: Path) -> None:
    log = PartLog(tmp_path / "envoy.log")
    write(log, "of an earlier start\n")
    write(log, "one\n\ntwo\n")
    assert log.tail() == ["one", "two"]


def test_the_last_words_are_few(tmp_path: Path) -> None:
    log = PartLog(tmp_path / "envoy.log")
    write(log, "".join(f"line {number}\n" for number in range(5000)))
    assert log.tail() == [f"line {number}" for number in range(5000 - TAIL_LINES, 5000)]


def test_bytes_that_are_no_text_do_not_hide_the_rest(tmp_path: Path) -> None:
    log = PartLog(tmp_path / "envoy.log")
    descriptor = log.open()
    os.write(descriptor, b"\xff\xfe broken\nwhole\n")
    os.close(descriptor)
    assert log.tail()[-1] == "whole"


def test_a_log_that_is_too_long_moves_aside_and_the_writer_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part_log, "LIMIT_BYTES", 10)
    log = PartLog(tmp_path / "envoy.log")
    descriptor = log.open()
    os.write(descriptor, b"more than ten bytes\n")
    log.trim()
    os.write(descriptor, b"after\n")
    os.close(descriptor)
    assert log.path.read_text() == "after\n"
    assert (tmp_path / "envoy.log.1").read_text() == "more than ten bytes\n"
    assert log.tail() == ["after"]


def test_a_log_that_cannot_move_aside_is_cut_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part_log, "LIMIT_BYTES", 10)
    log = PartLog(tmp_path / "envoy.log")
    write(log, "more than ten bytes\n")
    (tmp_path / "envoy.log.1").mkdir()
    with pytest.raises(OSError, match=r"envoy\.log\.1"):
        log.trim()
    assert log.path.read_text() == ""


def test_a_log_that_somebody_removed_is_nothing_to_trim(tmp_path: Path) -> None:
    PartLog(tmp_path / "envoy.log").trim()
    assert not list(tmp_path.iterdir())


def test_a_short_log_stays_where_it_is(tmp_path: Path) -> None:
    log = PartLog(tmp_path / "envoy.log")
    write(log, "short\n")
    log.trim()
    assert [path.name for path in tmp_path.iterdir()] == ["envoy.log"]
