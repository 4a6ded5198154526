"""Reading rule files: what is not YAML, too large, or made to hurt."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from chassis.errors import ConfigError, Problem
from ratelimit_service.core.source import Mapping, Scalar
from ratelimit_service.storage import rules_file
from ratelimit_service.storage.rules_file import parse, read

if TYPE_CHECKING:
    from pathlib import Path


def problems_of(content: bytes) -> list[str]:
    problems: list[Problem] = []
    parse(content, "f.yaml", problems)
    return [str(problem) for problem in problems]


LAUGHS = b"a: &a [x, x]\n" + b"".join(
    b"%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n" % (n, n, *(n - 1,) * 8)
    for n in range(ord("b"), ord("m"))
)


@pytest.mark.parametrize(
    ("story", "content", "problem"),
    [
        ("not YAML", b"a: [\n", "f.yaml:2:1: error loading config file: not YAML"),
        ("a tab for indentation", b"a:\n\t- b\n", "f.yaml:2:1: error loading config file: not YAML"),
        ("not text", b"a: b\nc: \xff", "f.yaml:2:4: error loading config file: not YAML text"),
        ("a NUL byte", b"a: b\nc: \0", "f.yaml:2:4: error loading config file: not YAML text"),
        ("two documents", b"a: b\n---\nc: d\n", "f.yaml:3: a rule file holds one document"),
        ("an alias inside itself", b"a: &a [*a]\n", "f.yaml:1:4: nests deeper than 100 levels"),
        ("nested beyond reason", b"[" * 200 + b"]" * 200, "f.yaml:1:101: nests deeper than 100 levels"),
        ("a billion laughs", LAUGHS, "has more than 20000 nodes"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_of(
    story: str, content: bytes, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules_file, "MAX_NODES", 20_000)
    (found,) = problems_of(content)
    assert problem in found, story


@pytest.mark.parametrize("content", [b"", b"# only a comment\n", b"---\n"])
def test_an_empty_file_is_an_empty_map(content: bytes) -> None:
    document = parse(content, "f.yaml", [])
    assert isinstance(document, Mapping) or (isinstance(document, Scalar) and document.is_null)


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfdomain: d\n", b"domain: d\r\n", "domain: d\n".encode("utf-16")])  # fmt: skip
def test_marks_and_line_ends_of_other_editors_are_fine(content: bytes) -> None:
    document = parse(content, "f.yaml", [])
    assert isinstance(document, Mapping)
    assert [(key.text, value.text) for key, value in document.pairs
            if isinstance(key, Scalar) and isinstance(value, Scalar)] == [("domain", "d")]  # fmt: skip


def test_hidden_files_and_folders_are_not_rules(tmp_path: Path) -> None:
    (tmp_path / "rules").write_text("domain: d\n")
    (tmp_path / ".swap").write_text("[")
    (tmp_path / "folder").mkdir()
    assert set(read([tmp_path]).build().domains) == {"d"}


def test_a_file_too_large_to_be_rules_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules_file, "MAX_FILE_BYTES", 10)
    (tmp_path / "huge.yaml").write_text("domain: something\n")
    with pytest.raises(ConfigError, match="larger than 10 bytes"):
        read([tmp_path]).build()


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="neither a file nor a directory"):
        read([tmp_path / "pipe"]).build()
    assert not read([tmp_path]).build().domains, "in a directory it is passed over"
