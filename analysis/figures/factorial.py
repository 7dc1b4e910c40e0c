"""Main effects and interactions of the factorial: a forest of both estimators, on the score and on the errors."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.factorial import RESPONSES, caption, effect_words, varies, where
from analysis.inference.factorial import Estimator
from analysis.material import Material, Width
from analysis.style import COLUMN, GREY, PAGE, QUIET, TALLEST, Drawn, handles_below, span, wrap

TITLE = "Effects of the design axes"
_LOOKS: dict[Estimator, tuple[str, str, str, float]] = {
    "contrast": ("contrast of the corners", "#0072B2", "o", -0.17),
    "mixed": ("mixed model", "#C24A00", "D", 0.17),
}
"""Words, colour, marker, and the place below the middle of an effect's line."""
_LINE, _AROUND = 0.25, 0.55
"""Inches of an effect, and of what else a panel needs."""
_LABEL = 1.4
"""Inches of a line of an effect's name at most."""
_PLAIN = {"facecolor": "white", "edgecolor": "none", "pad": 1}


def draw(material: Material) -> list[Drawn]:
    """The figure `factorial`: a panel a factorial and response; a figure a factorial where that is too tall.

    None without a factorial.
    """
    found = material.factorial
    if not found["value"].notna().any():
        return []
    whole = _figure(found, material.width)
    if whole.get_figheight() <= TALLEST:
        return [Drawn("factorial", TITLE, caption(found), whole, found)]
    drawn = []
    for block in _blocks(found):
        name = re.sub(r"[^a-z0-9]+", "-", where(block).lower()).strip("-")
        figure = _figure(block, material.width)
        drawn.append(Drawn(f"factorial_{name}", f"{TITLE}: {where(block)}", caption(block), figure, block))
    return drawn


def _blocks(found: pd.DataFrame) -> list[pd.DataFrame]:
    return [block for _, block in found.groupby(["data", "factorial", "held"], sort=False)]


def _figure(found: pd.DataFrame, wide: Width) -> Figure:
    blocks = _blocks(found)
    shown = [name for name in RESPONSES if (found["response"] == name).any()]
    effects = sorted(dict.fromkeys(found["effect"]), key=lambda effect: effect.count(":"))
    width = span(wide, PAGE if len(shown) > 1 else COLUMN * 1.3)
    across = len(shown) if width >= PAGE else 1
    panels = [(block[block["response"] == name], name) for block in blocks for name in shown]
    lines = [
        effects if across > 1 else [each for each in effects if (rows["effect"] == each).any()]
        for rows, _ in panels
    ]
    heights = [_LINE * max(1, len(each)) + _AROUND for each in lines[::across]]
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    grid = figure.subplots(len(heights), across, squeeze=False, sharey="row", height_ratios=heights)
    for axis, (rows, name), each in zip(grid.flat, panels, lines, strict=True):
        _panel(axis, rows, each, min(_LABEL, 0.34 * width))
        axis.set_xlabel(wrap(f"Effect on {RESPONSES[name].words}", width / across * 0.62))
    if len(blocks) > 1:
        for axis, block in zip(grid.flat[:: len(shown)], blocks, strict=True):
            axis.set_title(where(block), loc="left")
    _legend(figure, found)
    return figure


def _panel(axis: Axes, found: pd.DataFrame, effects: list[str], label: float) -> None:
    """A line an effect: both estimates with their intervals."""
    axis.axvline(0, color="black", lw=0.8, zorder=1)
    drawn = found[found["value"].notna()]
    for name, (_, colour, marker, below) in _LOOKS.items():
        rows = drawn[drawn["estimator"] == name]
        y = np.array([effects.index(effect) for effect in rows["effect"]], dtype=np.float64)
        y += below if len(set(drawn["estimator"])) > 1 else 0
        axis.hlines(y, rows["low"], rows["high"], color=colour, lw=1.6, alpha=0.55)
        axis.plot(rows["value"], y, ls="", marker=marker, ms=4.2, color=colour, mec="white", mew=0.4)
    for line, effect in enumerate(effects if len(found) else ()):
        if not (found["effect"] == effect).any():
            place = axis.get_yaxis_transform()
            axis.text(
                0.5,
                line,
                "not defined",
                transform=place,
                ha="center",
                va="center",
                color=GREY,
                style="italic",
            )
    mains = sum(":" not in effect for effect in effects)
    if mains < len(effects):
        axis.axhline(mains - 0.5, color=QUIET, lw=0.6)
    axis.set_yticks(range(len(effects)), [wrap(effect_words(effect), label) for effect in effects])
    axis.set_ylim(len(effects) - 0.45, -0.55)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)
    if found.empty:
        axis.text(0.5, 0.5, "no data", transform=axis.transAxes, ha="center", color=GREY, style="italic")
    left, right = axis.get_xlim()
    axis.set_xlim(min(left, -0.05 * right), max(right, -0.05 * left))


def _legend(figure: Figure, found: pd.DataFrame) -> None:
    drawn = set(found.loc[found["value"].notna(), "estimator"])
    bars = found.loc[found["estimator"] == "contrast", "low"].notna().any()
    scopes = {
        "contrast": "these tasks, 95 % interval over seeds" if bars else "these tasks, one seed: no interval",
        "mixed": "tasks like these, over tasks and seeds" if varies(found) else "these tasks, over seeds",
    }
    handles = [
        Line2D([], [], color=colour, marker=marker, ms=4.2, lw=1.6, label=f"{words} ({scopes[name]})")
        for name, (words, colour, marker, _) in _LOOKS.items()
        if name in drawn
    ]
    handles_below(figure, handles)
