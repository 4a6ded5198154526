"""What is running here: the service's name, our version, Python and the machine."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib import metadata

DISTRIBUTION = "sluice-mesh"


def version() -> str:
    """Return the version of the installed distribution; `0.0.0+source` from a bare checkout."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "0.0.0+source"


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """The facts of `/buildz` and of the metrics' resource."""

    service: str
    version: str
    python: str
    platform: str


def this_build(service: str) -> Build:
    """Describe this process; `service` is its name, such as `ratelimit`."""
    return Build(
        service=service,
        version=version(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        platform=platform.platform(),
    )
