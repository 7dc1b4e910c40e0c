"""Heat maps with their numbers written in them: what the figures of planners and of cross-training share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap

Floats = npt.NDArray[np.float64]
SCORES: Colormap = LinearSegmentedColormap.from_list("scores", ["#f4f6f8", "#9ecae1", "#3182bd", "#08306b"])
"""Of normalised scores from 0 to 1: light to dark, so that it prints in grey."""


def heat(axis: Axes, values: Floats, low: float = 0.0, high: float = 1.0, *, numbers: bool = True) -> None:
    """Draws values [rows, columns] as cells, each with its number; cells that are NaN stay white.

    Args:
        axis: where to; rows run down from 0, columns to the right.
        values: what is drawn.
        low: of the colours.
        high: likewise; what lies beyond has the last colour.
        numbers: whether cells say their value.
    """
    rows, columns = values.shape
    shown = np.ma.masked_invalid(values)
    axis.imshow(shown, cmap=SCORES, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    for y, x in zip(*np.nonzero(np.isfinite(values)), strict=True):
        if numbers:
            value = values[y, x]
            dark = (value - low) / (high - low) > 0.55
            said = (
                f"{value:.2f}".replace("-", "−").replace("0.", ".", 1) if abs(value) < 1 else f"{value:.1f}"
            )
            colour = "white" if dark else "black"
            axis.text(x, y, said, ha="center", va="center", fontsize=7, color=colour)
    axis.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    axis.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
    axis.grid(which="major", visible=False)
    axis.grid(which="minor", color="white", linewidth=1)
    axis.tick_params(which="both", length=0)
    for side in axis.spines.values():
        side.set_visible(False)
