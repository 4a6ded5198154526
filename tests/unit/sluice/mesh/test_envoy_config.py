"""Envoy's file: found in a checkout and in a wheel, rendered completely or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from sluice.mesh.envoy_config import config_folder, read_template, render
from sluice.mesh.parts import all_ports
from sluice.mesh.ports import assign_ports
from sluice.outcome import OperatorError

if TYPE_CHECKING:
    from pathlib import Path


def test_placeholders_become_ports() -> None:
    assert render("a: ${FRONT_PORT}\nb: $$5\n", {"FRONT_PORT": 8000}) == "a: 8000\nb: $5\n"


def test_every_unknown_placeholder_is_named_with_its_line() -> None:
    with pytest.raises(OperatorError) as caught:
        render("a: ${FRONT_PORT}\nb: ${BACK_PORT}\nc: ${SIDE_PORT}\n", {"FRONT_PORT": 8000})
    first, second = str(caught.value).splitlines()
    assert first.startswith("mesh.yaml:2: no port is called BACK_PORT")
    assert second.startswith("mesh.yaml:3: no port is called SIDE_PORT")


def test_a_lone_dollar_is_named_with_its_line() -> None:
    with pytest.raises(OperatorError, match=r"mesh\.yaml:1: a lone \$"):
        render("price: 5$\n", {})


def test_the_meshs_file_renders_to_yaml_with_every_port_a_number() -> None:
    ports = assign_ports(all_ports(), first=21000, environ={})
    rendered = render(read_template(), ports)
    assert "$" not in rendered
    document = yaml.safe_load(rendered)
    assert document["admin"]["address"]["socket_address"]["port_value"] == 21001


def test_a_wheel_carries_the_file_inside_the_package(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "sluice"
    (package / "envoy").mkdir(parents=True)
    assert config_folder(package) == package / "envoy"


def test_a_checkout_has_it_beside_the_package(tmp_path: Path) -> None:
    package = tmp_path / "sluice"
    package.mkdir()
    assert config_folder(package) == tmp_path / "envoy"


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"cannot be read.*install sluice-mesh again"):
        read_template(tmp_path)
