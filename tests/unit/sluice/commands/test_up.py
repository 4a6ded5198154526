"""What `sluice up` resolves before it starts anything."""

from __future__ import annotations

from pathlib import Path

import sluice
from sluice.commands.up import _for_parts


def test_parts_get_the_environment_of_the_command_and_find_our_packages() -> None:
    told = _for_parts({"HOME": "/home/ada", "PYTHONPATH": "/home/ada/lib"})
    assert told["HOME"] == "/home/ada"
    paths = told["PYTHONPATH"].split(":")
    assert str(Path(sluice.__file__).parent.parent) in paths
    assert paths[-1] == "/home/ada/lib"


def test_what_a_part_prints_is_in_its_log_when_it_dies() -> None:
    assert _for_parts({})["PYTHONUNBUFFERED"] == "1"
