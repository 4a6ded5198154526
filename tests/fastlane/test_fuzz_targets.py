"""A short form of each fuzzing target: it runs, begins with its seeds, and finds nothing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
RUNS: Final = 3_000

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris guides it: pip install atheris"
)


@pytest.mark.parametrize("target", ["connection", "http_one", "messages"])
def test_a_target_finds_nothing(target: str, tmp_path: Path) -> None:
    limits = [f"-atheris_runs={RUNS}", "-max_total_time=5", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(
        [sys.executable, "-m", f"tests.fuzz.{target}", *limits],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4_000:]
    assert "Done" in done.stderr
    assert "seed corpus: files: " in done.stderr
