"""The circuit breaker: what opens it, what it lets through, what closes it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chassis.breaker import (
    FAILURES_TO_OPEN,
    FIRST_OPEN_SECONDS,
    LONGEST_OPEN_SECONDS,
    BreakerState,
    CircuitBreaker,
)


def opened(at: float = 0.0, chance: float = 1.0) -> CircuitBreaker:
    breaker = CircuitBreaker(chance=lambda: chance)
    for _ in range(FAILURES_TO_OPEN):
        breaker.failed(at)
    return breaker


def test_it_opens_after_so_many_failures_in_a_row_and_then_refuses() -> None:
    breaker = CircuitBreaker(chance=lambda: 1.0)
    for _ in range(FAILURES_TO_OPEN - 1):
        breaker.failed(0)
        assert breaker.allows(0)
    breaker.failed(0)
    assert not breaker.allows(0)
    assert not breaker.allows(FIRST_OPEN_SECONDS * 0.99)


def test_a_success_between_failures_starts_the_count_again() -> None:
    breaker = CircuitBreaker()
    for _ in range(10):
        for _ in range(FAILURES_TO_OPEN - 1):
            breaker.failed(0)
        breaker.succeeded()
    assert breaker.allows(0)


def test_after_its_time_one_trial_passes_and_no_second() -> None:
    breaker = opened()
    assert breaker.allows(FIRST_OPEN_SECONDS)
    assert breaker.state is BreakerState.HALF_OPEN
    assert not breaker.allows(FIRST_OPEN_SECONDS)


def test_a_successful_trial_closes_it() -> None:
    breaker = opened()
    breaker.allows(FIRST_OPEN_SECONDS)
    breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED
    assert breaker.allows(FIRST_OPEN_SECONDS)


def test_a_failed_trial_opens_it_for_twice_as_long() -> None:
    breaker = opened()
    breaker.allows(FIRST_OPEN_SECONDS)
    breaker.failed(FIRST_OPEN_SECONDS)
    assert not breaker.allows(FIRST_OPEN_SECONDS * 2.9)
    assert breaker.allows(FIRST_OPEN_SECONDS * 3)


def test_a_trial_that_is_never_heard_of_again_does_not_block_for_ever() -> None:
    breaker = opened()
    breaker.allows(1.0)
    assert not breaker.allows(1.0 + LONGEST_OPEN_SECONDS * 0.99)
    assert breaker.allows(1.0 + LONGEST_OPEN_SECONDS)


def test_a_probe_closes_it_at_once_and_forgets() -> None:
    breaker = opened()
    breaker.reset()
    assert breaker.allows(0)
    breaker.failed(0)
    assert breaker.allows(0)


def test_the_open_time_is_drawn_from_its_upper_half() -> None:
    breaker = opened(chance=0.0)
    assert not breaker.allows(FIRST_OPEN_SECONDS * 0.49)
    assert breaker.allows(FIRST_OPEN_SECONDS * 0.5)


@given(
    st.lists(st.tuples(st.floats(0, 5), st.booleans()), max_size=200),
    st.floats(0, 1, exclude_max=True),
)
def test_however_it_went_it_asks_again_within_the_longest_pause(
    history: list[tuple[float, bool]], chance: float
) -> None:
    breaker = CircuitBreaker(chance=lambda: chance)
    now = 0.0
    for step, worked in history:
        now += step
        if breaker.allows(now):
            breaker.succeeded() if worked else breaker.failed(now)
    assert breaker.allows(now + LONGEST_OPEN_SECONDS)


def test_a_thousand_failed_trials_do_not_overflow() -> None:
    breaker = opened()
    now = 0.0
    for _ in range(2000):
        now += LONGEST_OPEN_SECONDS
        assert breaker.allows(now)
        breaker.failed(now)
