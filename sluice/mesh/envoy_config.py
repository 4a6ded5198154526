"""Envoy's configuration: the readable file of the project, found and rendered with real ports."""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import TYPE_CHECKING, Final

import sluice
from sluice.outcome import OperatorError

if TYPE_CHECKING:
    from collections.abc import Mapping

_FILE: Final = "mesh.yaml"
_DOMAIN: Final = re.compile(r"^\s*domain: (\S+)$", re.MULTILINE)


def config_folder(package: Path = Path(sluice.__file__).parent) -> Path:
    """Answer where Envoy's YAML lives: inside the installed package, or beside it in a checkout."""
    shipped = package / "envoy"
    return shipped if shipped.is_dir() else package.parent / "envoy"


def read_template(folder: Path | None = None) -> str:
    """Answer the text of the mesh's Envoy file, placeholders and all."""
    path = (folder or config_folder()) / _FILE
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise OperatorError(
            f"Envoy's configuration {path} cannot be read ({error.strerror}): "
            "install sluice-mesh again, or run it from a whole checkout"
        ) from error


def asked_domain(template: str) -> str:
    """Answer the rate-limit domain that the file has Envoy ask about; the first of several."""
    found = _DOMAIN.search(template)
    return found[1] if found else ""


def render(template: str, ports: Mapping[str, int]) -> str:
    """Put the ports in place of the ${VARIABLE} placeholders.

    Every placeholder without a port is named at once, with its line: an Envoy file with one left
    in it fails in Envoy, with words that do not point here.
    """
    wrong = [
        f"{_FILE}:{number}: {problem}"
        for number, line in enumerate(template.splitlines(), start=1)
        for problem in _problems(line, ports)
    ]
    if wrong:
        raise OperatorError("\n".join(wrong))
    return string.Template(template).substitute(ports)


def _problems(line: str, ports: Mapping[str, int]) -> list[str]:
    template = string.Template(line)
    if not template.is_valid():
        return ["a lone $ is no placeholder; write $$ for a dollar sign"]
    known = ", ".join(sorted(ports))
    return [
        f"no port is called {name}; the ports are {known}"
        for name in template.get_identifiers()
        if name not in ports
    ]
