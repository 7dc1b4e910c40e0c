"""Tables that keep to the width of a terminal: whole words, no blanks at the end of a line."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

_GAP = 2
_INDENT = 4
_LEAST = 24
"""Columns below which a note stands on a line of its own."""


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    cells: Sequence[Text]

    @property
    def width(self) -> int:
        """In columns of the terminal."""
        return max(len(self.name), *(cell.cell_len for cell in self.cells), 0)


def width_of(columns: Sequence[Column]) -> int:
    """Of a table, in columns of the terminal."""
    return sum(column.width for column in columns) + _GAP * (len(columns) - 1)


def fitted(columns: Sequence[Column], droppable: Sequence[str], width: int) -> list[Column]:
    """The columns without those that say nothing, and without as many others as a width has no room for.

    Args:
        columns: of the table.
        droppable: names of columns that may be left out, the first first.
        width: of the terminal.
    """
    kept = [column for column in columns if column.name not in droppable or any(map(len, column.cells))]
    for name in droppable:
        if width_of(kept) <= width:
            break
        kept = [column for column in kept if column.name != name]
    return kept


def blocks(first: Column, others: Sequence[Column], width: int) -> Iterator[list[Column]]:
    """Tables below each other that all begin with one column, each as wide as a terminal allows."""
    block = [first]
    for column in others:
        if len(block) > 1 and width_of([*block, column]) > width:
            yield block
            block = [first]
        block.append(column)
    yield block


def sentences(text: str, width: int, style: str = "") -> Iterator[Text]:
    """A text as lines of whole words; what goes on in the next line is indented as it began."""
    from rich.text import Text

    for line in text.splitlines() or [""]:
        indent = line[: len(line) - len(line.lstrip())]
        for part in _wrapped(line, width, indent) or [""]:
            yield Text(part, style=style, no_wrap=True, overflow="ignore")


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def lines(columns: Sequence[Column], width: int, notes: Sequence[str] = ()) -> Iterator[Text]:
    """The lines of a table: a header, and a row for each cell.

    Args:
        columns: of equal length.
        width: of the terminal, to which notes are wrapped.
        notes: a last column of sentences, where there are any.
    """
    from rich.text import Text

    indent = width_of(columns) + _GAP
    beside = width - indent >= _LEAST
    noted = any(notes) and beside
    yield _joined(
        [*(Text(one.name, style="bold") for one in columns), Text("note" * noted, style="bold")], columns
    )
    for index in range(len(columns[0].cells)):
        row = [column.cells[index] for column in columns]
        note = notes[index] if index < len(notes) else ""
        left = indent if beside else _INDENT
        wrapped = _wrapped(note, max(_LEAST, width - left))
        if beside:
            row.append(Text(wrapped.pop(0) if wrapped else ""))
        yield _joined(row, columns)
        for line in wrapped:
            yield Text(" " * left + line)


def _joined(cells: Sequence[Text], columns: Sequence[Column]) -> Text:
    """A row; `cells` may have one more than there are columns."""
    from rich.text import Text

    row = Text(no_wrap=True, overflow="ignore")
    for index, cell in enumerate(cells):
        row.append_text(cell)
        if index < len(columns):
            row.append(" " * (columns[index].width - cell.cell_len + _GAP))
    row.rstrip()
    return row
