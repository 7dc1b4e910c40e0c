"""Main effects and interactions of the factorial: a forest of both estimators, on the score and on the errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.factorial import RESPONSES, caption, effect_words, where
from analysis.inference.factorial import Estimator
from analysis.material import Material
from analysis.style import COLUMN, PAGE, Drawn, handles_below, span, wrap

_LOOKS: dict[Estimator, tuple[str, str, str, float]] = {
    "contrast": ("these tasks (contrast of the corners, 95 % interval over seeds)", "#0072B2", "o", -0.17),
    "mixed": ("tasks like these (mixed model, 95 % interval over tasks and seeds)", "#C24A00", "D", 0.17),
}
"""Words, colour, marker, and the place below the middle of an effect's line."""
_LINE, _AROUND = 0.22, 0.55
"""Inches of an effect, and of what else a panel needs."""


def draw(material: Material) -> list[Drawn]:
    """The figure `factorial`: a panel a factorial and response; none without a factorial."""
    found = material.factorial
    if not found["value"].notna().any():
        return []
    blocks = [block for _, block in found.groupby(["data", "factorial", "held"], sort=False)]
    shown = [name for name in RESPONSES if (found["response"] == name).any()]
    effects = sorted(dict.fromkeys(found["effect"]), key=lambda effect: effect.count(":"))
    width = span(material.width, PAGE if len(shown) > 1 else COLUMN * 1.3)
    across = len(shown) if width >= PAGE else 1
    panels = [(block, name) for block in blocks for name in shown]
    rows = len(panels) // across
    figure = Figure(figsize=(width, rows * (_LINE * len(effects) + _AROUND)), layout="constrained")
    grid = figure.subplots(rows, across, squeeze=False, sharey=True)
    for axis, (block, name) in zip(grid.flat, panels, strict=True):
        _panel(axis, block[block["response"] == name], effects)
        axis.set_xlabel(wrap(RESPONSES[name].words, width / across * 0.62))
        if name == shown[0] and len(blocks) > 1:
            axis.set_title(where(block), loc="left")
    labels = [wrap(effect_words(effect), 1.15) for effect in effects]
    for row in grid:
        row[0].set_yticks(range(len(effects)), labels)
        row[0].set_ylim(len(effects) - 0.45, -0.55)
    _legend(figure, found)
    return [Drawn("factorial", "Effects of the design axes", caption(found), figure, found)]


def _panel(axis: Axes, found: pd.DataFrame, effects: list[str]) -> None:
    """A line an effect: both estimates with their intervals."""
    axis.axvline(0, color="black", lw=0.8, zorder=1)
    for name, (_, colour, marker, below) in _LOOKS.items():
        rows = found[(found["estimator"] == name) & found["value"].notna()]
        y = np.array([effects.index(effect) for effect in rows["effect"]]) + below
        axis.hlines(y, rows["low"], rows["high"], color=colour, lw=1.6, alpha=0.55)
        axis.plot(rows["value"], y, ls="", marker=marker, ms=4.2, color=colour, mec="white", mew=0.4)
    mains = sum(":" not in effect for effect in effects)
    axis.axhline(mains - 0.5, color="#c9c9c9", lw=0.6)
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)
    left, right = axis.get_xlim()
    axis.set_xlim(min(left, -0.05 * right), max(right, -0.05 * left))


def _legend(figure: Figure, found: pd.DataFrame) -> None:
    drawn = set(found.loc[found["value"].notna(), "estimator"])
    handles = [
        Line2D([], [], color=colour, marker=marker, ms=4.2, lw=1.6, label=words)
        for name, (words, colour, marker, _) in _LOOKS.items()
        if name in drawn
    ]
    handles_below(figure, handles)
