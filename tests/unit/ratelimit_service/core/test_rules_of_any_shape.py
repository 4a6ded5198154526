"""Rule files of any shape: rules that can be planned by, or problems with their places; no more."""

from __future__ import annotations

import pickle
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimit_service.core import allowances, rules, shifts
from ratelimit_service.core.descriptor import Descriptor
from ratelimit_service.core.plan import Policy
from ratelimit_service.core.planner import plan
from ratelimit_service.storage.rules_file import Sources

odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2**33),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.sampled_from(["", "*", "a*", "day", "22:00", "mon-fri", "UTC", "token_bucket", "local"]),
    st.lists(st.none(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
)
requests = st.integers(0, 2**32 - 1)


def maps(required: dict[str, Any], optional: dict[str, Any], keys: tuple[str, ...]) -> Any:
    """Return maps that are right but for now and then an odd value of one of `keys`."""
    spoiled = st.dictionaries(st.sampled_from(keys), odd, max_size=1)
    return st.builds(
        lambda good, bad, is_bad: {**good, **bad} if is_bad else good,
        st.fixed_dictionaries(required, optional=optional),
        spoiled,
        st.integers(0, 15).map(lambda number: number == 15),
    )


shift = maps(
    {"requests_per_unit": requests},
    {
        "days": st.sampled_from(["mon", "sat-tue", ["fri", "sun"]]),
        "from": st.sampled_from(["00:00", "22:00"]),
        "to": st.sampled_from(["06:00", "24:00"]),
        "time_zone": st.sampled_from(["UTC", "Asia/Kolkata"]),
    },
    shifts.SHIFT_KEYS,
)
limit = maps(
    {"unit": st.sampled_from(["second", "Day", "year"]), "requests_per_unit": requests},
    {
        "algorithm": st.sampled_from(["token_bucket", "sliding_window", "fixed_window"]),
        "name": st.sampled_from(["n", "m"]),
        "replaces": st.just([{"name": "x"}]),
        "schedule": st.lists(shift, max_size=2),
    },
    allowances._LIMIT_KEYS,
)
names = st.sampled_from(["k", "l", "k*"])
flags = {
    name: st.booleans() for name in ("shadow_mode", "quota_mode", "postpaid", "detailed_metric")
}


def descriptors(below: Any) -> Any:
    level = {"value": st.sampled_from(["v", "v*", "*"]), "descriptors": below}
    limited = {**level, **flags, "metadata": st.dictionaries(st.text(max_size=2), odd, max_size=2)}
    return st.lists(
        maps({"key": names}, level, rules._DESCRIPTOR_KEYS)
        | maps({"key": names, "rate_limit": limit}, limited, rules._DESCRIPTOR_KEYS),
        max_size=3,
        unique_by=lambda each: (str(each["key"]), str(each.get("value"))),
    )


files = maps(
    {"domain": st.just("d"), "descriptors": descriptors(descriptors(st.just([])))},
    {},
    ("domain", "descriptors", "else"),
)
ASKED = [Descriptor(entries=entries) for entries in (
    (("k", "v"),), (("l", "x"),), (("k", "v"), ("l", "v")), (("kk", ""),), ())]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(files, min_size=1, max_size=2), st.booleans(), st.floats(0, 4e9))
def test_any_rules_are_usable_or_refused_with_a_place(
    several: list[Any], merge: bool, now: float
) -> None:
    texts = [yaml.safe_dump(file, allow_unicode=True, sort_keys=False) for file in several]
    sources = Sources(
        files=tuple((f"{n}.yaml", text.encode()) for n, text in enumerate(texts)),
        problems=(),
        merge_domains=merge,
    )
    built = sources.built()
    found = built.rules
    if found is None:
        assert built.problems
        assert all(problem.line and problem.message for problem in built.problems)
        return
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301  what this test has made
    assert found.changes_after(now) > now
    for policy in (Policy(), Policy(reference=True, quota_mode=True)):
        made = plan(found, policy, "d", ASKED, now)
        assert len(made.items) == len(made.matches) == len(made.quotas) == len(ASKED)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet="{}[]:,-*&<!|>%@'\" \n\tab0#?~").map(str.encode))
def test_any_bytes_are_rules_or_problems(content: bytes) -> None:
    built = Sources(files=(("f.yaml", content),), problems=()).built()
    assert (built.rules is None) == bool(built.problems)
