"""The reference's variables for xDS: what they mean and what is refused."""

from __future__ import annotations

import pytest

from chassis.settings import SettingsError, load, masked
from chassis.xds_settings import XdsSettings

MIB = 1024 * 1024


def test_the_references_defaults() -> None:
    settings = load(XdsSettings, {})
    assert (settings.target, settings.node_id, settings.tls) == (
        "localhost:18000",
        "default",
        False,
    )
    assert (settings.backoff_first_seconds, settings.backoff_longest_seconds) == (10, 60)
    assert settings.connect_retry_seconds == 3
    assert settings.message_limit == 4 * MIB


@pytest.mark.parametrize(
    ("text", "metadata"),
    [
        ("zone=a,rack=7", {"zone": "a", "rack": "7"}),
        ('{"zone": "a", "rack": {"n": 7}, "spare": null}', {"zone": "a", "rack": {"n": 7}, "spare": None}),
        ("url=http://x?a=b", {"url": "http://x?a=b"}),
        ("{}", {}),
    ],
)  # fmt: skip
def test_node_metadata_is_json_or_pairs(text: str, metadata: dict[str, object]) -> None:
    assert load(XdsSettings, {"CONFIG_GRPC_XDS_NODE_METADATA": text}).node_metadata == metadata


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("CONFIG_GRPC_XDS_NODE_METADATA", "{zone}", "is not JSON"),
        ("CONFIG_GRPC_XDS_NODE_METADATA", '{"a": NaN}', "is not JSON"),
        ("CONFIG_GRPC_XDS_NODE_METADATA", "zone", "has a part without a key"),
        ("CONFIG_GRPC_XDS_SERVER_URL", "https://envoy-gateway:18001", "write host:port"),
        ("CONFIG_GRPC_XDS_CLIENT_TLS_CERT", "/certs/tls.crt", "stands alone"),
        ("CONFIG_GRPC_XDS_CLIENT_TLS_KEY", "/certs/tls.key", "stands alone"),
        ("CONFIG_GRPC_XDS_CLIENT_ADDITIONAL_HEADERS", "grpc-timeout:1S", "is gRPC's own"),
        ("CONFIG_GRPC_XDS_CLIENT_ADDITIONAL_HEADERS", "trace-bin:x", "is binary"),
        ("CONFIG_GRPC_XDS_CLIENT_ADDITIONAL_HEADERS", "x y:1", "no header's"),
        ("CONFIG_GRPC_XDS_CLIENT_ADDITIONAL_HEADERS", "x:ä", "not printable ASCII"),
        ("XDS_CLIENT_MAX_MSG_SIZE_IN_BYTES", "-1", "is out of bounds"),
        ("XDS_CLIENT_BACKOFF_INITIAL_INTERVAL", "0s", "is out of bounds"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_by_name(name: str, value: str, problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(XdsSettings, {name: value})
    (found,) = caught.value.problems
    assert found.startswith(name)
    assert problem in found


def test_headers_are_secrets() -> None:
    environ = {"CONFIG_GRPC_XDS_CLIENT_ADDITIONAL_HEADERS": "authorization:Bearer abc"}
    settings = load(XdsSettings, environ)
    assert settings.headers == {"authorization": "Bearer abc"}
    assert "abc" not in repr(settings)
    assert "abc" not in masked(settings)["CONFIG_GRPC_XDS_CLIENT_ADDITIONAL_HEADERS"]


def test_0_bytes_is_the_default_size() -> None:
    assert load(XdsSettings, {"XDS_CLIENT_MAX_MSG_SIZE_IN_BYTES": "0"}).message_limit == 4 * MIB
    assert (
        load(XdsSettings, {"XDS_CLIENT_MAX_MSG_SIZE_IN_BYTES": "9000000"}).message_limit
        == 9_000_000
    )


@pytest.mark.parametrize(
    ("environ", "waits"),
    [
        ({"XDS_CLIENT_BACKOFF_JITTER": "false"}, [(10, 10), (20, 20), (40, 40), (60, 60)]),
        ({}, [(5, 15), (10, 30), (20, 60), (30, 60)]),
        ({"XDS_CLIENT_BACKOFF_RANDOM_FACTOR": "0.1"}, [(9, 11), (18, 22), (36, 44), (54, 60)]),
        ({"XDS_CLIENT_BACKOFF_RANDOM_FACTOR": "0"}, [(10, 10), (20, 20), (40, 40), (60, 60)]),
        (
            {"XDS_CLIENT_BACKOFF_RANDOM_FACTOR": "3", "XDS_CLIENT_BACKOFF_JITTER": "false"},
            [(10, 10), (30, 30), (60, 60), (60, 60)],
        ),
    ],
)
def test_waits_grow_whatever_the_factor(
    environ: dict[str, str], waits: list[tuple[float, float]]
) -> None:
    backoff = load(XdsSettings, environ).stream_backoff()
    for low, high in waits:
        assert low <= backoff.delay_seconds() <= high


def test_connecting_is_tried_sooner_than_streams_that_break() -> None:
    settings = load(XdsSettings, {"XDS_CLIENT_BACKOFF_JITTER": "false"})
    backoff = settings.connect_backoff()
    assert [backoff.delay_seconds() for _ in range(6)] == [3, 6, 12, 24, 48, 60]
