"""What is printed for people: tables of plain text, whatever strangers put into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Collection

# A file or a pipe has no width; what reads it wants a row a line.
_NO_WIDTH: Final = 400
_UNITS: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command line, which ends in good order when its reader has left."""
        self.quiet = True
        raise BrokenPipeError


def console() -> Console:
    """Make the console of a command. Texts are shown as they are: no markup, no emoji codes."""
    made = _Console(markup=False, highlight=False, emoji=False)
    if not made.is_terminal:
        made.width = _NO_WIDTH
    return made


def table(*titles: str, right: Collection[str] = ()) -> Table:
    """Make a table without lines; the columns of `right` are numbers."""
    made = Table(box=None, pad_edge=False)
    for title in titles:
        made.add_column(title, justify="right" if title in right else "left", overflow="fold")
    return made


def show(screen: Console, rows: Table) -> None:
    """Print a table; where it is too wide for the terminal, a line a cell: keys stay whole."""
    boundless = screen.options.update(width=_NO_WIDTH)
    if screen.measure(rows, options=boundless).maximum <= screen.width:
        screen.print(rows)
        return
    titles = [str(column.header) for column in rows.columns]
    records = table("", "")
    records.show_header = False
    for number, cells in enumerate(zip(*(column.cells for column in rows.columns), strict=True)):
        if number:
            records.add_row()
        for title, cell in zip(titles, cells, strict=True):
            records.add_row(title, cell)
    screen.print(records)


def plain(text: str, most: int = 0) -> str:
    """Return `text` on one line, cut to `most` characters if given.

    What callers of a service send may hold codes that would take a terminal over.
    """
    clean = "".join(
        character if character.isprintable() else repr(character)[1:-1]
        for character in (text[: most + 1] if most else text)
    )
    return clean if not most or len(clean) <= most else f"{clean[: most - 1]}…"


def span(seconds: float) -> str:
    """Return a span of time in the unit that fits it, with three digits."""
    if seconds <= 0:
        return "0 s"
    for length, unit in _UNITS:
        if seconds >= 2 * length or (unit == "s" and seconds >= 1):
            return f"{_three(seconds / length)} {unit}"
    if seconds >= 0.001:
        return f"{_three(seconds * 1000)} ms"
    return f"{_three(seconds * 1_000_000)} us"


def _three(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"
