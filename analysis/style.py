"""What a figure is, and how figures look: sizes for print, type of 7 to 9 points, embedded fonts, no frame."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from analysis.colours import REFERENCE, Look, named
from analysis.material import Width
from analysis.words import short_count

COLUMN, PAGE = 3.3, 6.9
"""Widths in inches of a figure that fills a column or a page."""
TALLEST = 9.2
"""Inches: what a page of a paper has room for."""
PNG_DPI = 200
GREY, QUIET = "#777777", "#c9c9c9"
"""Of words that stand for missing data, and of lines that are there for comparison alone."""
_DROPPED = "_drop_tables_default"
"""Where fontTools keeps the names of tables that it leaves out; matplotlib adds to them and has no option for it."""
_RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "wm",  # equal input, equal file
    "axes.unicode_minus": True,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.05,
}


@dataclass(frozen=True)
class Drawn:
    """A figure, every point in it, and what a reader must know: seeds, what is missing, kind of interval."""

    name: str
    title: str
    caption: str
    figure: Figure
    data: pd.DataFrame


@contextmanager
def print_style(tex: str | None = None) -> Iterator[None]:
    """Within it, figures are made and saved in the report's style; `tex` is the LaTeX that pgf is measured with."""
    pgf = {"pgf.texsystem": tex, "pgf.rcfonts": False} if tex else {}
    with rc_context(_RC | pgf), _fonts_without_layout():  # type: ignore[arg-type]  # the stubs list every key
        yield


@contextmanager
def _fonts_without_layout() -> Iterator[None]:
    """Fonts are embedded without the tables that lay text out: a PDF holds text laid out, and they take most time."""
    from fontTools.subset import Options

    before = list(getattr(Options, _DROPPED, []))
    setattr(Options, _DROPPED, [*before, "GSUB", "GPOS", "GDEF", "kern"])
    try:
        yield
    finally:
        setattr(Options, _DROPPED, before)


def save(drawn: Drawn, folder: Path, formats: Iterable[str], provenance: str) -> list[Path]:
    """Writes NAME.csv and NAME.<format>; the provenance goes into the metadata. Equal input gives equal files.

    Returns:
        The files written, the CSV first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{drawn.name}.csv"]
    drawn.data.to_csv(paths[0], index=False, float_format="%.8g", lineterminator="\n")
    about = {"Title": drawn.title, "Subject": drawn.caption, "Keywords": provenance, "CreationDate": None}
    metadata: dict[str, dict[str, Any]] = {
        "pdf": about,
        "png": {"Title": drawn.title, "Description": provenance, "Software": None},
        "svg": {"Title": drawn.title, "Description": provenance, "Date": None},
    }
    if drawn.figure.get_layout_engine() is not None:
        drawn.figure.draw_without_rendering()
        drawn.figure.set_layout_engine("none")  # what is laid out once stays, in every format
    for kind in formats:
        path = folder / f"{drawn.name}.{kind}"
        drawn.figure.savefig(path, dpi=PNG_DPI, metadata=metadata.get(kind))
        paths.append(path)
    return paths


def span(width: Width, natural: float = PAGE) -> float:
    """Inches of a figure's width; `natural` is what it needs where nobody says."""
    return {"column": COLUMN, "page": PAGE}.get(width, natural)


def panels(
    count: int,
    *,
    width: Width = "auto",
    least: float = 1.6,
    height: float = 1.9,
    share_y: bool = False,
    share_x: bool = False,
    alone: float = COLUMN,
    most: int = 6,
) -> tuple[Figure, list[Axes]]:
    """A figure of `count` equal panels, as many side by side as have `least` inches.

    Args:
        count: of panels.
        width: of the figure; `auto` is a page, or `alone` for a single panel.
        least: inches of a panel.
        height: inches of a panel.
        share_y: one scale for each row.
        share_x: one scale for all.
        alone: inches of the width of a single panel.
        most: panels side by side at most.
    """
    inch = span(width, alone if count == 1 else PAGE)
    across = max(1, min(count, most, int(inch / least + 1e-9)))
    across = -(-count // -(-count // across))  # as equal rows as there can be
    rows = -(-count // across)
    figure = Figure(figsize=(inch, rows * height + 0.15), layout="constrained")
    grid = figure.subplots(
        rows, across, squeeze=False, sharey="row" if share_y else False, sharex="all" if share_x else False
    )
    axes = list(grid.flat)
    for unused in axes[count:]:
        unused.set_axis_off()
    if share_x:  # the lowest panel of each column has the numbers
        for axis in axes[max(0, count - across) : count]:
            axis.tick_params(labelbottom=True)
    return figure, axes[:count]


def label_outer(axes: Sequence[Axes], x: str, y: str = "") -> None:
    """Labels x below the lowest panel of each column, and y left of the first panel of each row.

    Several rows have one label of y together.
    """
    lowest: dict[int, Axes] = {}
    rows, across = set(), 1
    for axis in axes:
        spec = axis.get_subplotspec()
        lowest[spec.colspan.start if spec else 0] = axis
        rows.add(spec.rowspan.start if spec else 0)
        across = spec.get_gridspec().ncols if spec else 1
        if y and (spec is None or spec.is_first_col()):
            axis.set_ylabel(y)
    room = max(0.6, axes[0].figure.get_figwidth() / across - 0.4)  # type: ignore[union-attr]  # no subfigures
    for axis in lowest.values():
        axis.set_xlabel(wrap(x, room, 7.5))
    if y and len(rows) > 1:
        for axis in axes:
            axis.set_ylabel("")
        axes[0].figure.supylabel(y, fontsize=7.5)


def legend_below(
    figure: Figure, looks: Mapping[str, Look], *, marker: bool = False, reference: str = ""
) -> None:
    """One legend for all panels, below them, in as many columns as fit; `reference` names the dashed line."""
    handles: list[Artist] = [
        Line2D(
            [], [], color=look.colour, ls="" if marker else look.line, marker=look.marker, label=name, ms=4
        )
        for name, look in named(looks).items()
    ]
    if reference:
        handles.append(Line2D([], [], color=REFERENCE.colour, ls="--", lw=1, label=reference))
    handles_below(figure, handles)


def handles_below(figure: Figure, handles: Sequence[Artist], title: str = "") -> None:
    """A legend of these below all panels, in as many columns as fit; the figure grows by its height."""
    if not handles:
        return
    width = figure.get_figwidth() - 0.1
    for handle in handles:
        handle.set_label(wrap(str(handle.get_label()), width - 0.45))
    lines = [str(handle.get_label()).count("\n") + 1 for handle in handles]
    across = len(handles)
    while across > 1 and _legend_width(handles, across) > width:
        across -= 1
    rows = -(-len(handles) // across)
    across = -(-len(handles) // rows)
    extra = 0.135 * rows * max(lines) + 0.1 + (0.15 if title else 0)
    figure.set_figheight(figure.get_figheight() + extra)
    legend = figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=across,
        columnspacing=1.2,
        handletextpad=0.6,
        labelspacing=0.35,
        borderpad=0.1,
        title=title or None,
    )
    legend.get_title().set_fontsize(7)


def _legend_width(handles: Sequence[Artist], across: int) -> float:
    """Inches of a legend in so many columns, which matplotlib fills one after the other."""
    rows = -(-len(handles) // across)
    columns = [handles[i : i + rows] for i in range(0, len(handles), rows)]
    return sum(max(inches(str(h.get_label())) for h in column) + 0.37 for column in columns)


def row_height(labels: Iterable[str], least: float) -> float:
    """Inches from row to row, of rows with these labels."""
    return max(least, 0.02 + 0.115 * max(label.count("\n") + 1 for label in labels))


def empty(axis: Axes, words: str = "no data") -> None:
    """Says in a panel that there is nothing to show, and why."""
    axis.text(0.5, 0.5, words, transform=axis.transAxes, ha="center", va="center", color=GREY, style="italic")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(visible=False)


@lru_cache(maxsize=4096)
def inches(text: str, size: float = 7) -> float:
    """Width of the widest line of a text in the style's font, `size` in points."""
    paths = [TextPath((0, 0), line, size=size) for line in text.split("\n") if line.strip()]
    return max((float(path.vertices[:, 0].max()) for path in paths), default=0.0) / 72


def wrap(text: str, width: float, size: float = 7) -> str:
    """Breaks a text into lines of at most `width` inches where possible: before a bracket, at blanks and hyphens."""
    name, bracket, rest = text.partition(" (")
    if bracket and inches(text, size) > width:
        return f"{wrap(name, width, size)}\n{wrap(f'({rest}', width, size)}"
    lines = [""]
    for part in re.findall(r"[^ -]+[ -]?|[ -]", text):
        if lines[-1] and inches((lines[-1] + part).rstrip(), size) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def thousands(axes: Axes) -> None:
    """Ticks of counts on x as 500, 2k, 1.5M."""
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_count(value)))


def log_ticks(axes: Axes) -> None:
    """Ticks of a logarithmic x axis as 500, 2k, 1.5M; a few of them however narrow it is."""
    low, high = axes.get_xlim()
    if high / low < _NARROW:
        middle = float(np.sqrt(low * high))
        low, high = middle / _NARROW, middle * _NARROW
        axes.set_xlim(low, high)
    decades = float(np.log10(high / low))
    subs = next(subs for least, subs in _SUBS if decades > least)
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_count(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


_NARROW = 1.4
_SUBS = ((2.0, (1.0,)), (1.0, (1.0, 3.0)), (0.6, (1.0, 2.0, 5.0)), (0.0, (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)))
"""Decades, and from there on the multiples of powers of ten that have a tick."""


def set_limits(axes: Axes, values: Iterable[float], *, at_least: float = 0.06) -> None:
    """Sets the y limits to what is drawn, with a margin; an interval of two seeds may leave them."""
    known = np.array([value for value in values if np.isfinite(value)])
    if len(known):
        low, high = known.min(), known.max()
        pad = max((high - low) * at_least, 1e-9 + 0.02 * abs(high))
        axes.set_ylim(low - pad, high + pad)
