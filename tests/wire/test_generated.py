"""`wire/` is exactly what `tools/genproto.py` makes of `protos/`, and imports by itself."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GENPROTO = ROOT / "tools/genproto.py"
STUBS = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    for path in ROOT.glob("wire/**/*_pb2*.py")
)


def genproto(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(GENPROTO), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of wire/ to damage."""
    ignore = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(ROOT / "wire", tmp_path / "wire", ignore=ignore))


def test_the_committed_stubs_are_fresh() -> None:
    done = genproto("--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_check_names_every_file_that_is_not_fresh_and_a_run_mends_it(copy: Path) -> None:
    edited = copy / "envoy/service/ratelimit/v3/rls_pb2.py"
    edited.write_text(edited.read_text("utf-8") + "# a small fix\n", "utf-8")
    (copy / "envoy/type/v3/token_bucket_pb2.pyi").unlink()
    (copy / "envoy/old").mkdir()
    (copy / "envoy/old/old_pb2.py").write_text("", "utf-8")

    done = genproto("--check", "--wire", copy)
    assert done.returncode == 1
    assert done.stdout.splitlines()[:-1] == [
        "wire/envoy/old/old_pb2.py: stale",
        "wire/envoy/service/ratelimit/v3/rls_pb2.py: differs",
        "wire/envoy/type/v3/token_bucket_pb2.pyi: missing",
    ]
    assert genproto("--wire", copy).returncode == 0
    assert genproto("--check", "--wire", copy).returncode == 0
    assert not (copy / "envoy/old").exists()


def test_a_folder_that_is_not_generated_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "thesis.txt"
    precious.write_text("chapter one", "utf-8")
    done = genproto("--wire", tmp_path)
    assert done.returncode == 1
    assert "not generated" in done.stderr
    assert precious.read_text("utf-8") == "chapter one"


def test_stubs_import_without_a_warning_and_without_anybody_elses_envoy() -> None:
    program = (
        f"import importlib, sys; [importlib.import_module(name) for name in {STUBS!r}];"
        "sys.exit(bool({'envoy', 'udpa', 'xds', 'validate', 'sluice'} & sys.modules.keys()))"
    )
    assert STUBS
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr


def test_stubs_say_nothing_about_the_machine_that_made_them() -> None:
    for path in ROOT.glob("wire/**/*.py*"):
        if "__pycache__" not in path.parts:
            text = path.read_text("utf-8")
            for private in (str(ROOT), sys.prefix, tempfile.gettempdir()):
                assert private not in text, f"{path.relative_to(ROOT)} mentions {private}"


@pytest.mark.parametrize(
    ("distribution", "pattern"),
    [
        ("grpcio", r"GRPC_GENERATED_VERSION = '([\d.]+)'"),
        ("protobuf", r"Protobuf Python Version: ([\d.]+)"),
    ],
    ids=["grpcio", "protobuf"],
)
def test_what_is_installed_beside_us_is_new_enough_for_the_stubs(
    distribution: str, pattern: str
) -> None:
    """Stubs refuse to be imported by a runtime older than their generator."""
    made_for = {
        version(found)
        for path in ROOT.glob("wire/**/*_pb2*.py")
        for found in re.findall(pattern, path.read_text("utf-8"))
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    line = next(d for d in project["dependencies"] if re.match(rf"{distribution}\b(?!-)", d))
    floor = re.search(r">=\s*([\d.]+)", line)
    assert floor is not None
    assert version(floor[1]) >= max(made_for), (
        f"raise the floor of {distribution} to what wire/ needs"
    )


def version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))
