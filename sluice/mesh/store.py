"""A Redis of the user's own: where it is, and whether it will serve before parts are started on it.

It is understood as the services will understand it, with the other REDIS_ variables, passed on to
them as it was given, and asked with their own door: what would keep them from being ready (a wrong
password, TLS or none, a certificate, a cluster or none, a narrow ACL) is said at once, in the words
they would say it in.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from chassis.errors import SluiceError
from chassis.masking import mask_value
from chassis.redis import RedisDoor, RedisReplyError, RedisSettings
from chassis.settings import load
from sluice.outcome import CannotReach

if TYPE_CHECKING:
    from collections.abc import Mapping

# A command has no log: what the door would write there, the sentence of the error says.
logging.getLogger("chassis").addHandler(logging.NullHandler())

# The services allow two seconds for each address; a list of several may be asked in turn.
ANSWER_SECONDS: Final = 10.0

# What passes by itself: the services wait for it, and `sluice up` says so meanwhile.
_PASSING: Final = frozenset({"REDIS_LOADING", "REDIS_BUSY", "REDIS_CLUSTER_MOVING"})

# Of the rate limiter's family of keys, which a user of the ACL must be allowed. Never written.
_KEY: Final = "rate_limit:{sluice up}:probe"


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """The Redis of a mesh. `embedded` is the part of this mesh; otherwise it is the user's own."""

    url: str
    embedded: bool

    @property
    def shown(self) -> str:
        """The URL for a person to read, without its password."""
        return mask_value(self.url)


def own_store(url: str, environ: Mapping[str, str]) -> Store:
    """Take the user's URL, and raise CannotReach in a sentence when it cannot be used as it is.

    Raises SettingsError when the URL is none, or does not go with the REDIS_ variables in
    `environ`. Runs an event loop of its own.
    """
    settings = load(RedisSettings, {**environ, "REDIS_URL": url})
    store = Store(url=url, embedded=False)
    trouble = asyncio.run(_trouble(settings, environ.get("SLUICE_KEY_PREFIX", "") + _KEY))
    if trouble:
        raise CannotReach(f"the Redis {store.shown} cannot be used: {trouble}")
    return store


async def _trouble(settings: RedisSettings, key: str) -> str:
    """Ask it as a service will; empty when it serves, or soon will by itself."""
    door = RedisDoor(settings, name="sluice up")
    await door.open()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await door.try_out(key)
    except TimeoutError:
        return f"it does not answer within {ANSWER_SECONDS:g} s"
    except SluiceError as error:
        return "" if error.reason in _PASSING else error.message
    except RedisReplyError:
        return ""  # it does not know what it was asked with, which the services do not need
    finally:
        await door.close()
    return ""
