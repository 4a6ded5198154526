"""`python -m bench.memory`: what a client costs Redis in memory, for each way of counting.

    python -m bench.memory [--keys N]

Every client makes one hit, through the script that ships, on an embedded Valkey of its own; the
bytes are what the server says it uses, over the number of keys, expiry and all. A client of a
sliding window that hits in every slot costs the most: one of them is measured alone.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from bench.servers import started_valkey
from bench.target import Target, show
from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.charge import Charge
from ratelimit_service.core.keys import CounterKeys
from ratelimit_service.core.limit import Algorithm, Limit, Unit
from ratelimit_service.core.window import Window
from ratelimit_service.storage.take import SCRIPT, pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ratelimit_service.core.charge import Meter

KEYS = 100_000
BATCH = 500
PROMISED_BYTES = 200

METERS: dict[Algorithm, Callable[[Limit], Meter]] = {
    Algorithm.TOKEN_BUCKET: Bucket.of,
    Algorithm.FIXED_WINDOW: Window.fixed,
    Algorithm.SLIDING_WINDOW: Window.sliding,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 if a client costs more than is promised."""
    parser = argparse.ArgumentParser(description="Redis memory a client, in bytes")
    parser.add_argument("--keys", type=int, default=KEYS, help="distinct clients")
    keys = parser.parse_args(arguments).keys
    targets = []
    for algorithm in METERS:
        with _server() as client:
            found = _bytes_a_key(client, algorithm, keys)
        targets.append(Target(name=algorithm.value, value=found, limit=PROMISED_BYTES))
    status = show(targets)
    with _server() as client:
        busiest = _busiest_bytes(client)
    print(f"a sliding window with hits in all of its slots: {busiest} bytes")
    return status


@contextlib.contextmanager
def _server() -> Iterator[redis.Redis]:
    """Run an empty Valkey: what another bench left it frees when it likes."""
    with (
        tempfile.TemporaryDirectory() as folder,
        started_valkey(Path(folder)) as (port, _),
        redis.Redis(port=port) as client,
    ):
        yield client


def _charge(limit: Limit, number: int) -> Charge:
    meter = METERS[limit.algorithm](limit)
    key = CounterKeys("", "bench", limit).of((("client", f"client-{number}"),))
    return Charge(key, meter, meter.cost(1))


def _bytes_a_key(client: redis.Redis, algorithm: Algorithm, keys: int) -> float:
    # One hit is a quarter of an hour, so no key expires while the others are written.
    limit = Limit(requests_per_unit=100, unit=Unit.DAY, algorithm=algorithm)
    before = int(client.info("memory")["used_memory"])
    for first in range(0, keys, BATCH):
        numbers = range(first, min(first + BATCH, keys))
        _take(client, [[_charge(limit, number)] for number in numbers])
    written = client.dbsize()
    if written != keys:
        raise RuntimeError(f"{keys} clients made {written} keys")
    used = int(client.info("memory")["used_memory"])
    return (used - before) / keys


def _busiest_bytes(client: redis.Redis) -> int:
    """Return the size of the key of a client that never stops for longer than a period."""
    limit = Limit(requests_per_unit=1_000_000, unit=Unit.SECOND, algorithm=Algorithm.SLIDING_WINDOW)
    charge = _charge(limit, 0)
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        _take(client, [[charge]])
    return client.memory_usage(charge.key) or 0


def _take(client: redis.Redis, requests: Sequence[Sequence[Charge]]) -> None:
    keys, args = pack(requests)
    client.eval(SCRIPT.source, len(keys), *keys, *args)


if __name__ == "__main__":
    sys.exit(main())
