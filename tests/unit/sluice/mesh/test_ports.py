"""Which port a part gets: defaults, variables, blocks."""

from __future__ import annotations

import pytest

from sluice.mesh.ports import Port, assign_ports
from sluice.outcome import WrongUsage

PORTS = (
    Port(role="http", variable="FRONT_PORT", default=8000, offset=0),
    Port(role="grpc", variable="BACK_PORT", default=9000, offset=4),
)


def test_without_anything_said_the_defaults_hold() -> None:
    assert assign_ports(PORTS, first=None, environ={}) == {"FRONT_PORT": 8000, "BACK_PORT": 9000}


def test_a_variable_moves_its_port_and_an_empty_one_does_not() -> None:
    numbers = assign_ports(PORTS, first=None, environ={"FRONT_PORT": "8100", "BACK_PORT": ""})
    assert numbers == {"FRONT_PORT": 8100, "BACK_PORT": 9000}


def test_a_block_gives_fixed_places_and_beats_the_environment() -> None:
    numbers = assign_ports(PORTS, first=21000, environ={"FRONT_PORT": "8100"})
    assert numbers == {"FRONT_PORT": 21000, "BACK_PORT": 21004}


def test_every_wrong_variable_is_named_at_once() -> None:
    with pytest.raises(WrongUsage) as caught:
        assign_ports(PORTS, first=None, environ={"FRONT_PORT": "http", "BACK_PORT": "70000"})
    said = str(caught.value)
    assert "FRONT_PORT=http" in said
    assert "BACK_PORT=70000" in said
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("written", ["0", "-1", "65536", "8000.5"])
def test_a_number_that_is_no_port_is_refused(written: str) -> None:
    with pytest.raises(WrongUsage, match="FRONT_PORT"):
        assign_ports(PORTS, first=None, environ={"FRONT_PORT": written})


def test_two_ports_cannot_be_the_same() -> None:
    with pytest.raises(WrongUsage, match="BACK_PORT and FRONT_PORT are both 8000"):
        assign_ports(PORTS, first=None, environ={"BACK_PORT": "8000"})
