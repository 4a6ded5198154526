"""What a Redis refused to a script, remembered until it is known that it would not refuse again.

A server may answer every PING and yet refuse every charge: out of memory, a script that runs for
ever, an ACL that was narrowed. So the last refusal is kept and shown, and the keeper asks again by
itself, because a process that is not ready gets no traffic to find out with.

It asks with a script that does nothing. What makes it tell: a script with a `#!lua` line is checked
BEFORE it runs (Redis 7.0, Valkey 8) for all that a writing script needs, unless flags say
otherwise: memory, a disk that can be saved to, enough replicas, being a primary. It is sent by
EVALSHA, or EVAL where it is unknown, with the key that was refused, so the same command and key
permissions and the same cluster slot are tried. Nothing is written, not even a key that expires.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import hiredis

from chassis.errors import Unavailable
from chassis.lua import Script
from chassis.redis_link import pack
from chassis.redis_replies import forbidden_inside, translate

if TYPE_CHECKING:
    from chassis.redis_link import Link

# In no file of its own: the line that makes the server check must be the first of the script.
PROBE: Final = Script("probe", "#!lua\nreturn 1")

# What a permission missing inside a script is remembered for, since the probe cannot see it: it
# does not know the script's commands. Long enough that a process does not flicker, short enough
# that it takes traffic again soon after the ACL was mended.
BLIND_SECONDS: Final = 10.0

# Refusals that say nothing about the next call.
_PASSING: Final = frozenset({"REDIS_CLUSTER_MOVING"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A script was refused: the error its caller got, its first key, and what cannot be probed.

    `blind_until` is 0.0, or for a refusal that the probe cannot see when it is forgotten, in
    seconds of time.monotonic().
    """

    error: Unavailable
    key: str | bytes | None
    blind_until: float = 0.0

    @property
    def ends_with_a_success(self) -> bool:
        """Whether a script that succeeds disproves it.

        One that only read says nothing about writing, and one that took another way nothing about
        commands it did not call.
        """
        return self.error.reason in ("REDIS_FORBIDDEN", "REDIS_TIMEOUT") and not self.blind_until


def refusal_of(error: Unavailable, text: str, key: str | bytes | None) -> Refusal | None:
    """Make of an error reply what is to be remembered, if it is."""
    if error.reason in _PASSING:
        return None
    blind_until = time.monotonic() + BLIND_SECONDS if forbidden_inside(text) else 0.0
    return Refusal(error=error, key=key, blind_until=blind_until)


async def still_refused(refusal: Refusal, link: Link) -> Refusal | None:
    """Ask again; None when a script would run. The caller bounds the time.

    An answer that is neither yes nor a refusal (the slot has moved; a server too old for the
    probe) ends the refusal: the next call finds out, and nobody waits for ever.
    """
    if refusal.blind_until:
        return refusal if time.monotonic() < refusal.blind_until else None
    keys = () if refusal.key is None else (refusal.key,)
    reply = await link.request(pack(("EVALSHA", PROBE.sha, len(keys), *keys)))
    if type(reply) is hiredis.ReplyError and str(reply).startswith("NOSCRIPT"):
        reply = await link.request(pack(("EVAL", PROBE.source, len(keys), *keys)))
    if type(reply) is not hiredis.ReplyError:
        return None
    error = translate(str(reply), link.address)
    if not isinstance(error, Unavailable):
        return None
    return refusal_of(error, str(reply), refusal.key)
