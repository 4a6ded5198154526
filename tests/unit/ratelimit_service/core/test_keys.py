"""Store keys: nobody shares a counter who should not, whatever the values hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_service.core.keys import CounterKeys
from ratelimit_service.core.limit import Algorithm, Limit, Unit

if TYPE_CHECKING:
    from ratelimit_service.core.descriptor import Entries

MINUTE = Limit(requests_per_unit=1, unit=Unit.MINUTE)
HOUR = Limit(requests_per_unit=1, unit=Unit.HOUR)


def bucket_key(
    prefix: str, domain: str, entries: Entries, limit: Limit, *, ordinal: int = 1,
    shard_by: str = "", reference: bool = False,
) -> bytes:  # fmt: skip
    keys = CounterKeys(
        prefix, domain, limit, ordinal=ordinal, shard_by=shard_by, reference=reference
    )
    return keys.of(entries)


def test_a_key_has_the_promised_form() -> None:
    key = bucket_key("stage:", "demo", (("client_id", "alice"),), MINUTE).decode()
    head, digest, tail = key.replace("{", "|").replace("}", "|").split("|")
    assert (head, len(digest), tail) == ("stage:rate_limit:", 32, ":minute")


@pytest.mark.parametrize(
    ("story", "limit", "ending"),
    [
        ("a bucket by its unit", HOUR, b":hour"),
        ("and its multiplier", Limit(unit=Unit.MINUTE, unit_multiplier=5), b":5minute"),
        ("windows by their kind", Limit(unit=Unit.MINUTE, algorithm=Algorithm.SLIDING_WINDOW), b":minute.sliding"),
        ("fixed ones too", Limit(unit=Unit.DAY, algorithm=Algorithm.FIXED_WINDOW), b":day.fixed"),
        ("and the calendar's zone", Limit(unit=Unit.DAY, algorithm=Algorithm.FIXED_WINDOW, time_zone="Europe/Paris"), b":day.fixed.Europe/Paris"),
        ("neither name nor number part counters", Limit(unit=Unit.HOUR, requests_per_unit=7, burst=9, name="n"), b":hour"),
    ],
)  # fmt: skip
def test_counters_of_one_descriptor_are_parted_by_how_they_count(
    story: str, limit: Limit, ending: bytes
) -> None:
    key = bucket_key("", "d", (("a", "b"),), limit)
    assert key == bucket_key("", "d", (("a", "b"),), MINUTE).removesuffix(b":minute") + ending, (
        story
    )
    assert bucket_key("", "d", (("a", "b"),), limit, ordinal=2) == key + b".2"
    assert bucket_key("", "d", (("a", "b"),), limit, reference=True).endswith(b".reference")


def test_limits_of_one_client_share_a_slot_where_the_rule_says_so() -> None:
    one = bucket_key("", "d", (("client", "a"), ("path", "x")), MINUTE, shard_by="client").decode()
    two = bucket_key("", "d", (("client", "a"),), HOUR, shard_by="client").decode()
    other = bucket_key("", "d", (("client", "b"),), HOUR, shard_by="client").decode()
    assert one != two
    assert slot_tag(one) == slot_tag(two) != slot_tag(other)
    assert len(one) < 100


def test_a_key_without_the_entry_to_shard_by_is_as_any_other() -> None:
    entries = (("path", "x"),)
    assert bucket_key("", "d", entries, HOUR, shard_by="client") == bucket_key(
        "", "d", entries, HOUR
    )


def slot_tag(key: str) -> str:
    return key[key.index("{") : key.index("}")]


def test_joined_text_does_not_collide() -> None:
    one = bucket_key("", "d", (("user", "alice_path_x"),), MINUTE)
    two = bucket_key("", "d", (("user", "alice"), ("path", "x")), MINUTE)
    assert one != two


texts = st.text(alphabet="ab_|:{}\x00\n\ud800", max_size=4)
entry_lists = st.lists(st.tuples(texts, texts), max_size=3).map(tuple)


@given(texts, entry_lists, texts, entry_lists)
def test_equal_keys_mean_equal_descriptors(
    domain: str, entries: Entries, other_domain: str, other: Entries
) -> None:
    same = (domain, entries) == (other_domain, other)
    one, two = (domain, entries), (other_domain, other)
    assert (bucket_key("", *one, MINUTE) == bucket_key("", *two, MINUTE)) == same
    sharded = bucket_key("", *one, MINUTE, shard_by="a") == bucket_key(
        "", *two, MINUTE, shard_by="a"
    )
    assert sharded == same


@given(st.text(max_size=5000))
def test_a_key_is_short_and_printable_whatever_the_value(value: str) -> None:
    key = bucket_key("", "d", (("k", value),), MINUTE)
    assert len(key) < 64
    assert key.decode("ascii").isprintable()


@given(
    before=st.lists(st.tuples(st.text(), st.text()), max_size=3).map(tuple),
    key=st.text(),
    value=st.text(),
)
def test_keys_of_a_series_are_those_of_its_requests(before: Entries, key: str, value: str) -> None:
    keys = CounterKeys("p:", "d", MINUTE, ordinal=2)
    told = value.encode()
    series = keys.begin(before, key, len(told))
    assert series.of(told) == series.of(told) == keys.of((*before, (key, value)))
