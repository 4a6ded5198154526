"""One run's choices, resolved: what every part is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sluice
from sluice.outcome import OperatorError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluice.mesh.state import StateFolder
    from sluice.mesh.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is known before the first part starts.

    `ports` has every port of every part by variable, chosen or not: a part finds its neighbours
    there even when another run holds them. `rules` is None when the environment names the rules.
    """

    ports: Mapping[str, int]
    environ: Mapping[str, str]
    state: StateFolder
    store: Store
    envoy: Path | None
    rules: Path | None


def rules_folder(chosen: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Answer where the rules are: the user's folder, the environment's (None), or the demo's."""
    if chosen is None:
        return None if environ.get("RUNTIME_ROOT") else demo_rules()
    if not chosen.exists():
        raise OperatorError(f"--rules {chosen} does not exist: name a folder with rule files")
    if not chosen.is_dir():
        raise OperatorError(
            f"--rules {chosen} is not a folder: name the folder the rule file is in"
        )
    try:
        files = [path for path in chosen.iterdir() if path.is_file()]
    except OSError as error:
        raise OperatorError(f"--rules {chosen} cannot be read: {error.strerror}") from error
    if not files:
        raise OperatorError(
            f"--rules {chosen} is empty: put a rule file in it; {demo_rules()} holds an example"
        )
    return chosen.absolute()


def rules_of(environ: Mapping[str, str]) -> Path:
    """Answer the folder that the environment names, as the limiter joins it."""
    folder = Path(environ["RUNTIME_ROOT"], environ.get("RUNTIME_SUBDIRECTORY", ""))
    return folder / (environ.get("RUNTIME_APPDIRECTORY") or "config")


def demo_rules() -> Path:
    """Answer the folder with the demo's rules."""
    return Path(sluice.__file__).parent / "demo" / "rules"
