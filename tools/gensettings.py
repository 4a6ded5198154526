"""`make settings`: docs/settings.md from the Settings classes, the one place they are written.

tools/gensettings.py           write the page
tools/gensettings.py --check   exit 1 if the page is not what would be written
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from chassis.settings import describe
from ratelimit_service.config import Settings as RateLimitSettings

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
SERVICES = (("Rate limiter", "python -m ratelimit_service", RateLimitSettings),)
HEAD = """# Settings

Each service reads its settings from environment variables, once, at start. An empty variable counts
as unset. Mistakes are reported all together, and the service does not start. Durations are written
as in Go (`1h30m`, `250ms`) or as plain seconds. `/configz` on the ops port shows what is in force,
secrets masked.

This page is generated from the code (`make settings`).
"""


def page() -> str:
    """Return the text of docs/settings.md."""
    parts = [HEAD]
    for title, command, settings in SERVICES:
        parts.append(f"## {title}\n\n`{command}`\n")
        lines = ["| variable | default | value | what it sets |", "|---|---|---|---|"]
        for row in describe(settings):
            default = f"`{row.default}`" if row.default else ""
            doc = f"{row.doc} (secret)" if row.secret else row.doc
            lines.append(f"| `{row.env}` | {default} | {_cell(row.kind)} | {_cell(doc)} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description="Generate docs/settings.md.")
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 if it is old")
    text = page()
    if not parser.parse_args().check:
        PAGE.write_text(text)
        return 0
    if PAGE.exists() and PAGE.read_text() == text:
        return 0
    print("docs/settings.md is not what the code says; run: make settings", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
