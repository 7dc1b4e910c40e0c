"""The claims: each estimate with its interval, the threshold that decides, and the verdict."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.claims.spec import CLAIMS, ClaimSpec, GapSpec, MarginSpec
from analysis.claims.types import Computed, Finding
from analysis.claims.verdicts import INNER
from analysis.figures.parts import sentences, told
from analysis.material import Material
from analysis.style import GREY, PAGE, Drawn, inches, span, wrap

COLOURS = {
    "supported": "#00614A",
    "contradicted": "#C24A00",
    "inconclusive": "#757575",
    "not testable": "#a9a9a9",
}
_MARKS = {"supported": "o", "contradicted": "X", "inconclusive": "D", "not testable": "."}
OF_SCORES = {"H1", "H2", "H5", "H9", "H10", "H11"}
"""Claims about differences (or slopes) of normalised score; the others are about correlations, ranks and shares."""
_EMPTY = 0.1
"""How far an axis without any estimate reaches."""
_LINE, _PAD, _TOP, _BELOW = 0.125, 0.09, 0.06, 0.42
"""Inches: a line of words, what is above and below those of a row, above all, below the rows of an axis."""


_LISTS = re.compile(r" \([^()]{60,}(\([^()]*\)[^()]*)*\)")
"""Long lists in brackets, which a caption has no room for."""


@dataclass(frozen=True)
class _Line:
    """A row of the figure: a claim, and one of the numbers that decide (none where it is not testable)."""

    finding: Finding
    number: Computed | None
    threshold: tuple[float, ...]


def draw(material: Material) -> list[Drawn]:
    """The figure `claims`: differences of scores above, correlations and the like below."""
    found = material.findings
    if not found or material.results.runs.empty:
        return []
    lines = [line for each in found for line in _lines(material, each)]
    width = span(material.width)
    left, right = (2.15, 1.75) if width >= PAGE else (1.25, 0.98)
    blocks = [[line for line in lines if (line.finding.id in OF_SCORES) == first] for first in (True, False)]
    rows = [_Rows.of(block, left - 0.2, right - 0.12) for block in blocks if block]
    height = sum(block.height + _BELOW for block in rows) + _TOP
    figure, top = Figure(figsize=(width, height)), _TOP
    for block in rows:
        bottom = height - top - block.height
        place = (left / width, bottom / height, (width - left - right) / width, block.height / height)
        _block(figure.add_axes(place), block)
        top += block.height + _BELOW
    return [Drawn("claims", "The claims and their verdicts", _caption(found), figure, _points(lines))]


@dataclass(frozen=True)
class _Rows:
    """Rows that share an axis: their names and words, and where they are, in inches from the top."""

    lines: list[_Line]
    names: list[str]
    words: list[str]
    edges: list[float]

    @classmethod
    def of(cls, lines: list[_Line], left: float, right: float) -> _Rows:
        """Wrapped to the room that there is at either side."""
        names, words = [_names(line, left) for line in lines], [_words(line, right) for line in lines]
        high = [
            _LINE * (max(name.count("\n"), said.count("\n")) + 1) + _PAD
            for name, said in zip(names, words, strict=True)
        ]
        return cls(lines, names, words, [0.0, *np.cumsum(high).tolist()])

    @property
    def height(self) -> float:
        """Inches."""
        return self.edges[-1]


def _block(axis: Axes, rows: _Rows) -> None:
    for i, (line, name, said) in enumerate(zip(rows.lines, rows.names, rows.words, strict=True)):
        y = (rows.edges[i] + rows.edges[i + 1]) / 2
        _draw_line(axis, y, line)
        for x, text, colour in ((0, name, "black"), (1, said, COLOURS[line.finding.verdict])):
            axis.annotate(
                text,
                (x, y),
                xycoords=("axes fraction", "data"),
                xytext=(4 if x else -4, 0),
                textcoords="offset points",
                ha="left" if x else "right",
                va="center",
                fontsize=7,
                color=colour,
                linespacing=1.15,
                annotation_clip=False,
            )
    _finish(axis, rows)


def _lines(material: Material, found: Finding) -> list[_Line]:
    """A line a number that decides; of an equivalence test the outer interval stands for both."""
    threshold = _threshold(material, found)
    numbers = [each for each in found.primary if each.name != INNER]
    return [_Line(found, each, threshold) for each in numbers] or [_Line(found, None, threshold)]


def _threshold(material: Material, found: Finding) -> tuple[float, ...]:
    """What the interval is compared with: 0, a margin, or both sides of one."""
    specs = [study.spec for study in material.results.studies]
    declaring = [spec for spec in specs if getattr(spec.claims, found.id) is not None]
    options: ClaimSpec = (declaring or specs)[0].options(found.id)
    if isinstance(options, MarginSpec):
        return (-options.margin, options.margin) if found.id == "H2" else (options.margin,)
    return (options.margin,) if isinstance(options, GapSpec) else (0.0,)


def _names(line: _Line, width: float) -> str:
    """The claim; of several numbers that decide also which one it is."""
    name = f"{line.finding.id} {line.finding.title}"
    if line.number is not None and len(line.finding.primary) > 1 and line.number.name != "difference":
        name += f" ({line.number.name.replace('_', ' ')})"
    return wrap(name, width)


def _words(line: _Line, width: float) -> str:
    """Verdict, numbers and n."""
    if line.number is None:
        return wrap(line.finding.verdict, width)
    number = line.number
    said = told(number.estimate)
    n = number.sample
    parts = [
        line.finding.verdict,
        *(said.replace(" [", "\n[").split("\n") if inches(said) > width else [said]),
        n,
    ]
    return "\n".join(wrap(part, width) if inches(part) > width else part for part in parts)


def _draw_line(axis: Axes, y: float, line: _Line) -> None:
    colour = COLOURS[line.finding.verdict]
    for at in line.threshold if line.number is not None else ():
        axis.plot([at, at], [y - 0.09, y + 0.09], color="black", lw=1, zorder=2)
    if line.number is None:
        axis.text(
            0.5,
            y,
            "not testable",
            transform=axis.get_yaxis_transform(),
            ha="center",
            va="center",
            color=GREY,
            style="italic",
            fontsize=7,
        )
        return
    found = line.number.estimate
    if np.isfinite(found.low):
        axis.plot([found.low, found.high], [y, y], color=colour, lw=1.8, solid_capstyle="butt", zorder=3)
    axis.plot(
        found.value,
        y,
        marker=_MARKS[line.finding.verdict],
        ms=5,
        color=colour,
        mec="white",
        mew=0.4,
        zorder=4,
    )


def _finish(axis: Axes, rows: _Rows) -> None:
    known = [0.0]
    for line in rows.lines:
        if line.number is not None:
            found = line.number.estimate
            known += [*line.threshold, found.value, found.low, found.high]
    known = [value for value in known if np.isfinite(value)]
    low, high = (min(known), max(known)) if max(known) > min(known) else (-_EMPTY, _EMPTY)
    pad = 0.06 * (high - low) + 0.02
    axis.set_xlim(low - pad, high + pad)
    axis.set_ylim(rows.height, 0)
    for edge in rows.edges[1:-1]:
        axis.axhline(edge, color="#e6e6e6", lw=0.5, zorder=0)
    axis.axvline(0, color="#bdbdbd", lw=0.8, zorder=1)
    axis.set_yticks([])
    axis.locator_params(axis="x", nbins=4)
    axis.spines["left"].set_visible(False)
    axis.grid(axis="y", visible=False)
    scores = rows.lines[0].finding.id in OF_SCORES
    axis.set_xlabel("Normalised score (difference)" if scores else "Correlation, tau or share")


def _points(lines: list[_Line]) -> pd.DataFrame:
    rows = []
    for line in lines:
        row: dict[str, Any] = {
            "claim": line.finding.id,
            "title": line.finding.title,
            "verdict": line.finding.verdict,
        }
        row["threshold"] = " ".join(f"{at:g}" for at in line.threshold)
        if line.number is not None:
            found = line.number.estimate
            row |= {"number": line.number.name, "words": line.number.words, "value": found.value}
            row |= {"low": found.low, "high": found.high, "n": found.n, "of": line.number.of}
            row |= {"interval": found.kind, "level": found.level, "note": line.number.note}
        rows.append(row)
    return pd.DataFrame(rows)


def _caption(found: list[Finding]) -> str:
    tested = [each for each in found if each.primary]
    levels = sorted({each.level for each in tested}) or [0.95]
    units = "; ".join(f"{each.id}: {_LISTS.sub('', each.primary[0].words)}" for each in tested)
    notes = "; ".join(f"{each.id}: {each.primary[0].note}" for each in tested if each.primary[0].note)
    untested = [each.id for each in found if not each.primary]
    undeclared = [each.id for each in tested if not each.declared]
    percent = " or ".join(f"{level * 100:g} %" for level in levels)
    return sentences(
        f"Points: estimates; bars: {percent} intervals; black strokes: the threshold of each claim.",
        "n counts the independent units: seeds, designs or tasks."
        if tested
        else "No runs, or too few seeds, for any.",
        f"Units: {units}." if units else "",
        f"Notes: {notes}." if notes else "",
        f"Not testable with these runs: {', '.join(untested)}." if untested else "",
        f"Thresholds not declared by a study, so defaults: {', '.join(undeclared)}." if undeclared else "",
        f"{len(found)} of {len(CLAIMS)} claims." if len(found) < len(CLAIMS) else "",
    )
