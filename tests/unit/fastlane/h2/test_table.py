"""The dynamic table: what stays, what goes, and what counts as a change."""

from __future__ import annotations

from fastlane.h2.table import ALLOWED_BYTES, OVERHEAD_BYTES, DynamicTable

ENTRY = OVERHEAD_BYTES + 2  # a name and a value of one byte


def test_the_oldest_go_first() -> None:
    table = DynamicTable()
    table.resize(2 * ENTRY)
    for value in (b"1", b"2", b"3"):
        table.add(b"a", value)
    assert (table.names, table.values) == ([b"a", b"a"], [b"2", b"3"])


def test_an_entry_over_the_limit_empties_the_table() -> None:
    table = DynamicTable()
    table.resize(2 * ENTRY)
    table.add(b"a", b"1")
    table.add(b"a", bytes(2 * ENTRY))
    assert (table.names, table.values) == ([], [])
    table.add(b"b", b"2")
    assert table.values == [b"2"], "and it can be filled again"


def test_a_smaller_size_evicts_and_a_larger_one_brings_nothing_back() -> None:
    table = DynamicTable()
    for value in (b"1", b"2", b"3"):
        table.add(b"a", value)
    assert table.resize(ENTRY)
    assert table.resize(ALLOWED_BYTES)
    assert table.values == [b"3"]


def test_more_than_was_offered_is_refused_and_changes_nothing() -> None:
    table = DynamicTable()
    table.add(b"a", b"1")
    changes = table.changes
    assert not table.resize(ALLOWED_BYTES + 1)
    assert (table.changes, table.limit, table.values) == (changes, ALLOWED_BYTES, [b"1"])


def test_every_change_is_counted() -> None:
    table = DynamicTable()
    table.add(b"a", b"1")
    table.resize(0)
    assert table.changes == 2
    assert table.values == []
