"""Reading rule files: what is not YAML, too large, or made to hurt."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, cast

import pytest

from chassis.errors import ConfigError, Problem
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.core.source import Mapping, Scalar
from ratelimit_service.storage import rules_file
from ratelimit_service.storage.rules_file import parse, read, read_runtime

if TYPE_CHECKING:
    from collections.abc import Iterator
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


def text_of(domain: str) -> str:
    return f"domain: {domain}\n"


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """Make a RUNTIME_ROOT of files whose domains are their paths, with slashes as dots."""
    for name in (
        "config/a.yaml",
        "config/.hidden",
        "config/folder/b",
        "config/folder/.deep/c",
        "config/..2026_11_25/a.yaml",
        "config.extra.yaml",
        "config.d/e.yaml",
        "config2.yaml",
        "other/f.yaml",
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text_of(name.replace("/", ".").replace(".yaml", "")))
    (tmp_path / "config" / "..data").symlink_to("..2026_11_25")
    (tmp_path / "config" / "linked.yaml").symlink_to(tmp_path / "other" / "f.yaml")
    (tmp_path / "config" / "round").symlink_to(tmp_path / "config")
    return tmp_path / "config"


FILES = {"config.a", "config.folder.b", "other.f"}
BESIDE = {"config.extra", "config.d.e"}
HIDDEN = {"config..hidden", "config.folder..deep.c"}


@pytest.mark.parametrize(
    ("watch_root", "dot_files", "domains"),
    [
        (False, False, FILES),
        (False, True, FILES | HIDDEN),
        (True, False, FILES | BESIDE),
        (True, True, FILES | BESIDE | HIDDEN),
    ],
)
def test_the_files_of_a_runtime_directory_are_those_of_the_reference(
    runtime: Path, watch_root: bool, dot_files: bool, domains: set[str]
) -> None:
    found = read_runtime(runtime, watch_root=watch_root, dot_files=dot_files).build()
    assert set(found.domains) == domains
    if not watch_root:
        assert list(read([runtime], dot_files=dot_files).build().domains) == list(found.domains)


def test_files_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b", "c", "a"):
        (tmp_path / name).write_text(text_of(name))
    assert list(read([tmp_path]).build().domains) == ["a", "b", "c"]


def test_domains_are_merged_in_the_order_of_the_files(tmp_path: Path) -> None:
    for name in ("b", "a"):
        rule = f"descriptors: [{{key: {name}, rate_limit: {{unlimited: true}}}}]\n"
        (tmp_path / name).write_text(text_of("d") + rule)
    merged = read([tmp_path], merge_domains=True).build()
    assert [rule.path for rule in merged.rules()] == ["d.a", "d.b"]
    with pytest.raises(ConfigError, match=r"duplicate domain 'd' in config file; .*a:1 has it"):
        read([tmp_path]).build()


def test_directories_of_something_else_are_not_read_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules_file, "MAX_FILES", 3)
    for number in range(5):
        (tmp_path / f"{number}").write_text(text_of(f"d{number}"))
    with pytest.raises(ConfigError, match="holds more than 3 files"):
        read([tmp_path]).build()


def test_files_too_large_together_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules_file, "MAX_BYTES", 25)
    for number in range(3):
        (tmp_path / f"{number}").write_text(text_of(f"d{number}"))
    with pytest.raises(ConfigError, match="2: with the files before it is more than 25 bytes"):
        read([tmp_path]).build()


def test_a_folder_that_cannot_be_listed_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    real = type(tmp_path).iterdir

    def iterdir(path: Path) -> Iterator[Path]:
        if path.name == "folder":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(type(tmp_path), "iterdir", iterdir)
    with pytest.raises(ConfigError, match=r"folder: cannot be read \(Permission denied\)"):
        read([tmp_path]).build()


def test_a_file_that_vanishes_while_it_is_read_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").write_text(text_of("d"))
    real = type(tmp_path).open

    def vanishing(path: Path, mode: str) -> IO[bytes]:
        path.unlink()
        return cast("IO[bytes]", real(path, mode))

    monkeypatch.setattr(type(tmp_path), "open", vanishing)
    with pytest.raises(ConfigError, match=r"gone: cannot be read \(No such file or directory\)"):
        read([tmp_path]).build()


MERGED = b"""
domain: d
descriptors:
  - &first
    key: k
    value: a
    rate_limit: &limit {unit: minute, requests_per_unit: 10}
  - <<: *first
    value: b
  - key: l
    rate_limit: {<<: [{requests_per_unit: 5}, *limit], burst: 2}
"""


def test_merge_keys_fill_in_what_is_not_said(tmp_path: Path) -> None:
    (tmp_path / "merged.yaml").write_bytes(MERGED)
    limits = {rule.path: rule.allowances[0].limit for rule in read([tmp_path]).build().rules()}
    assert limits == {
        "d.k_a": Limit(unit=Unit.MINUTE, requests_per_unit=10),
        "d.k_b": Limit(unit=Unit.MINUTE, requests_per_unit=10),
        "d.l": Limit(unit=Unit.MINUTE, requests_per_unit=5, burst=2),
    }


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"<<: a\ndomain: d\n", "f.yaml:1:5: '<<' merges a map, or a list of maps, not 'a'"),
        (b"<<: [a]\ndomain: d\n", "f.yaml:1:6: '<<' merges a map, or a list of maps, not 'a'"),
        (b"a: &a\n  <<: *a\n", "nests deeper than 100 levels"),
    ],
)
def test_merge_keys_of_nothing_are_told_of(content: bytes, problem: str) -> None:
    (found,) = problems_of(content)
    assert problem in found


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
