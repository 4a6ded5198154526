"""Limits shared among Envoys: never more than the limit, and nothing idle that somebody wants."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ratelimit_service.core.limit import Unit
from tests.unit.ratelimit_service.core.test_rules import build
from tests.unit.ratelimit_service.service.envoys import Envoy, World

if TYPE_CHECKING:
    from ratelimit_service.core.descriptor import Entries

ALICE: Entries = (("user", "alice"),)


def rules(requests: int, unit: Unit, burst: int | None = None, more: str = "") -> str:
    size = "" if burst is None else f", burst: {burst}"
    return f"""
domain: d
descriptors:
  - key: user
    rate_limit: {{unit: {unit.name.lower()}, requests_per_unit: {requests}{size}}}
{more}"""


@dataclass(frozen=True)
class Act:
    """Something that happens, and the seconds that pass after it."""

    kind: str
    who: int
    how_many: int
    seconds: float


ACTS = st.builds(
    Act,
    kind=st.sampled_from(
        ["ask"] * 6 + ["rush"] * 3 + ["caller", "break", "kill", "join", "move", "drain", "store"]
    ),
    who=st.integers(0, 5),
    how_many=st.integers(0, 30),
    seconds=st.one_of(st.floats(0, 2), st.sampled_from([0.0, 5.0, 6.0, 12.0])),
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    requests=st.integers(1, 300),
    unit=st.sampled_from([Unit.HOUR, Unit.HOUR, Unit.MINUTE, Unit.SECOND]),
    burst=st.one_of(st.none(), st.integers(1, 300)),
    acts=st.lists(ACTS, min_size=5, max_size=40),
    delays=st.lists(st.floats(0, 1.9), min_size=1, max_size=20),
)
def test_all_envoys_together_never_pass_more_than_the_limit(
    requests: int, unit: Unit, burst: int | None, acts: list[Act], delays: list[float]
) -> None:
    world = World(build(rules(requests, unit, burst)), replicas=3)
    numbers = iter(range(10**9))

    def delay() -> float:
        return delays[next(numbers) % len(delays)]

    envoys = [Envoy(world, delay), Envoy(world, delay, replica=1)]
    rate, capacity = Fraction(requests, unit.seconds), requests if burst is None else burst
    direct = 0
    for act in acts:
        envoy = envoys[act.who % len(envoys)]
        match act.kind:
            case "ask":
                envoy.requests(ALICE, act.how_many)
            case "rush":
                for one in envoys:  # the lost and the dead as well: what they hold they may spend
                    one.requests(ALICE, capacity)
            case "caller":
                direct += calls(world, min(act.how_many, 20))
            case "break":
                envoy.break_link()
            case "kill":
                envoy.kill()
            case "join" if len(envoys) < 6:
                envoys.append(Envoy(world, delay, replica=act.who % 3))
            case "move":
                envoy.replica = act.how_many % 3
                envoy.break_link()
            case "drain":
                world.replicas[act.who % 3].drain()
            case "store":
                world.store_is_away = not world.store_is_away
        passed = sum(envoy.admitted for envoy in envoys) + direct
        assert passed <= capacity + rate * Fraction(world.elapsed)
        world.run(act.seconds)


def calls(world: World, count: int) -> int:
    """Make ShouldRateLimit calls; return how many passed."""
    limiter = world.limiters[0]
    from ratelimit_service.core.descriptor import Descriptor

    asked = limiter.ask(limiter.edition, "d", (Descriptor(entries=ALICE),))
    passed = []
    for _ in range(count):
        limiter.decide(asked, None, lambda verdict, _: passed.append(verdict and not verdict.over))
    return sum(1 for one in passed if one)
