"""Lua scripts as files with a contract in their head, loaded once and named by their SHA-1.

The law of a script file, checked when it is loaded:

    -- What the script is for, in a sentence.
    -- KEYS[1]  what it is           (`-- KEYS: none` when there are none)
    -- ARGV[1]  what it is, its unit (`-- ARGV: none`)
    -- Returns  what comes back, with types

and at most 60 lines, because Redis serves nobody else while a script runs.
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


def load_script(package: str, filename: str) -> Script:
    """Read `<package>/lua/<filename>`; ValueError when its head breaks the law above.

    `package` is a dotted name such as `ratelimit_service.storage`, `filename` ends in `.lua`.
    """
    source = resources.files(package).joinpath("lua", filename).read_text(encoding="utf-8")
    faults = header_faults(source)
    if faults:
        raise ValueError(f"{package}/lua/{filename}: " + "; ".join(faults))
    return Script(filename.removesuffix(".lua"), source)


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
