"""What must be true of the demo's calls: answers in, broken expectations out, in sentences."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sluice.demo.calls import Answer

# The demo's rule (rules/demo.yaml): 100 calls a minute, a bucket that refills all the time.
CAPACITY: Final = 100
PER_SECOND: Final = CAPACITY / 60


def most_allowed(elapsed_seconds: float, unjudged: int) -> int:
    """Answer how many calls of a full bucket may pass in this time.

    What is in it, what refills meanwhile, one for the fraction of a call that was there before,
    and those Envoy let through without a verdict.
    """
    return CAPACITY + math.floor(elapsed_seconds * PER_SECOND) + 1 + unjudged


def limited_client(
    answers: Sequence[Answer], *, elapsed_seconds: float, unjudged: int
) -> Iterator[str]:
    """Judge the calls of a client that asked for more than its bucket holds."""
    passed = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status == 429]
    most = most_allowed(elapsed_seconds, unjudged)
    if not CAPACITY <= len(passed) <= most:
        yield f"{len(passed)} calls passed; {CAPACITY} to {most} were to"
    if len(passed) + len(refused) != len(answers):
        others = sorted({answer.status for answer in answers} - {200, 429})
        yield f"some calls were answered with status {', '.join(map(str, others))}"
    if not refused:
        yield "no call was refused"
    for answer in refused:
        if broken := list(refusal(answer)):
            yield f"a 429 {'; '.join(broken)}"
            return


def refusal(answer: Answer) -> Iterator[str]:
    """Judge the headers of one 429, which tell the client when to come back."""
    limit = re.match(r"\d+", answer.headers.get("x-ratelimit-limit", ""))
    if limit is None or int(limit[0]) != CAPACITY:
        yield f"has x-ratelimit-limit {answer.headers.get('x-ratelimit-limit')}, not {CAPACITY}"
    if answer.headers.get("x-ratelimit-remaining") != "0":
        yield f"has x-ratelimit-remaining {answer.headers.get('x-ratelimit-remaining')}, not 0"
    for name in ("x-ratelimit-reset", "retry-after"):
        if not answer.headers.get(name, "").isdigit():
            yield f"has {name} {answer.headers.get(name)}, not whole seconds"


def untouched_client(answers: Sequence[Answer]) -> Iterator[str]:
    """Judge the calls of a client that stayed within its bucket while another emptied its own."""
    refused = [answer.status for answer in answers if answer.status != 200]
    if refused:
        yield f"{len(refused)} calls of another client were answered with {refused[0]}, not 200"
