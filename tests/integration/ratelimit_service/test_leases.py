"""Leases on a real Valkey: many clients of one limit in several processes."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.ratelimit_service.leasing_clients import LIMIT

if TYPE_CHECKING:
    from tests.servers import Server

ROOT = Path(__file__).parents[3]
PROCESSES, CLIENTS, SECONDS = 4, 50, 4.0


def test_two_hundred_clients_of_four_processes_get_what_the_limit_says(valkey: Server) -> None:
    words = [str(valkey.port), str(PROCESSES), str(CLIENTS), str(SECONDS)]
    command = [sys.executable, "-m", "tests.integration.ratelimit_service.leasing_clients", *words]
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            for _ in range(PROCESSES)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        started = time.monotonic()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [json.loads(process.communicate(timeout=40)[0]) for process in processes]
        took = time.monotonic() - started
    admitted, held = (sum(one[what] for one in said) for what in ("admitted", "held"))
    assert admitted <= LIMIT.capacity + LIMIT.requests_per_unit * took
    # Nobody was refused for what others held, once they had given it back.
    assert admitted >= (LIMIT.capacity + LIMIT.requests_per_unit * SECONDS) * 0.9
    assert held > admitted / 4, "and many answers were leased"
