"""The same designs online and on one dataset: online above, offline below, by task and design."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.colours import Look
from analysis.families import key_of
from analysis.figures.parts import (
    SCORE,
    bars,
    bars_are,
    basis,
    computed,
    counted,
    design_legend,
    lacking,
    level_handles,
    levels,
    means,
    named_forms,
    sentences,
    told,
)
from analysis.matching import EXPLORATION, rests
from analysis.material import Material
from analysis.style import Drawn, span
from analysis.words import short_task

CONDITIONS = ("online", "offline")
LEAST = 1.5
"""Inches of a panel at least."""


def draw(material: Material) -> list[Drawn]:
    """The figure `online_offline`."""
    rows, dataset = both(material)
    known = rows[rows["value"].notna()]
    if set(known["condition"]) != set(CONDITIONS):
        return []
    cells = means(rows, ["condition", "task", "form"])
    online = cells[cells["condition"] == "online"].groupby("form")["value"].mean()
    order = online.sort_values(ascending=False).index.tolist()
    order += [form for form in dict.fromkeys(known["form"]) if form not in order]
    looks = {form: material.looks[label] for form, label in _labels(rows).items()}
    tasks = [task for task in material.results.tasks if (known["task"] == task).any()]
    figure, places = _layout(material, tasks)
    for (condition, task), axis in places.items():
        here = cells[(cells["condition"] == condition) & (cells["task"] == task)].set_index("form")
        _panel(axis, here, order, looks)
    shown = design_legend(figure, {form: looks[form] for form in order}, level_handles())
    gap = computed(material, "H5")
    caption = sentences(
        f"Means over seeds, the designs in the order of their online means; {counted(rows, 'form')}.",
        f"Offline: trained on {dataset}.",
        basis(rows),
        bars_are(cells),
        f"H5: the gap of images and rewards, online - offline, is {told(gap.estimate)}." if gap else "",
        lacking(rows),
        key_of(shown, order),
    )
    return [Drawn("online_offline", "Scores online and offline", caption, figure, cells)]


def both(material: Material) -> tuple[pd.DataFrame, str]:
    """The runs of designs that are planned online and on a dataset, and that dataset: the one with most designs.

    Returns:
        Rows of the evidence with condition (`online`, `offline`) and form: the design's name without its data.
    """
    runs = material.runs
    models = runs[runs["agent"] == "model"]
    models = models.assign(key=rests(models, (EXPLORATION,)))
    offline = models["offline"].astype(bool)
    here, there = models[~offline], models[offline & models["key"].isin(set(models.loc[~offline, "key"]))]
    if there.empty:
        return models[:0].assign(condition="", form=""), ""
    dataset = str(there.groupby("data", sort=False)["key"].nunique().idxmax())
    there = there[there["data"] == dataset]
    here = here[here["key"].isin(set(there["key"]))]
    rows = pd.concat([here.assign(condition="online"), there.assign(condition="offline")])
    rows = rows.drop_duplicates(["condition", "key", "task", "seed"])
    return rows.assign(form=rows["key"].map(named_forms(rows, "key"))), dataset


def _labels(rows: pd.DataFrame) -> dict[str, str]:
    """The label of each form's online design, whose look it has."""
    first = rows[rows["condition"] == "online"].drop_duplicates("form")
    return dict(zip(first["form"], first["design"].astype(str), strict=True))


def _layout(material: Material, tasks: list[str]) -> tuple[Figure, dict[tuple[str, str], Axes]]:
    """Blocks of two rows: the tasks online, and below them the same tasks offline."""
    width = span(material.width, LEAST * 2.2 if len(tasks) == 1 else 6.9)
    across = max(1, min(len(tasks), int(width / LEAST + 1e-9)))
    blocks = -(-len(tasks) // across)
    across = -(-len(tasks) // blocks)
    high = 1.0 if blocks <= 3 else 0.86
    figure = Figure(figsize=(width, high * 2 * blocks + 0.3), layout="constrained")
    grid = figure.subplots(2 * blocks, across, squeeze=False, sharex=True, sharey=True)
    places = {}
    for i in range(blocks * across):
        for half, condition in enumerate(CONDITIONS):
            axis = grid[2 * (i // across) + half, i % across]
            if i >= len(tasks):
                axis.set_axis_off()
                continue
            places[condition, tasks[i]] = axis
            if i % across == 0:
                axis.set_ylabel(condition.capitalize())
            if half == 0:
                axis.set_title(short_task(tasks[i]))
    figure.supylabel(SCORE, fontsize=7.5)
    return figure, places


def _panel(axis: Axes, cells: pd.DataFrame, order: list[str], looks: dict[str, Look]) -> None:
    if cells.empty:
        axis.text(0.5, 0.5, "no data", transform=axis.transAxes, ha="center", va="center", color="#777777")
    for x, form in enumerate(order):
        if form in cells.index:
            bars(axis, [x], cells.loc[[form]], looks[form], ls="")
    levels(axis)
    axis.set_xticks([])
    axis.set_xlim(-0.7, len(order) - 0.3)
    axis.grid(axis="x", visible=False)
    axis.locator_params(axis="y", nbins=4)
