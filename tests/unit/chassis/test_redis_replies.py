"""Redis's words become our errors."""

from __future__ import annotations

import pytest

from chassis.errors import Unavailable
from chassis.redis_replies import RedisReplyError, translate
from chassis.redis_settings import Address

HERE = Address("127.0.0.1", 6380)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("LOADING Redis is loading the dataset in memory", "REDIS_LOADING"),
        ("READONLY You can't write against a read only replica.", "REDIS_READONLY"),
        ("MASTERDOWN Link with MASTER is down", "REDIS_READONLY"),
        ("BUSY Redis is busy running a script.", "REDIS_BUSY"),
        ("OOM command not allowed when used memory > 'maxmemory'.", "REDIS_OUT_OF_MEMORY"),
        ("MISCONF Redis is configured to save RDB snapshots", "REDIS_NOT_PERSISTING"),
        ("NOREPLICAS Not enough good replicas to write.", "REDIS_NO_REPLICAS"),
        ("CLUSTERDOWN Hash slot not served", "REDIS_CLUSTER_DOWN"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", "REDIS_CLUSTER_MOVING"),
        ("NOAUTH Authentication required.", "REDIS_CREDENTIALS"),
        ("WRONGPASS invalid username-password pair", "REDIS_CREDENTIALS"),
        ("NOPERM this user has no permissions", "REDIS_FORBIDDEN"),
        ("ERR max number of clients reached", "REDIS_TOO_MANY_CLIENTS"),
    ],
)
def test_trouble_of_the_store_is_unavailable_and_did_not_run(text: str, reason: str) -> None:
    error = translate(text, HERE)
    assert isinstance(error, Unavailable)
    assert error.reason == reason
    assert error.metadata == {"outcome": "not_executed"}
    assert "127.0.0.1:6380" in error.message
    assert text in error.message


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("WRONGTYPE Operation against a key holding the wrong kind of value", "WRONGTYPE"),
        ("ERR unknown command 'FOO'", "ERR"),
        ("ETAG_MISMATCH somebody was first", "ETAG_MISMATCH"),
    ],
)
def test_our_own_mistakes_stay_what_they_are(text: str, code: str) -> None:
    error = translate(text, HERE)
    assert isinstance(error, RedisReplyError)
    assert (error.code, str(error)) == (code, text)
