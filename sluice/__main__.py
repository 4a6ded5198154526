"""`python -m sluice`: the command line where the script `sluice` is not installed."""

from __future__ import annotations

import sys

from sluice.cli import main

if __name__ == "__main__":
    sys.exit(main())
