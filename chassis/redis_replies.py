"""What Redis's error replies mean to us: the one place where its words become our errors.

A reply whose first word stands in the table is trouble of the store: UNAVAILABLE, so that the
caller's policy for failing stores decides. Any other is a mistake of ours (a wrong type, a Lua
error, an unknown command) and stays an exception of its own, a bug unless a storage expects it.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from chassis.errors import Unavailable

if TYPE_CHECKING:
    from chassis.redis_settings import Address


class Outcome(Enum):
    """Whether a failed command ran; the errors carry it as metadata `outcome`."""

    NOT_EXECUTED = "not_executed"
    UNKNOWN = "unknown"


_NOPERM = "the Redis user may not run this command; widen its ACL"
# What a script is told whose inner command the ACL forbids: Redis 7.2 and Valkey, Redis 7.0.
_FORBIDDEN_INSIDE: Final = ("ERR ACL failure in script", "ERR The user executing the script can't")
_CREDENTIALS = "wrong or no credentials; set REDIS_AUTH, or user:password in REDIS_URL"

# First word of the reply -> our reason, and what to tell a person.
TABLE: Final[dict[str, tuple[str, str]]] = {
    "LOADING": ("REDIS_LOADING", "it is loading its data set; it will answer when that is done"),
    "READONLY": ("REDIS_READONLY", "it is a read-only replica; point REDIS_URL at the primary"),
    "MASTERDOWN": ("REDIS_READONLY", "it is a replica without its primary; wait for the failover"),
    "BUSY": ("REDIS_BUSY", "a script has been running for too long there"),
    "OOM": ("REDIS_OUT_OF_MEMORY", "it is out of memory; raise its maxmemory"),
    "MISCONF": ("REDIS_NOT_PERSISTING", "it cannot save to disk and so refuses writes"),
    "NOREPLICAS": ("REDIS_NO_REPLICAS", "too few replicas are connected to it to accept writes"),
    "CLUSTERDOWN": ("REDIS_CLUSTER_DOWN", "the cluster does not serve this key's slot now"),
    "TRYAGAIN": ("REDIS_CLUSTER_MOVING", "the cluster is moving this key's slot"),
    "NOAUTH": ("REDIS_CREDENTIALS", _CREDENTIALS),
    "WRONGPASS": ("REDIS_CREDENTIALS", _CREDENTIALS),
    "NOPERM": ("REDIS_FORBIDDEN", _NOPERM),
}


class RedisReplyError(Exception):
    """Redis answered that the command is wrong. `code` is the reply's first word (`WRONGTYPE`)."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.code = first_word(text)


def first_word(text: str) -> str:
    """Return the code of an error reply."""
    return text.partition(" ")[0]


def forbidden_inside(text: str) -> bool:
    """Tell whether a script ran and one of its commands was forbidden to our user."""
    return text.startswith(_FORBIDDEN_INSIDE)


def translate(text: str, address: Address) -> Exception:
    """Turn an error reply's text into Unavailable, or RedisReplyError when it is our mistake."""
    found = TABLE.get(first_word(text))
    if found is None and "max number of clients" in text:
        found = ("REDIS_TOO_MANY_CLIENTS", "it accepts no more clients; raise its maxclients")
    if found is None and forbidden_inside(text):
        found = TABLE["NOPERM"]
    if found is None:
        return RedisReplyError(text)
    reason, advice = found
    # A refused command did not run. (A script that is refused half-way, by OOM or NOPERM inside
    # it, may have written before: only those who wrote it know.)
    return Unavailable(
        f"Redis at {address} refuses: {advice} ({text})",
        reason=reason,
        metadata={"outcome": Outcome.NOT_EXECUTED.value},
    )


def lost(address: Address, outcome: Outcome, why: str) -> Unavailable:
    """Build the error for a connection that is not there, or no longer."""
    return Unavailable(
        f"Redis at {address} is away: {why}",
        reason="REDIS_UNAVAILABLE",
        metadata={"outcome": outcome.value},
    )
