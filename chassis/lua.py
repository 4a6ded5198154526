"""Lua scripts as files with a contract in their head, loaded once and named by their SHA-1.

The law of a script file, checked when it is loaded:

    -- What the script is for, in a sentence.
    -- KEYS[1]  what it is           (`-- KEYS: none` when there are none)
    -- ARGV[1]  what it is, its unit (`-- ARGV: none`)
    -- Returns  what comes back, with types

and at most 60 lines, because Redis serves nobody else while a script runs. A script may be
composed of several such files.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from importlib import resources

MAX_LINES = 60

_REQUIRED = (
    ("KEYS", re.compile(r"KEYS\b")),
    ("ARGV", re.compile(r"ARGV\b")),
    ("Returns", re.compile(r"Returns\b")),
)


@dataclass(frozen=True, slots=True)
class Script:
    """One Lua script; `sha` is what EVALSHA takes. Call it through a typed wrapper, never bare."""

    name: str
    source: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        # usedforsecurity: SHA-1 is Redis's name for a script, not a protection.
        digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)


@dataclass(frozen=True, slots=True)
class Function:
    """Files of a script that become the body of one `local function <name>()`.

    A script makes its functions anew at every call, so what few calls need is made on demand.
    """

    name: str
    filenames: tuple[str, ...]


def load_script(package: str, *parts: str | Function) -> Script:
    """Read `<package>/lua/<part>` and join them; ValueError when a head breaks the law above.

    `package` is a dotted name such as `ratelimit_service.storage`, a file name ends in `.lua`. The
    script is named by the last part, a file.
    """
    sources = []
    name = ""
    for part in parts:
        if isinstance(part, Function):
            body = "\n".join(_read(package, filename) for filename in part.filenames)
            sources.append(f"local function {part.name}()\n{body}\nend\n")
        else:
            name = part.removesuffix(".lua")
            sources.append(_read(package, part))
    return Script(name, "\n".join(sources))


def _read(package: str, filename: str) -> str:
    source = resources.files(package).joinpath("lua", filename).read_text(encoding="utf-8")
    faults = header_faults(source)
    if faults:
        raise ValueError(f"{package}/lua/{filename}: " + "; ".join(faults))
    return source


def header_faults(source: str) -> tuple[str, ...]:
    """List what breaks the law in this script; empty when nothing does."""
    lines = source.splitlines()
    faults = []
    if len(lines) > MAX_LINES:
        faults.append(f"it has {len(lines)} lines, at most {MAX_LINES} are allowed")
    header = []
    for line in lines:
        if not line.startswith("--"):
            break
        header.append(line.lstrip("-").strip())
    if not header or not header[0] or any(rule.match(header[0]) for _, rule in _REQUIRED):
        faults.append("its first line must say in a comment what it is for")
    for name, rule in _REQUIRED:
        if not any(rule.match(text) for text in header):
            faults.append(f"its head must have a comment line that starts with {name}")
    return tuple(faults)
