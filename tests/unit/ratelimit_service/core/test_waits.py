"""What a refused caller is told to wait for: enough, and not a second too long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.charge import Charge, Mode
from ratelimit_service.core.judge import judge
from ratelimit_service.core.limit import Limit, Unit
from ratelimit_service.core.plan import Charged, Plan, Policy, charges_of
from ratelimit_service.core.rule import Allowance, Rule
from ratelimit_service.core.source import Place
from ratelimit_service.core.take import take
from ratelimit_service.core.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ratelimit_service.core.charge import Meter
    from ratelimit_service.core.take import Cells
    from ratelimit_service.core.verdict import Verdict

START = 1_795_561_835_147_696
SECOND = 1_000_000


def overs(verdict: Verdict) -> list[bool]:
    return [status.over for status in verdict.statuses]


limits = st.builds(
    Limit,
    requests_per_unit=st.integers(1, 20),
    unit=st.sampled_from([Unit.SECOND, Unit.MINUTE, Unit.DAY]),
)
PLACE = Place(file="rules.yaml", line=1, column=1)
TODAY = START // SECOND // 86_400


def days(limit: Limit) -> Window:
    return Window.calendar(limit, [86_400 * (TODAY + day) for day in (-1, 0, 1, 2)])


METERS: dict[str, Callable[[Limit], Meter]] = {
    "bucket": Bucket.of,
    "fixed": Window.fixed,
    "sliding": Window.sliding,
    "calendar": days,
}
MODES = [Mode.ENFORCED, Mode.POSTPAID, Mode.QUOTA, Mode.COUNTED]


@st.composite
def charged(draw: st.DrawFn, number: int) -> Charged:
    limit = draw(limits)
    mode = draw(st.sampled_from(MODES))
    kinds = ["fixed", "calendar"] if mode is Mode.COUNTED else list(METERS)
    meter = METERS[draw(st.sampled_from(kinds))](limit)
    hits = draw(st.integers(0, limit.capacity))
    rule = Rule(path="d.k", place=PLACE, allowances=(Allowance(limit=limit),))
    return Charged(limit, Charge(b"%d" % number, meter, meter.cost(hits), mode), rule)


def planned(items: Sequence[Charged]) -> Plan:
    quotas = tuple([item.charge.mode is Mode.QUOTA for item in items])
    return Plan(tuple(items), charges_of(items), False, (None,) * len(items), quotas, Policy())


@settings(deadline=None)  # long histories, busy machines
@given(st.data())
def test_what_was_refused_passes_after_the_wait_it_was_told(data: st.DataObject) -> None:
    """Whatever its meter and mode are, and as long as nobody else comes."""
    items = [data.draw(charged(number)) for number in range(data.draw(st.integers(1, 3)))]
    asked = planned(items)
    cells: Cells = {}
    now = START
    before = judge(asked, take(cells, [asked.charges], now))
    for _ in range(data.draw(st.integers(0, 20))):
        if any(overs(before)):
            break
        now += data.draw(st.integers(0, 3 * SECOND))
        before = judge(asked, take(cells, [asked.charges], now))
    assume(any(overs(before)))
    now += max(status.reset_us for status in before.statuses if status.over)
    after = judge(asked, take(cells, [asked.charges], now))
    for first, second in zip(before.statuses, after.statuses, strict=True):
        assert not (first.over and second.over)
    if all(item.charge.mode is Mode.ENFORCED for item in items):
        assert not after.over


@settings(deadline=None)  # long histories, busy machines
@given(st.data())
def test_an_enforced_request_passes_no_second_sooner_than_it_was_told(
    data: st.DataObject,
) -> None:
    item = data.draw(charged(0).filter(lambda item: item.charge.mode is Mode.ENFORCED))
    asked = planned([item])
    cells: Cells = {}
    now = START
    for _ in range(data.draw(st.integers(1, 30))):
        now += data.draw(st.integers(0, SECOND // 2))
        (status,) = judge(asked, take(cells, [asked.charges], now)).statuses
        if status.over:
            early = now + status.reset_us - SECOND - 1
            assert judge(asked, take(dict(cells), [asked.charges], early)).over or early < now
