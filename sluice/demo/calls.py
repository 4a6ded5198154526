"""Calls through Envoy, one after the other, each measured."""

from __future__ import annotations

import http.client
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sluice.outcome import CannotReach

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The demo's route ends after 15 seconds by itself.
_CALL_SECONDS: Final = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back: `headers` by lower-case name, `seconds` from the request to the last byte."""

    status: int
    headers: Mapping[str, str]
    seconds: float


def call(address: str, client: str, times: int) -> list[Answer]:
    """Send GET / so many times as one client over one connection. Raises CannotReach."""
    connection = http.client.HTTPConnection(address, timeout=_CALL_SECONDS)
    try:
        return [_call_once(connection, client) for _ in range(times)]
    except (OSError, http.client.HTTPException) as error:
        raise CannotReach(f"Envoy at {address} did not answer client {client}: {error}") from error
    finally:
        connection.close()


def _call_once(connection: http.client.HTTPConnection, client: str) -> Answer:
    begun = time.monotonic()
    connection.request("GET", "/", headers={"x-client-id": client})
    response = connection.getresponse()
    response.read()
    return Answer(
        status=response.status,
        headers={name.lower(): value for name, value in response.getheaders()},
        seconds=time.monotonic() - begun,
    )


def unjudged_calls(admin: str) -> int:
    """Answer how many calls Envoy let through because it had no verdict in time."""
    connection = http.client.HTTPConnection(admin, timeout=_CALL_SECONDS)
    try:
        connection.request("GET", "/stats?filter=ratelimit.failure_mode_allowed$")
        text = connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise CannotReach(f"Envoy's admin at {admin} did not answer: {error}") from error
    finally:
        connection.close()
    return sum(int(number) for number in re.findall(r": (\d+)$", text, flags=re.MULTILINE))


def percentile_ms(answers: Sequence[Answer], share: float) -> float:
    """Answer the duration in milliseconds that this share (0 to 1) of the calls stays within."""
    durations = sorted(answer.seconds for answer in answers)
    return durations[min(len(durations) - 1, int(share * len(durations)))] * 1000
