"""Score of each learner on the replay of each collector: does it follow the data or the model?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.families import abbreviate, key_of
from analysis.figures.heat import heat
from analysis.figures.parts import (
    basis,
    computed,
    counted,
    lacking,
    named_forms,
    panel_tasks,
    sentences,
    task_title,
    told,
    with_overall,
)
from analysis.matching import EXPLORATION, rests
from analysis.material import Material
from analysis.style import Drawn, inches, span
from analysis.words import plural

FROM = "from-"
"""Begins the names of datasets that are one design's replay."""
PARTS = ("data", "model", "interaction", "noise")


def draw(material: Material) -> list[Drawn]:
    """The figure `cross_training`: a panel a task, rows are learners, columns whose data they learn from."""
    rows = crossed(material)
    runs = rows[rows["value"].notna()]
    if runs.empty:
        return []
    points = _points(runs)
    learners, data = (list(dict.fromkeys(points[name])) for name in ("learner", "data"))
    tasks = panel_tasks(material, points)
    figure = _panels(material, points, learners, data, tasks)
    shares = {part: computed(material, "H8", f"share.{part}") for part in PARTS}
    said = [f"{part} {told(share.estimate)}" for part, share in shares.items() if share is not None]
    shown = [abbreviate(name) for name in learners]
    caption = sentences(
        "Means over seeds of normalised scores. Rows: the model that learns; columns: the dataset that it learns from, "
        "named after the design whose replay it is.",
        f"{counted(rows, 'learner')}, {plural(len(data), 'dataset')}.",
        f"Shares of the variance within tasks (H8): {', '.join(said)}."
        if said
        else "Shares of the variance (H8) need two seeds with all cells.",
        basis(runs),
        lacking(rows),
        key_of(shown, learners),
    )
    return [Drawn("cross_training", "Whose data, whose model", caption, figure, points)]


def crossed(material: Material) -> pd.DataFrame:
    """Offline runs of models that are trained on several datasets of a task: rows of the evidence with learner."""
    models = material.evidence.models(offline=True)
    models = models.assign(key=rests(models, (EXPLORATION,)))
    several = models.groupby(["study", "task", "key"])["data"].transform("nunique") > 1
    models = models[several].drop_duplicates(["key", "data", "task", "seed"])
    models = models[models.groupby(["study", "task", "data"])["key"].transform("nunique") > 1]
    return models.assign(
        learner=models["key"].map(named_forms(models, "key")), data=models["data"].str.removeprefix(FROM)
    )


def _points(runs: pd.DataFrame) -> pd.DataFrame:
    keys = [f"{learner}\n{data}" for learner, data in zip(runs["learner"], runs["data"], strict=True)]
    points = with_overall(runs.assign(key=keys), "key")
    points[["learner", "data"]] = points.pop("key").str.split("\n", expand=True)
    return points


def _panels(
    material: Material, points: pd.DataFrame, learners: list[str], data: list[str], tasks: list[str]
) -> Figure:
    width = span(material.width)
    names, columns = [abbreviate(name) for name in learners], [abbreviate(name) for name in data]
    left = max(map(inches, names)) + 0.2
    across = max(1, min(len(tasks), int((width - left) / (0.28 * len(data) + 0.08))))
    across = -(-len(tasks) // -(-len(tasks) // across))
    rows = -(-len(tasks) // across)
    below = max(map(inches, columns)) + 0.1
    figure = Figure(
        figsize=(width, rows * (0.19 * len(learners) + 0.35) + below + 0.15), layout="constrained"
    )
    grid = figure.subplots(rows, across, squeeze=False, sharey=True, sharex=True)
    low, high = min(0.0, points["value"].min()), max(0.2, points["value"].max())
    for i, axis in enumerate(grid.flat):
        if i >= len(tasks):
            axis.set_axis_off()
            continue
        here = points[points["task"] == tasks[i]]
        table = np.full((len(learners), len(data)), np.nan)
        for line in here.to_dict("records"):
            table[learners.index(line["learner"]), data.index(line["data"])] = line["value"]
        heat(axis, table, low, high)
        axis.set_title(task_title(tasks[i]), fontsize=7.5)
        axis.set_xticks(range(len(data)), columns, rotation=90)
        axis.tick_params(labelbottom=i + across >= len(tasks))
    for row in grid:
        row[0].set_yticks(range(len(learners)), names)
    figure.supylabel("Learner", fontsize=7.5)
    figure.supxlabel("Data collected by", fontsize=7.5)
    return figure
