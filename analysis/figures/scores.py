"""Score by design: the seeds, their mean and its interval, beside the random agent."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.colours import REFERENCE, Look
from analysis.load import Results
from analysis.scores import BASIS, run_scores, score_cells
from analysis.style import COLUMN, PAGE, Drawn, inches, wrap
from analysis.words import interval_words, seed_range, short_task

ACROSS = 3
LABEL = 1.9
"""Inches of a line of a design's name at most."""
COLUMNS = ["task", "design", "seed", "score", "low", "high", "n", "interval"]


def draw(results: Results, looks: dict[str, Look]) -> list[Drawn]:
    """The figure `scores`: a panel a task, a line a design."""
    cells, runs = score_cells(results), run_scores(results)
    scored = runs[runs["score"].notna() & runs["design"].isin(results.designs)]
    if scored.empty:
        return []
    tasks = results.tasks
    across, rows = min(len(tasks), ACROSS), -(-len(tasks) // ACROSS)
    labels = [wrap(design, LABEL) for design in results.designs]
    width = max(COLUMN * 1.35, max(map(inches, labels)) + 2.9) if across == 1 else PAGE
    line = max(0.17, 0.06 + 0.12 * max(label.count("\n") + 1 for label in labels))
    height = (line * len(results.designs) + 0.75) * rows + 0.1
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(rows, across, squeeze=False, sharey=True)
    for i, axis in enumerate(grid.flat):
        if i < len(tasks):
            _panel(axis, tasks[i], results.designs, cells[cells["task"] == tasks[i]], scored, looks)
        else:
            axis.set_axis_off()
    for row in grid:
        row[0].set_yticks(range(len(results.designs)), labels)
        row[0].set_ylim(len(results.designs) - 0.4, -0.6)
    return [Drawn("scores", "Score by design", _caption(cells), figure, _points(scored, cells))]


def _panel(
    axis: Axes,
    task: str,
    designs: list[str],
    cells: pd.DataFrame,
    scored: pd.DataFrame,
    looks: dict[str, Look],
) -> None:
    means = cells.set_index("design")
    limits: list[float] = []
    for y, design in enumerate(designs):
        look = looks[design]
        seeds = scored[(scored["task"] == task) & (scored["design"] == design)]["score"]
        if design not in means.index or not len(seeds):
            axis.text(
                0.5,
                y,
                "no finished run",
                transform=axis.get_yaxis_transform(),
                ha="center",
                va="center",
                color="#777777",
                fontsize=7,
                style="italic",
            )
            continue
        row = means.loc[design]
        axis.plot(
            [row["low"], row["high"]], [y, y], color=look.colour, lw=2, alpha=0.45, solid_capstyle="butt"
        )
        axis.plot(seeds, np.full(len(seeds), y), ls="", marker="|", ms=7, mew=0.9, color=look.colour)
        axis.plot(row["mean"], y, ls="", marker=look.marker, ms=6.5, color=look.colour, mec="white", mew=0.5)
        limits += seeds.tolist() + ([row["low"], row["high"]] if row["n"] > 2 else [])
    random = "random" in means.index and bool(means["mean"].notna()["random"])
    if random:
        level = float(means["mean"]["random"])
        axis.axvline(level, color=REFERENCE.colour, ls="--", lw=1, zorder=1)
        axis.annotate(
            "random",
            (level, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 1.5),
            fontsize=7,
            textcoords="offset points",
            ha="center",
            va="bottom",
            color=REFERENCE.colour,
        )
        limits.append(level)
    known = np.array(limits)[np.isfinite(limits)]
    if len(known):
        pad = 0.06 * (known.max() - known.min()) + 1e-9 + 0.01 * np.abs(known).max()
        axis.set_xlim(known.min() - pad, known.max() + pad)
    axis.set_title(short_task(task), pad=13 if random else 5)
    axis.set_xlabel("Score (return)")
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)


def _points(scored: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    seeds = scored[["task", "design", "seed", "score"]].assign(low=np.nan, high=np.nan, n=1, interval="none")
    means = cells.rename(columns={"mean": "score"}).assign(seed=-1)[COLUMNS]
    return pd.concat([seeds, means], ignore_index=True)[COLUMNS]


def _caption(cells: pd.DataFrame) -> str:
    shown = cells[cells["design"] != "random"]
    words = [
        f"Score: {BASIS}. Strokes: seeds ({seed_range(shown.loc[shown['n'] > 0, 'n'])} a cell); symbols: means;"
    ]
    words.append(f"bars: {interval_words(shown['interval'])}.")
    if (shown["n"] == 2).any():
        words.append("A bar of two seeds may leave the panel.")
    has_random = ((cells["design"] == "random") & cells["mean"].notna()).any()
    words.append("Dashed: random agent." if has_random else "The random agent is missing.")
    for state in ("diverged", "failed", "unfinished"):
        count = int(shown[state].sum())
        if count:
            words.append(f"{count} {state} {'run is' if count == 1 else 'runs are'} not in the means.")
    return " ".join(words)
