"""Our modules as processes: whatever folder they are started in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import sluice
from sluice.mesh.interpreter import module_command, module_environ


def test_parts_get_the_environment_of_the_command_and_find_our_packages() -> None:
    told = module_environ({"HOME": "/home/ada", "PYTHONPATH": "/home/ada/lib"})
    assert told["HOME"] == "/home/ada"
    paths = told["PYTHONPATH"].split(":")
    assert str(Path(sluice.__file__).parent.parent) in paths
    assert paths[-1] == "/home/ada/lib"


def test_what_a_part_prints_is_in_its_log_when_it_dies() -> None:
    assert module_environ({})["PYTHONUNBUFFERED"] == "1"


def test_a_module_of_the_folder_it_is_started_in_does_not_take_ours_place(tmp_path: Path) -> None:
    for name in ("click", "sluice"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a stranger')")
    said = subprocess.run(
        module_command("sluice", "--version"),
        cwd=tmp_path,
        env=module_environ({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("sluice ")
