"""`python -m bench.keys`: what clients cost that were never seen, beside a thousand known ones.

    python -m bench.keys [--calls N] [--rounds N]

Four connections with 64 calls in flight on each, measured in turn on one service. CPU is taken from
the processes themselves. What a client costs Redis in memory: `python -m bench.memory`.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.caller import body
from bench.ratelimit import RULES
from bench.servers import started_sluice, started_valkey
from bench.shapes import Load, measure_in_turn, median_ratio, report
from bench.target import Target, show
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FEW, MANY = 1_000, 1_000_000
PROMISED_RATIO = 1.3
# A stride without a common factor: no key comes again before all the others have.
_STRIDE: Final = 7_919


def requests(keys: int) -> Iterator[bytes]:
    """Yield the bodies of `keys` clients in turn, for ever; all of one length."""
    request = RateLimitRequest(domain="bench")
    request.descriptors.add().entries.add(key="client_id", value="client-0000000")
    known = body(request.SerializeToString()).removesuffix(b"0000000")
    for number in itertools.count():
        yield known + b"%07d" % (number * _STRIDE % keys)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure few clients and many in turn; return 1 if the many cost more than is promised."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, default=40_000, help="calls a round (40000)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each (7)")
    options = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "config").mkdir()
        (folder / "config/bench.yaml").write_text(RULES)
        store_port, store = stack.enter_context(started_valkey(folder))
        service = stack.enter_context(started_sluice(folder, store_port))
        loads = [Load(f"{keys:,} clients", service, requests(keys)) for keys in (FEW, MANY)]
        few, many = measure_in_turn(loads, store, options.calls, options.rounds)
    report(loads, [few, many])
    name = f"{MANY:,} clients over {FEW:,}, service CPU"
    return show([Target(name=name, value=median_ratio(many, few), limit=PROMISED_RATIO)])


if __name__ == "__main__":
    sys.exit(main())
