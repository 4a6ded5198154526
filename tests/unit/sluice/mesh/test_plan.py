"""Where the rules come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from chassis.settings import load
from ratelimit_service.config import Settings
from sluice.mesh.plan import demo_rules, rules_folder, rules_of
from sluice.outcome import OperatorError


def test_without_anything_said_the_demos_rules_are_read() -> None:
    assert rules_folder(None, {}) == demo_rules()
    assert (demo_rules() / "demo.yaml").is_file()


def test_the_environment_may_name_the_rules_and_the_option_wins(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("domain: mine\n")
    environ = {"RUNTIME_ROOT": "/srv/rules"}
    assert rules_folder(None, environ) is None
    assert rules_folder(tmp_path, environ) == tmp_path


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({}, "/srv/config"),
        ({"RUNTIME_APPDIRECTORY": ""}, "/srv/config"),
        ({"RUNTIME_SUBDIRECTORY": "shop", "RUNTIME_APPDIRECTORY": "limits"}, "/srv/shop/limits"),
    ],
)
def test_the_folder_the_environment_names_is_the_limiters(
    environ: dict[str, str], folder: str
) -> None:
    environ = {"RUNTIME_ROOT": "/srv", **environ}
    assert rules_of(environ) == Path(folder) == load(Settings, environ).rules_directory


@pytest.mark.parametrize(
    ("name", "reason"), [("absent", "does not exist"), ("file", "not a folder"), (".", "is empty")]
)
def test_a_folder_without_rules_is_refused_with_the_reason(
    tmp_path: Path, name: str, reason: str
) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    if name == "file":
        (folder / name).touch()
    with pytest.raises(OperatorError, match=reason):
        rules_folder(folder / name, {})
