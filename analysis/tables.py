"""Tables as CSV (every number), Markdown and LaTeX (as read); no library beyond the standard one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

_LATEX = {
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
_SYMBOLS = {
    "−": "$-$",
    "–": "--",
    "ρ": r"$\rho$",
    "≥": r"$\geq$",
    "×": r"$\times$",
    "†": r"$\dagger$",
    "—": "---",
}


@dataclass(frozen=True)
class Table:
    """A table: as it is read, the numbers behind it, and what a reader must know.

    Attributes:
        name: of its files.
        header, rows: formatted cells; the first `keys` columns are words, the rest numbers.
        data: what the CSV holds, unrounded.
    """

    name: str
    title: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    data: pd.DataFrame
    keys: int = 1
    designs: Sequence[str | None] = field(default=())  # of each row, for its colour


def save(table: Table, folder: Path) -> list[Path]:
    """Writes NAME.csv, NAME.md and NAME.tex; returns them."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{table.name}.{kind}" for kind in ("csv", "md", "tex")]
    table.data.to_csv(paths[0], index=False, float_format="%.8g", lineterminator="\n")
    paths[1].write_text(f"{markdown(table)}\n{table.caption}\n", encoding="utf-8")
    paths[2].write_text(latex(table), encoding="utf-8")
    return paths


def markdown(table: Table) -> str:
    """The table in Markdown, padded so that it reads in a terminal too."""
    cells = [list(table.header), *map(list, table.rows)]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in cells]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(table.header))]

    def line(row: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if i < table.keys else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if i < table.keys else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    return "\n".join([line(cells[0]), f"| {' | '.join(rule)} |", *map(line, cells[1:])]) + "\n"


def latex(table: Table) -> str:
    """The table for LaTeX with the package booktabs, without a float around it; the caption is a comment."""
    columns = "l" * table.keys + "r" * (len(table.header) - table.keys)
    body = [" & ".join(escape(cell) for cell in row) + r" \\" for row in table.rows]
    head = " & ".join(escape(cell) for cell in table.header) + r" \\"
    lines = [
        f"% {table.title}. {table.caption}",
        rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        r"\toprule",
        head,
    ]
    return "\n".join([*lines, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", ""])


def escape(text: str) -> str:
    """Text that LaTeX sets as it stands."""
    special = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "<": "$<$", ">": "$>$"}
    table = str.maketrans(_LATEX | _SYMBOLS | special)
    return text.translate(table)


def number(value: float, digits: int = 3) -> str:
    """A number with that many significant digits, no exponent between 0.001 and 10 million; — if there is none."""
    if value is None or not math.isfinite(value):
        return "—"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size < -3 or size >= 7:
        text = f"{value:.{digits - 1}e}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    else:
        text = f"{value:.{max(0, digits - 1 - size)}f}"
    return text.replace("-", "−")


def interval(low: float, high: float, digits: int = 3) -> str:
    """`[low, high]`, or the empty string."""
    return f"[{number(low, digits)}, {number(high, digits)}]" if math.isfinite(low) else ""


def fixed(value: float, places: int = 2) -> str:
    """A number with that many decimals; — if there is none."""
    if not math.isfinite(value):
        return "—"
    return f"{round(value, places) + 0.0:.{places}f}".replace("-", "−")  # + 0.0: no −0.00
