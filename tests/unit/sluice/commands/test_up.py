"""What `sluice up` says before it starts anything."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sluice.commands.up import _for_parts, _note_unasked_rules
from sluice.mesh.parts import choose
from sluice.mesh.plan import demo_rules
from sluice.mesh.voice import Voice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[tuple[Voice, Callable[[], str]]]:
    path = tmp_path / "said"
    err = os.open(path, os.O_WRONLY | os.O_CREAT)
    yield Voice(err=err), path.read_text
    os.close(err)


@pytest.mark.parametrize(
    ("files", "noted"),
    [
        ({"a.yaml": "domain: shop\ndescriptors: []\n"}, True),
        ({"a.yaml": "domain: shop\n", "b.yaml": "domain: demo\n"}, False),
        ({"a.yaml": "domain: [\n"}, False),
    ],
    ids=["another domain", "one of two", "a mistake, which the limiter tells"],
)
def test_rules_about_other_domains_than_envoy_asks_for_are_noted(
    tmp_path: Path,
    heard: tuple[Voice, Callable[[], str]],
    files: dict[str, str],
    *,
    noted: bool,
) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    for name, text in files.items():
        (rules / name).write_text(text)
    voice, said = heard
    _note_unasked_rules(rules, voice)
    expected = (
        f"no rule file in {rules} has domain demo, which this mesh's Envoy asks for: "
        "calls through Envoy are not limited\n"
    )
    assert said() == (expected if noted else "")


def test_the_demos_own_rules_are_what_its_envoy_asks_for(
    heard: tuple[Voice, Callable[[], str]],
) -> None:
    voice, said = heard
    _note_unasked_rules(demo_rules(), voice)
    assert said() == ""


def test_a_drain_that_does_not_fit_is_cut_and_it_is_said(
    heard: tuple[Voice, Callable[[], str]],
) -> None:
    voice, said = heard
    told = _for_parts({"SLUICE_DRAIN_SECONDS": "30"}, choose(None), voice)
    assert told["SLUICE_DRAIN_SECONDS"] == "3.5s"
    assert said().startswith("SLUICE_DRAIN_SECONDS=30 is cut to 3.5 s")
    assert (
        _for_parts({"SLUICE_DRAIN_SECONDS": "2"}, choose(None), voice)["SLUICE_DRAIN_SECONDS"]
        == "2"
    )
    assert said().count("\n") == 1
