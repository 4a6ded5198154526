"""Many attackers at once, for a while: each on a connection of its own, anew when it is ended."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from tests.fastlane.attacker import Attacker

if TYPE_CHECKING:
    from collections.abc import Callable

# Requests sent between two looks at what has come back.
_BATCH: Final = 20


class Crowd:
    """So many attackers that send what `make(attacker, stream_id)` returns until `end`."""

    def __init__(
        self,
        port: int,
        make: Callable[[Attacker, int], bytes],
        *,
        size: int,
        seconds: float,
        reconnects: bool = False,
    ) -> None:
        self.sent = 0
        """Bytes that the server took."""
        self._port = port
        self._make = make
        self._reconnects = reconnects
        self._until = time.monotonic() + seconds
        self._threads = [threading.Thread(target=self._attack, daemon=True) for _ in range(size)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until all have given up."""
        for thread in self._threads:
            thread.join()

    def _attack(self) -> None:
        while time.monotonic() < self._until:
            try:
                with Attacker(self._port, patience=1.0) as attacker:
                    self._flood(attacker)
            except OSError:
                continue

    def _flood(self, attacker: Attacker) -> None:
        stream_id = 1
        while time.monotonic() < self._until and not attacker.closed:
            data = b"".join(
                self._make(attacker, one) for one in range(stream_id, stream_id + 2 * _BATCH, 2)
            )
            stream_id += 2 * _BATCH
            sent = attacker.send(data)
            self.sent += sent
            if sent < len(data) or self._reconnects:
                return
            attacker.glance()
