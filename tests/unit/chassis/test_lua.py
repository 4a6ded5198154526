"""The contract in the head of every Lua script."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING

import pytest

from chassis.lua import MAX_LINES, Function, Script, header_faults, load_script

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """-- Take one token.
-- KEYS[1]  the bucket, a Hash
-- ARGV: none
-- Returns  1 when taken, else 0
return 1
"""


def test_a_good_head_has_no_faults() -> None:
    assert header_faults(GOOD) == ()


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (GOOD.replace("-- Take one token.\n", ""), "what it is for"),
        (GOOD.replace("-- Take one token.", "--"), "what it is for"),
        ("local x = 1\n" + GOOD, "what it is for"),
        (GOOD.replace("KEYS[1]", "keys"), "starts with KEYS"),
        (GOOD.replace("-- ARGV: none\n", ""), "starts with ARGV"),
        (GOOD.replace("Returns", "Gives"), "starts with Returns"),
        (GOOD.replace("-- Returns", "\n-- Returns"), "starts with Returns"),
        (GOOD + "-- padding\n" * MAX_LINES, "at most 60"),
        ("", "what it is for"),
    ],
)
def test_a_broken_head_is_named(source: str, fault: str) -> None:
    assert fault in "; ".join(header_faults(source))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"scripts_{tmp_path.name.replace('-', '_')}"
    lua = tmp_path / name / "lua"
    lua.mkdir(parents=True)
    (tmp_path / name / "__init__.py").write_text("")
    (lua / "good.lua").write_text(GOOD)
    (lua / "bad.lua").write_text("return 1")
    (lua / "part.lua").write_text(GOOD.replace("return 1", "local one = 1"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


def test_a_script_is_read_from_its_package_and_named_as_redis_names_it(package: str) -> None:
    script = load_script(package, "good.lua")
    assert script == Script("good", GOOD)
    assert script.sha == hashlib.sha1(GOOD.encode()).hexdigest()  # noqa: S324  Redis's name


def test_a_script_with_a_broken_head_is_not_loaded(package: str) -> None:
    with pytest.raises(ValueError, match=r"lua/bad\.lua: its first line must say"):
        load_script(package, "bad.lua")


def test_a_script_of_several_files_is_named_by_its_last(package: str) -> None:
    script = load_script(package, "part.lua", "good.lua")
    assert script.name == "good"
    assert script.source.endswith("local one = 1\n\n" + GOOD)


def test_parts_of_a_script_may_become_a_function(package: str) -> None:
    script = load_script(package, Function("one", ("part.lua", "good.lua")), "good.lua")
    function, _, rest = script.source.partition("\nend\n")
    assert function.startswith("local function one()\n-- Take one token.")
    assert function.rstrip().endswith("return 1")
    assert rest.strip() == GOOD.strip()


@pytest.mark.parametrize(
    "parts", [("bad.lua", "good.lua"), (Function("f", ("bad.lua",)), "good.lua")]
)
def test_every_part_of_a_script_has_its_head(
    package: str, parts: tuple[str | Function, ...]
) -> None:
    with pytest.raises(ValueError, match=r"lua/bad\.lua: its first line must say"):
        load_script(package, *parts)
