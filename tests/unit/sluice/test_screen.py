"""What is printed for people, whatever is in it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from sluice.screen import console, plain, show, span, table


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"), (-1, "0 s"), (0.0000123, "12.3 us"), (0.000999, "999 us"), (0.0042, "4.2 ms"),
        (0.2, "200 ms"), (1, "1 s"), (12, "12 s"), (119, "119 s"), (120, "2 min"), (3600, "60 min"),
        (7200, "2 h"), (86_400, "24 h"), (2 * 86_400, "2 d"), (400 * 86_400, "400 d"),
    ],
)  # fmt: skip
def test_a_span_is_told_in_the_unit_that_fits(seconds: float, said: str) -> None:
    assert span(seconds) == said


def test_a_terminal_is_not_taken_over() -> None:
    assert plain("a\x1b[2J\nb\u202ec") == "a\\x1b[2J\\nb\\u202ec"
    assert plain("x" * 100, 10) == "x" * 9 + "…"
    assert plain("x" * 10, 10) == "x" * 10
    assert plain("ключ") == "ключ"


def test_a_table_too_wide_for_the_terminal_is_a_line_a_cell() -> None:
    screen = Console(width=43, file=io.StringIO(), emoji=False)
    shown = table("rule", "why", "key")
    for rule in ("one", "two"):
        shown.add_row(rule, "any x", f"rate_limit:{rule}:{'0' * 15}")
    one, two = "rate_limit:one:000000000000000", "rate_limit:two:000000000000000"
    for width, lines in (
        (43, ["rule why key", f"one any x {one}", f"two any x {two}"]),
        (42, ["rule one", "why any x", f"key {one}", "", "rule two", "why any x", f"key {two}"]),
    ):
        screen.file, screen.width = io.StringIO(), width
        show(screen, shown)
        assert [" ".join(line.split()) for line in screen.file.getvalue().splitlines()] == lines


def test_without_a_terminal_a_row_is_a_line_and_nothing_is_markup(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = table("one", "two", right=("two",))
    shown.add_row("[bold]" + "x" * 150, ":smile:")
    console().print(shown)
    title, row = capsys.readouterr().out.splitlines()
    assert title.split() == ["one", "two"]
    assert row == "[bold]" + "x" * 150 + "  :smile:"
