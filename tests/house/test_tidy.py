"""What a reviewer would say twice: sizes, names, docstrings, scripts, and what no file may hold."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from chassis.lua import header_faults

ROOT = Path(__file__).parents[2]
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 70
SHAPELESS = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager", "shared"}


def tracked() -> list[Path]:
    """Every file of the project: what git tracks or would, and in an export of it every file."""
    listing = subprocess.run(  # what git ignores is not the project
        ["git", "ls-files", "-co", "--exclude-standard"],  # noqa: S607  git is on the PATH
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode == 0:
        names = listing.stdout.splitlines()
        return [ROOT / name for name in names if (ROOT / name).is_file()]
    hidden = {".venv", "__pycache__"}
    return [p for p in ROOT.rglob("*") if p.is_file() and not hidden & set(p.parts)]


FILES = tracked()
PYTHON = [
    path for path in FILES if path.suffix == ".py" and path.relative_to(ROOT).parts[0] != "wire"
]
LUA = [path for path in FILES if path.suffix == ".lua"]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_rules_look_at_something() -> None:
    assert len(PYTHON) > 50
    assert LUA


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_a_module_says_why_it_exists_and_stays_small(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "no docstring"
    assert len(text.splitlines()) <= MAX_FILE_LINES, "split the file"
    assert path.stem not in SHAPELESS, "name what it holds"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{node.name} has {length} lines"


@pytest.mark.parametrize(
    "path", [p for p in PYTHON if p.relative_to(ROOT).parts[1:2] == ("core",)], ids=name_of
)
def test_the_core_awaits_nothing_and_asks_no_clock(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith)
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"now", "utcnow", "today"}, f"line {node.lineno}: time is given"


@pytest.mark.parametrize("path", LUA, ids=name_of)
def test_a_script_states_its_contract(path: Path) -> None:
    assert not header_faults(path.read_text())


# Marks of unfinished work, joined so that they do not find themselves.
UNFINISHED = re.compile("|".join(["Not" + "Implemented", "TO" + "DO", "FIX" + "ME", "X" * 3]))
SLEEP = re.compile(r"\btime\.sl" + r"eep\(")


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_nothing_is_left_unfinished(path: Path) -> None:
    text = path.read_text()
    found = UNFINISHED.search(text)
    assert found is None, f"{found} marks unfinished work"
    if path.relative_to(ROOT).parts[0] == "tests":
        assert not SLEEP.search(text), "wait for the condition (tests/waiting.py)"


def test_the_lock_has_hashes_and_no_addresses() -> None:
    for lock in (ROOT / "requirements.lock", ROOT / "tests/wire/xds-protos.lock"):
        text = lock.read_text()
        assert "://" not in text
        pins = re.findall(r"^\S+==\S+", text, flags=re.MULTILINE)
        assert pins
        assert text.count("--hash=sha256:") >= len(pins)


def test_envoy_is_a_folder_of_configuration_only() -> None:
    inside = [path for path in FILES if path.relative_to(ROOT).parts[0] == "envoy"]
    assert inside
    assert not [path for path in inside if path.suffix == ".py"], "it would hide the package envoy"
