"""Where the rules come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sluice.mesh.plan import demo_rules, rules_folder
from sluice.outcome import OperatorError

if TYPE_CHECKING:
    from pathlib import Path


def test_without_anything_said_the_demos_rules_are_read() -> None:
    assert rules_folder(None, {}) == demo_rules()
    assert (demo_rules() / "demo.yaml").is_file()


def test_the_environment_may_name_the_rules_and_the_option_wins(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("domain: mine\n")
    environ = {"RUNTIME_ROOT": "/srv/rules"}
    assert rules_folder(None, environ) is None
    assert rules_folder(tmp_path, environ) == tmp_path


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
