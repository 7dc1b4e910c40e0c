"""What there is of the study: a cell a design and task, filled by how its runs ended."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from analysis.completeness import sentence
from analysis.families import key_of, names_fitted
from analysis.figures.parts import sentences
from analysis.material import Material
from analysis.style import COLUMN, Drawn, handles_below, inches, row_height, span, wrap
from analysis.words import short_task

STATES = {
    "done": "#8fbc9a",
    "diverged": "#e6a04a",
    "failed": "#c0392b",
    "running": "#7fa8d1",
    "other": "#b9b9b9",
    "pending": "#ffffff",
}
"""How a run ended, and its colour; `other`: preempted, or in a state that cannot be read."""
_LABEL, _CELL, _LINE = 2.5, 0.62, 0.165
"""Inches: a name at most, the width of a cell at most, the height of a row."""


def draw(material: Material) -> list[Drawn]:
    """The figure `completeness`: rows are designs, columns tasks."""
    cells = counts(material)
    if cells.empty:
        return []
    results = material.results
    designs = [*results.designs, *results.baselines]
    tasks = results.tasks
    width = span(material.width, COLUMN if len(tasks) <= 3 else 6.9)
    labels = names_fitted(designs, min(_LABEL, 0.42 * width))
    left = max(map(inches, labels)) + 0.15
    names = [wrap(short_task(task), 0.95) for task in tasks]
    slanted = max(map(inches, names)) * 0.72 + 0.12
    cell = min(_CELL, (width - left - max(0.05, slanted - 0.15)) / len(tasks))
    top = slanted + 0.08
    row = row_height(labels, _LINE)
    height = top + row * len(designs) + 0.1
    figure = Figure(figsize=(width, height))
    place = (left / width, 0.05 / height, cell * len(tasks) / width, row * len(designs) / height)
    axis = figure.add_axes(place)
    _cells(axis, cells, designs, tasks)
    axis.set_yticks(range(len(designs)), labels)
    axis.set_xticks(range(len(tasks)), names, rotation=45, ha="left", rotation_mode="anchor")
    axis.xaxis.tick_top()
    axis.tick_params(length=0, pad=2)
    shown = [state for state in STATES if cells[state].sum()]
    _legend(figure, shown, height)
    caption = sentences(
        sentence(material.results),
        "Each cell: its planned runs by how they ended, from the left; numbers: done of planned, where some are not "
        "done.",
        key_of(labels, designs),
    )
    return [Drawn("completeness", "What there is of the study", caption, figure, cells)]


def counts(material: Material) -> pd.DataFrame:
    """A row a design and task that are planned: planned runs, and how many are in each of `STATES`."""
    runs = material.results.runs
    if runs.empty:
        return pd.DataFrame()
    state = runs["state"].where(runs["state"].isin([*STATES]), "other")
    table = pd.crosstab([runs["design"].astype(str), runs["task"].astype(str)], state)
    table = table.reindex(columns=list(STATES), fill_value=0)
    table.insert(0, "planned", table.sum(axis=1))
    return table.rename_axis(columns=None).reset_index()


def _cells(axis: Axes, cells: pd.DataFrame, designs: list[str], tasks: list[str]) -> None:
    of_design = {name: i for i, name in enumerate(designs)}
    of_task = {name: i for i, name in enumerate(tasks)}
    parts: dict[str, list[Rectangle]] = {state: [] for state in STATES}
    outlines = []
    for line in cells.to_dict("records"):
        x, y = of_task[line["task"]] - 0.47, of_design[line["design"]] - 0.42
        outlines.append(Rectangle((x, y), 0.94, 0.84))
        for state, mine in parts.items():
            share = 0.94 * line[state] / line["planned"]
            if share:
                mine.append(Rectangle((x, y), share, 0.84))
                x += share
        if line["done"] < line["planned"]:
            words = f"{line['done']}/{line['planned']}"
            at = of_task[line["task"]], of_design[line["design"]]
            axis.text(*at, words, ha="center", va="center", fontsize=7)
    for state, mine in parts.items():
        axis.add_collection(PatchCollection(mine, facecolor=STATES[state], edgecolor="none"))
    axis.add_collection(PatchCollection(outlines, facecolor="none", edgecolor="#8c8c8c", lw=0.4))
    planned = set(zip(cells["design"], cells["task"], strict=True))
    for design, y in of_design.items():
        for task, x in of_task.items():
            if (design, task) not in planned:
                axis.text(x, y, "–", ha="center", va="center", color="#8c8c8c", fontsize=7)
    axis.set_xlim(-0.5, len(tasks) - 0.5)
    axis.set_ylim(len(designs) - 0.5, -0.5)
    axis.grid(visible=False)
    for side in axis.spines.values():
        side.set_visible(False)


def _legend(figure: Figure, states: list[str], height: float) -> None:
    """Below the cells; the figure grows, and the axes keep their size in inches."""
    handles = [Patch(facecolor=STATES[s], edgecolor="#8c8c8c", lw=0.4, label=_WORDS[s]) for s in states]
    axis = figure.axes[0]
    box = axis.get_position()
    handles_below(figure, handles)
    grown = figure.get_figheight()
    extra = grown - height
    axis.set_position((box.x0, (box.y0 * height + extra) / grown, box.width, box.height * height / grown))


_WORDS = {
    "done": "done",
    "diverged": "diverged",
    "failed": "failed",
    "running": "running",
    "other": "stopped or unreadable",
    "pending": "not begun",
}
