"""The short form of `make bench`: it runs, counts every call in Redis, and prints its figures."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.servers import needed_program


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("bench", "arguments", "figures"),
    [
        ("ratelimit", ["--rounds", "1"], ["256 in flight, decisions/s", "batched : redis-py"]),
        ("keys", ["--rounds", "1"], ["1,000,000 clients over 1,000"]),
        ("shapes", ["--rounds", "1"], ["10 descriptors over one", "1,000 rules over 10"]),
        ("accuracy", ["--calls", "8000"], ["token_bucket: 5,000 of 8,000 calls passed"]),
        ("transport", [], ["drop-in over grpc.aio, calls a core", "stream messages a core"]),
    ],
)
def test_a_bench_measures(bench: str, arguments: list[str], figures: list[str]) -> None:
    needed_program("h2load", "nghttp2-client")
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{bench}", "--calls", "4000", *arguments],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    # 1: a figure missed its target, as so short a run on a busy machine may.
    assert done.returncode in {0, 1}, done.stderr
    for figure in figures:
        assert figure in done.stdout
    assert "Traceback" not in done.stderr
