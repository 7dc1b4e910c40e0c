"""Score by design: the seeds, their mean and its interval, between the random agent and the oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.colours import ORACLE, REFERENCE, Look
from analysis.families import key_of, names_fitted
from analysis.load import Results
from analysis.material import Material
from analysis.scales import levels
from analysis.scores import BASIS, normalised_means, run_scores, score_cells
from analysis.style import COLUMN, GREY, PAGE, TALLEST, Drawn, inches, label_outer, row_height, span
from analysis.words import FINAL, capital, interval_words, plural, seed_range, short_task

LABEL, LEAST = 1.75, 1.15
"""Inches of a line of a design's name at most, and of a panel at least."""
CROWDED = 0.3
"""Of a panel's width: baselines nearer to each other than this have their names to either side."""
COLUMNS = ["task", "design", "seed", "score", "low", "high", "n", "interval"]


def draw(material: Material) -> list[Drawn]:
    """The figure `scores`: a panel a task, a line a design."""
    results = material.results
    cells, runs = score_cells(results), run_scores(results)
    lines, further = _baselines(results)
    if not runs["score"].notna()[runs["design"].isin(results.designs)].any():
        return []
    designs = [*results.designs, *further]
    random = results.agents("random")
    looks = {name: REFERENCE if name in random else ORACLE for name in further} | material.looks
    scored = runs[runs["score"].notna() & runs["design"].isin(designs)]
    figure, grid, labels = _layout(material, designs, len(results.tasks))
    if figure.get_figheight() > TALLEST and (overall := _overall(material, designs, looks)) is not None:
        return [overall]
    for i, axis in enumerate(grid.flat):
        if i < len(results.tasks):
            task = results.tasks[i]
            here = cells[cells["task"] == task]
            limits = _panel(axis, task, designs, here, scored, looks)
            _finish(axis, task, limits, _levels(here, lines))
        else:
            axis.set_axis_off()
    for row in grid:
        row[0].set_yticks(range(len(designs)), labels)
        row[0].set_ylim(len(designs) - 0.4, -0.6)
    label_outer([axis for axis in grid.flat if axis.axison], "Score (return)")
    caption = f"{_caption(cells, lines, random)} {key_of(labels, designs)}".strip()
    return [Drawn("scores", "Score by design", caption, figure, _points(scored, cells))]


def _layout(
    material: Material, designs: list[str], tasks: int, most: float = LABEL
) -> tuple[Figure, npt.NDArray[Any], list[str]]:
    """The figure, its axes, and the designs' names as they fit: narrower where that leaves room for more panels."""
    width = span(material.width, PAGE if len(material.results.tasks) > 1 else COLUMN * 1.35)
    label = min(most, 0.42 * width)
    labels = names_fitted(designs, label)
    room = width - max(map(inches, labels)) - 0.15
    across = max(1, min(tasks, 4, int(room / LEAST)))
    across = -(-tasks // -(-tasks // across))
    rows = -(-tasks // across)
    line = row_height(labels, 0.14)
    figure = Figure(figsize=(width, (line * len(designs) + 0.58) * rows + 0.25), layout="constrained")
    return figure, figure.subplots(rows, across, squeeze=False, sharey=True), labels


def _overall(material: Material, designs: list[str], looks: dict[str, Look]) -> Drawn | None:
    """One panel, where a panel a task would be higher than a page: the mean over tasks of normalised scores."""
    means = normalised_means(material.results)
    means = means[means["design"].isin(designs) & means["normalised"].notna()]
    if means.empty:
        return None
    figure, grid, labels = _layout(material, designs, 1, 2.8)
    axis, by_design = grid[0, 0], means.set_index("design")
    for y, design in enumerate(designs):
        if design not in by_design.index:
            axis.text(0.5, y, "none", transform=axis.get_yaxis_transform(), **_NONE)
            continue
        row, look = by_design.loc[design], looks[design]
        ends = [row["normalised_low"], row["normalised_high"]]
        axis.plot(ends, [y, y], color=look.colour, lw=2, alpha=0.45, solid_capstyle="butt")
        axis.plot(
            row["normalised"], y, ls="", marker=look.marker, ms=6, color=look.colour, mec="white", mew=0.5
        )
    axis.set_yticks(range(len(designs)), labels)
    axis.set_ylim(len(designs) - 0.4, -0.6)
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel(f"{capital(FINAL)},\nmean over tasks")
    tasks = len(material.results.tasks)
    caption = (
        f"Mean over {plural(tasks, 'task')} of the {FINAL} (0: random agent, 1: oracle), of the seeds with a "
        f"score on each: {seed_range(means['n'])}. Bars: {interval_words(means['interval'])}. Task by task at page "
        f"width. {key_of(labels, designs)}"
    )
    return Drawn("scores", "Score by design", caption.strip(), figure, means)


_NONE: dict[str, Any] = {
    "ha": "center",
    "va": "center",
    "color": GREY,
    "fontsize": 7,
    "style": "italic",
}


def _baselines(results: Results) -> tuple[dict[str, Look], list[str]]:
    """The baselines that are lines through every panel, and the others (further forms of the oracle, baselines of
    another environment), which are rows.
    """
    random = results.agents("random")
    lines = {name: REFERENCE if name in random else ORACLE for name in levels(results)}
    return lines, [name for name in results.baselines if name not in lines]


def _levels(cells: pd.DataFrame, lines: dict[str, Look]) -> list[tuple[str, float, Look]]:
    """The baselines with a score on a task, from the lowest."""
    means = cells.set_index("design")["mean"]
    found = [(name, float(means[name]), look) for name, look in lines.items() if name in means.index]
    return sorted((each for each in found if np.isfinite(each[1])), key=lambda each: each[1])


def _panel(
    axis: Axes,
    task: str,
    designs: list[str],
    cells: pd.DataFrame,
    scored: pd.DataFrame,
    looks: dict[str, Look],
) -> list[float]:
    """Draws the designs; returns what should be within the panel."""
    means = cells.set_index("design")
    limits: list[float] = []
    for y, design in enumerate(designs):
        look = looks[design]
        seeds = scored[(scored["task"] == task) & (scored["design"] == design)]["score"]
        if design not in means.index or not len(seeds):
            axis.text(0.5, y, "none", transform=axis.get_yaxis_transform(), **_NONE)
            continue
        row = means.loc[design]
        axis.plot(
            [row["low"], row["high"]], [y, y], color=look.colour, lw=2, alpha=0.45, solid_capstyle="butt"
        )
        axis.plot(seeds, np.full(len(seeds), y), ls="", marker="|", ms=7, mew=0.9, color=look.colour)
        axis.plot(row["mean"], y, ls="", marker=look.marker, ms=6.5, color=look.colour, mec="white", mew=0.5)
        limits += seeds.tolist() + ([row["low"], row["high"]] if row["n"] > 2 else [])
    return limits


def _finish(axis: Axes, task: str, limits: list[float], levels: list[tuple[str, float, Look]]) -> None:
    """Draws the baselines and sets the limits of a panel, so that all of them are within it."""
    known = np.array([*limits, *(level for _, level, _ in levels)])
    known = known[np.isfinite(known)]
    if len(known):
        pad = 0.06 * (known.max() - known.min()) + 1e-9 + 0.01 * np.abs(known).max()
        axis.set_xlim(known.min() - pad, known.max() + pad)
    left, right = axis.get_xlim()
    near = len(levels) > 1 and levels[-1][1] - levels[0][1] < CROWDED * (right - left)
    for i, (name, level, look) in enumerate(levels):
        axis.axvline(level, color=look.colour, ls=look.line, lw=1, zorder=1)
        axis.annotate(
            name,
            (level, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 1.5),
            fontsize=7,
            textcoords="offset points",
            ha=("right" if i == 0 else "left") if near else "center",
            va="bottom",
            color=look.colour,
        )
    axis.set_title(short_task(task), pad=13 if levels else 5)
    axis.locator_params(axis="x", nbins=4)
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)


def _points(scored: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    seeds = scored[["task", "design", "seed", "score"]].assign(low=np.nan, high=np.nan, n=1, interval="none")
    means = cells.rename(columns={"mean": "score"}).assign(seed=-1)[COLUMNS]
    return pd.concat([seeds, means], ignore_index=True)[COLUMNS]


def _caption(cells: pd.DataFrame, lines: dict[str, Look], random: list[str]) -> str:
    shown = cells[~cells["design"].isin(lines)]
    words = [
        f"Score: {BASIS}. Strokes: seeds ({seed_range(shown.loc[shown['n'] > 0, 'n'])} a cell); symbols: means;"
    ]
    words.append(f"bars: {interval_words(shown['interval'])}.")
    if (shown["n"] == 2).any():
        words.append("A bar of two seeds may leave the panel.")
    there = set(cells.loc[cells["mean"].notna(), "design"])
    dashed = [name for name, look in lines.items() if look is REFERENCE and name in there]
    if dashed:
        words.append("Dashed: random agent.")
    elif not there & set(random):
        words.append("The random agent is missing.")
    words += [f"Dotted: {name}." for name, look in lines.items() if look is ORACLE and name in there]
    for state in ("diverged", "failed", "unfinished"):
        count = int(shown[state].sum())
        if count:
            words.append(f"{count} {state} {'run is' if count == 1 else 'runs are'} not in the means.")
    return " ".join(words)
