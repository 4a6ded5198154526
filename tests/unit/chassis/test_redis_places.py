"""Where servers say that others are: every form that means something, and none that does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.redis_places import MAX_NODES, SLOTS, master_address, redirection, slot_table
from chassis.redis_settings import Address

ASKED = Address("10.0.0.1", 7000)
THERE = Address("10.0.0.2", 7001)


def test_a_sentinel_names_the_master() -> None:
    assert master_address([b"10.0.0.2", b"7001"]) == THERE
    assert master_address([b"::1", b"7001"]) == Address("::1", 7001)


@pytest.mark.parametrize(
    "reply",
    [7, b"x", [], [b"h"], [b"h", b"1", b"2"], [b"h", b"x"], [b"h", b"0"], [b"h", b"99999"],
     [b"", b"1"], [None, b"1"], [b"a..b", b"1"], [b"a" * 64, b"1"], [b"a\0b", b"1"], ["h", 1]],
)  # fmt: skip
def test_what_is_no_address_of_a_master_is_refused(reply: Any) -> None:
    with pytest.raises(ValueError, match="no address"):
        master_address(reply)


def test_a_table_gives_the_primary_of_each_range() -> None:
    replica = [b"10.0.0.9", 7009, b"id"]
    reply = [[0, 99, [b"10.0.0.2", 7001, b"id", []], replica], [100, SLOTS - 1, [b"h", 1]]]
    assert slot_table(reply, ASKED) == [(0, 99, THERE), (100, SLOTS - 1, Address("h", 1))]
    assert slot_table([], ASKED) == []


@pytest.mark.parametrize("host", [None, b"", b"?"])
def test_a_host_the_cluster_does_not_know_is_the_one_we_asked(host: bytes | None) -> None:
    assert slot_table([[0, 1, [host, 7001]]], ASKED) == [(0, 1, Address("10.0.0.1", 7001))]


@pytest.mark.parametrize(
    "row",
    [7, [], [0, 1], [0, 1, b"h"], [0, 1, [b"h"]], [0, SLOTS, [b"h", 1]], [5, 4, [b"h", 1]],
     [-1, 4, [b"h", 1]], [b"0", b"1", [b"h", 1]], [0, 1, [b"h", 70000]], [0, 1, [b"a..b", 1]]],
)  # fmt: skip
def test_a_row_that_makes_no_sense_is_refused(row: Any) -> None:
    with pytest.raises(ValueError, match="a row that is none"):
        slot_table([[0, 1, [b"h", 1]], row], ASKED)


def test_a_table_of_too_many_nodes_is_refused() -> None:
    rows = [[slot, slot, [b"h", slot + 1]] for slot in range(MAX_NODES + 1)]
    assert len(slot_table(rows[:-1], ASKED)) == MAX_NODES
    with pytest.raises(ValueError, match="more than 1000 nodes"):
        slot_table(rows, ASKED)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("MOVED 3999 10.0.0.2:7001", THERE),
        ("ASK 3999 10.0.0.2:7001", THERE),
        ("MOVED 3999 :7001", Address("10.0.0.1", 7001)),
        ("MOVED 3999 ::1:7001", Address("::1", 7001)),
    ],
)
def test_a_redirection_says_where(text: str, where: Address) -> None:
    assert redirection(text, ASKED) == where


@pytest.mark.parametrize("text", ["MOVED", "MOVED 1", "MOVED 1 h", "MOVED 1 h:x", "ASK 1 a..b:1"])
def test_a_redirection_to_nowhere_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="to nowhere"):
        redirection(text, ASKED)


REPLIES = st.recursive(
    st.none() | st.integers() | st.binary(max_size=20) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=12,
)


@given(reply=REPLIES, text=st.text(max_size=40))
def test_whatever_comes_is_read_or_refused(reply: Any, text: str) -> None:
    for read in (
        lambda: master_address(reply),
        lambda: slot_table(reply, ASKED),
        lambda: redirection(text, ASKED),
    ):
        try:
            read()
        except ValueError as refused:
            assert len(str(refused)) < 200  # noqa: PT017  either outcome is right
