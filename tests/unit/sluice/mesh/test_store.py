"""The URL of a Redis of the user's own: understood as the services do, never shown with its password.

Whether it answers is asked of real servers in tests/integration/sluice/test_up_refusals.py.
"""

from __future__ import annotations

import pytest

from sluice.mesh.store import Store, own_store
from sluice.outcome import ExitCode, OperatorError


def test_a_list_is_shown_with_its_hosts_and_without_its_passwords() -> None:
    store = Store(url="redis://a:one@db1,redis://b:t@wo@db2", embedded=False)
    assert store.shown == "redis://a:******@db1,redis://b:******@db2"


@pytest.mark.parametrize(
    ("url", "environ", "why"),
    [
        ("http://127.0.0.1:6379", {}, "write redis://, rediss:// or unix://"),
        ("redis://", {}, "where host:port belongs"),
        ("redis://db:notaport", {}, "where host:port belongs"),
        ("redis://db:0", {}, "has port 0"),
        ("redis://a..b", {}, "where a host belongs"),
        ("unix://", {}, "names no socket"),
        ("a:1,b:2", {}, "set REDIS_TYPE=CLUSTER"),
        ("db:1", {"REDIS_TYPE": "SENTINEL"}, "write master-name,host:26379"),
        ("db:1", {"REDIS_TLS": "perhaps"}, "REDIS_TLS=perhaps"),
    ],
)
def test_what_the_services_would_not_understand_is_wrong_usage(
    url: str, environ: dict[str, str], why: str
) -> None:
    with pytest.raises(OperatorError) as raised:
        own_store(url, environ)
    assert raised.value.exit_code == ExitCode.USAGE
    assert why in str(raised.value)
