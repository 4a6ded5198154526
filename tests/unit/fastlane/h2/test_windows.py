"""Receive windows: when more is announced, and when they grow."""

from __future__ import annotations

from fastlane.h2.windows import ReceiveWindow


def test_nothing_is_announced_before_half_is_consumed() -> None:
    window = ReceiveWindow(100, 100, now=0.0)
    assert window.consume(49, 10.0, 0.01) == 0
    assert window.consume(1, 10.0, 0.01) == 50


def test_what_is_consumed_becomes_available_again() -> None:
    window = ReceiveWindow(100, 100, now=0.0)
    window.available -= 80
    assert window.consume(80, 10.0, 0.01) == 80
    assert window.available == 100


def test_a_window_that_holds_a_fast_reader_up_doubles() -> None:
    window = ReceiveWindow(100, 1_000, now=0.0)
    window.available -= 60
    assert window.consume(60, 0.015, 0.01) == 160
    assert window.available == 200


def test_a_slow_reader_gets_no_larger_window() -> None:
    window = ReceiveWindow(100, 1_000, now=0.0)
    window.available -= 60
    assert window.consume(60, 1.0, 0.01) == 60


def test_growth_ends_at_the_limit() -> None:
    window = ReceiveWindow(100, 150, now=0.0)
    now = 0.0
    for _ in range(10):
        now += 0.001
        window.available -= 75
        window.consume(75, now, 0.01)
    assert window.size == 150
    assert window.available <= 150
