"""Tables as CSV (every number), Markdown and LaTeX (as read); no library beyond the standard one."""

from __future__ import annotations

import math
import re
import textwrap
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
    "|": r"\textbar{}",
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "<": "$<$",
    ">": "$>$",
    "−": "$-$",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "×": r"$\times$",
    "±": r"$\pm$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≠": r"$\neq$",
    "≈": r"$\approx$",
    "²": "$^2$",
    "³": "$^3$",
    "½": r"$\frac{1}{2}$",
    "·": r"$\cdot$",
    "→": r"$\to$",
    "∞": r"$\infty$",
    "†": r"$\dagger$",
    "\u03b1": r"$\alpha$",
    "β": r"$\beta$",
    "\u03b3": r"$\gamma$",
    "δ": r"$\delta$",
    "Δ": r"$\Delta$",
    "λ": r"$\lambda$",
    "μ": r"$\mu$",
    "µ": r"$\mu$",
    "ρ": r"$\rho$",
    "\u03c3": r"$\sigma$",
    "τ": r"$\tau$",
    "χ": r"$\chi$",
    "“": "``",
    "”": "''",
    "\u2018": "`",
    "\u2019": "'",
    "\u00a0": "~",
}
_ESCAPES = str.maketrans(_LATEX)
_LINE = 70
"""About as many characters go on the line of a page of an article in 10 points."""
_SHORT = 16
"""No column with fewer characters is broken into lines."""


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
    """The table for LaTeX with the package booktabs, without a float around it; the caption is a comment.

    Where rows are longer than the line of a page, long columns are broken into lines (which needs the package array).
    """
    columns = _columns(table)
    packages = "booktabs,array" if ">" in columns else "booktabs"
    comments = textwrap.wrap(f"{table.title}. {table.caption}", 96, break_long_words=False)
    lines = [
        f"% needs \\usepackage{{{packages}}}",
        *(f"% {line}" for line in comments),
        rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        r"\toprule",
        _row(table.header),
        r"\midrule",
        *map(_row, table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join([*lines, ""])


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(escape, cells)) + r" \\"


def _columns(table: Table) -> str:
    """The columns for `tabular`: as wide as they are, or such that the row fills a line."""
    widths = [max(map(len, column)) for column in zip(table.header, *table.rows, strict=True)]
    gaps = 2.5 * (len(widths) - 1)
    broken = [width > _SHORT for width in widths]
    if sum(widths) + gaps <= _LINE or not any(broken):
        return "l" * table.keys + "r" * (len(widths) - table.keys)
    left = _LINE - gaps - sum(width for width, long in zip(widths, broken, strict=True) if not long)
    total = sum(math.sqrt(width) for width, long in zip(widths, broken, strict=True) if long)
    found = []
    for i, (width, long) in enumerate(zip(widths, broken, strict=True)):
        words = i < table.keys
        share = max(left * math.sqrt(width) / total, 8) / _LINE
        side = "raggedright" if words else "raggedleft"
        wrapped = rf">{{\{side}\arraybackslash}}p{{{share:.2f}\linewidth}}"
        found.append(wrapped if long else "l" if words else "r")
    return "".join(found)


def escape(text: str) -> str:
    """Text that LaTeX sets as it stands, with what stands between backticks in typewriter type.

    Other letters than English ones are left: LaTeX reads them as UTF-8.
    """
    parts = re.split(r"`([^`]+)`", text)
    plain = [part.translate(_ESCAPES) for part in parts]
    return "".join(rf"\texttt{{{part}}}" if i % 2 else part for i, part in enumerate(plain))


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
