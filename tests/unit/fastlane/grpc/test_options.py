"""Channel arguments."""

from __future__ import annotations

import math

from fastlane.grpc.options import Options, read_options


def test_nothing_given_means_grpcs_defaults() -> None:
    assert read_options(None) == Options()
    assert Options().max_receive == 4 * 1024 * 1024


def test_what_is_given_counts() -> None:
    options = read_options(
        [
            ("grpc.max_receive_message_length", 7),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_concurrent_streams", 9),
            ("grpc.max_metadata_size", 10_000),
            ("grpc.so_reuseport", 0),
            ("grpc.keepalive_time_ms", 1_500),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.max_connection_age_ms", 2**31 - 1),
            ("grpc.max_connection_idle_ms", 20),
            ("grpc.http2.max_ping_strikes", 0),
        ]
    )
    assert options.max_receive == 7
    assert options.max_send is None
    assert options.limits.concurrent_streams == 9
    assert options.limits.header_list_bytes == 10_000
    assert not options.reuse_port
    assert options.keepalive_time == 1.5
    assert not options.pings_need_calls
    assert options.max_age == math.inf
    assert options.max_idle == 0.02
    assert options.max_ping_strikes == 0


def test_both_names_of_the_ping_interval_are_known() -> None:
    for name in ("min_ping_interval_without_data_ms", "min_recv_ping_interval_without_data_ms"):
        assert read_options([(f"grpc.http2.{name}", 10)]).min_ping_interval == 0.01
