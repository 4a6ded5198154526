"""The state folder: what stands where something else is needed is named, with what to do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sluice.mesh.state import StateFolder
from sluice.outcome import OperatorError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def use(root: Path) -> None:
    """Do with it what a run does."""
    with StateFolder.open(root) as state:
        state.folder("redis")
        state.write("envoy", "mesh.yaml", "static_resources: {}")
        state.log("redis")


def test_a_folder_is_used_again_and_again(tmp_path: Path) -> None:
    for _ in range(2):
        use(tmp_path / "new" / "state")
    assert (tmp_path / "new" / "state" / "envoy" / "mesh.yaml").read_text().startswith("static")


def make_file(path: Path) -> None:
    path.touch()


def make_folder(path: Path) -> None:
    path.mkdir()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("place", "make", "why"),
    [
        (".", make_file, "is no folder, and one is needed there: remove it"),
        ("log", make_file, "is no folder, and one is needed there: remove it"),
        ("redis", make_file, "is no folder, and one is needed there: remove it"),
        ("envoy", make_file, "is no folder, and one is needed there: remove it"),
        ("lock", make_folder, "is no file, and one is needed there: remove it"),
        ("lock", make_pipe, "is no file, and one is needed there: remove it"),
        ("envoy/mesh.yaml", make_folder, "is no file, and one is needed there: remove it"),
        ("envoy/mesh.yaml", make_pipe, "is no file, and one is needed there: remove it"),
        ("log/redis.log", make_folder, "is no file, and one is needed there: remove it"),
        ("log/redis.log", make_pipe, "is no file, and one is needed there: remove it"),
    ],
)
def test_what_is_in_the_way_is_named(
    tmp_path: Path, place: str, make: Callable[[Path], None], why: str
) -> None:
    root = tmp_path / "state"
    path = root if place == "." else root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)
    with pytest.raises(OperatorError) as raised:
        use(root)
    said = str(raised.value)
    assert said.startswith(f"the state folder {root}")
    assert f"{path} {why}, or choose another with --state DIR" in said
    assert "Errno" not in said


def test_a_folder_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OperatorError, match="cannot be made, as a part of its path is a file"):
        use(tmp_path / "file" / "state")
