"""Store keys: nobody shares a counter who should not, whatever the values hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from ratelimit_service.core.keys import bucket_key
from ratelimit_service.core.limit import Limit, Unit

if TYPE_CHECKING:
    from ratelimit_service.core.descriptor import Entries

MINUTE = Limit(requests_per_unit=1, unit=Unit.MINUTE)
HOUR = Limit(requests_per_unit=1, unit=Unit.HOUR)


def test_a_key_has_the_promised_form() -> None:
    key = bucket_key("stage:", "demo", (("client_id", "alice"),), MINUTE).decode()
    head, digest, tail = key.replace("{", "|").replace("}", "|").split("|")
    assert (head, len(digest), tail) == ("stage:rate_limit:", 32, ":minute")


def test_the_unit_parts_the_counters_of_one_descriptor() -> None:
    entries = (("a", "b"),)
    assert bucket_key("", "d", entries, MINUTE) != bucket_key("", "d", entries, HOUR)


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
    same = bucket_key("", domain, entries, MINUTE) == bucket_key("", other_domain, other, MINUTE)
    assert same == ((domain, entries) == (other_domain, other))


@given(st.text(max_size=5000))
def test_a_key_is_short_and_printable_whatever_the_value(value: str) -> None:
    key = bucket_key("", "d", (("k", value),), MINUTE)
    assert len(key) < 64
    assert key.decode("ascii").isprintable()
