"""What a figure is, and how figures look: sizes for print, type of 7 to 9 points, embedded fonts, no frame."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis.colours import REFERENCE, Look
from analysis.words import short_count

COLUMN, PAGE = 3.3, 6.9
"""Widths in inches of a figure that fills a column or a page."""
PNG_DPI = 200
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
def print_style() -> Iterator[None]:
    """Within it, figures are made and saved in the report's style."""
    with rc_context(_RC):  # type: ignore[arg-type]  # the stubs list every key
        yield


def save(drawn: Drawn, folder: Path, formats: Iterable[str], provenance: str) -> list[Path]:
    """Writes NAME.csv and NAME.<format>; the provenance goes into the metadata. Equal input gives equal files.

    Returns:
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{drawn.name}.csv"]
    drawn.data.to_csv(paths[0], index=False, float_format="%.8g", lineterminator="\n")
    for kind in formats:
        path = folder / f"{drawn.name}.{kind}"
        if kind == "pdf":
            metadata = {
                "Title": drawn.title,
                "Subject": drawn.caption,
                "Keywords": provenance,
                "CreationDate": None,
            }
        else:
            metadata = {"Title": drawn.title, "Description": provenance, "Software": None}
        drawn.figure.savefig(path, dpi=PNG_DPI, metadata=metadata if kind in {"pdf", "png"} else None)
        paths.append(path)
    return paths


def panels(
    count: int, *, columns: int = 3, height: float = 2.1, share_y: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure of `count` equal panels: one fills a column, more share a page's width."""
    across = min(count, columns)
    rows = -(-count // across)
    figure = Figure(figsize=(COLUMN if across == 1 else PAGE, rows * height + 0.5), layout="constrained")
    grid = figure.subplots(rows, across, squeeze=False, sharey="row" if share_y else False)
    axes = list(grid.flat)
    for unused in axes[count:]:
        unused.set_axis_off()
    return figure, axes[:count]


def legend_below(
    figure: Figure, looks: dict[str, Look], *, marker: bool = False, reference: str = ""
) -> None:
    """One legend for all panels, below them, in as many columns as fit; `reference` names the dashed line."""
    handles = [
        Line2D(
            [], [], color=look.colour, ls="" if marker else look.line, marker=look.marker, label=name, ms=4
        )
        for name, look in looks.items()
    ]
    if reference:
        handles.append(Line2D([], [], color=REFERENCE.colour, ls="--", lw=1, label=reference))
    width = figure.get_figwidth()
    longest = max((len(str(handle.get_label())) for handle in handles), default=1)
    fit = max(1, int(width / (0.062 * longest + 0.45)))
    rows = -(-len(handles) // fit)
    figure.set_figheight(figure.get_figheight() + 0.15 * rows)
    columns = -(-len(handles) // rows) if handles else 1
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, columnspacing=1.2)


def inches(text: str, size: float = 7) -> float:
    """Width of the widest line of a text in the style's font, `size` in points."""
    paths = [TextPath((0, 0), line, size=size) for line in text.split("\n") if line.strip()]
    return max((float(path.get_extents().x1) for path in paths), default=0.0) / 72


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
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_count(value)))


def set_limits(axes: Axes, values: Iterable[float], *, at_least: float = 0.06) -> None:
    """Sets the y limits to what is drawn, with a margin; an interval of two seeds may leave them."""
    known = np.array([value for value in values if np.isfinite(value)])
    if len(known):
        low, high = known.min(), known.max()
        pad = max((high - low) * at_least, 1e-9 + 0.02 * abs(high))
        axes.set_ylim(low - pad, high + pad)
