"""Score against the parameters that planning needs: what size buys each design."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

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
    look_of,
    named_forms,
    panel_tasks,
    sentences,
    task_title,
    told,
    with_overall,
)
from analysis.matching import forms
from analysis.material import Material
from analysis.style import Drawn, label_outer, log_ticks, panels

SPREAD = 1.5
"""Where each design has one size, and their parameters differ by less than this factor, there is nothing to see."""


def draw(material: Material) -> list[Drawn]:
    """The figure `capacity`: a line a design over its sizes; a point where it has one size alone."""
    models = forms(material.evidence.models(), "size")
    runs = models[models["value"].notna() & models["parameters"].notna()]
    several = runs.groupby("family")["level"].nunique().max() > 1 if len(runs) else False
    if runs.empty or not (several or runs["parameters"].max() > SPREAD * runs["parameters"].min()):
        return []
    runs = runs.assign(form=runs["family"].map(named_forms(models, "family")))
    points = _points(runs)
    tasks = panel_tasks(material, points)
    names = list(dict.fromkeys(runs["form"]))
    first = runs.drop_duplicates("form").set_index("form")["design"]
    looks = {name: look_of(material, name, str(first[name])) for name in names}
    figure, axes = panels(len(tasks), width=material.width, least=1.5, height=1.6, share_y=True)
    for axis, task in zip(axes, tasks, strict=True):
        _panel(axis, points[points["task"] == task], looks)
        axis.set_title(task_title(task))
    label_outer(axes, "Parameters for planning", SCORE)
    shown = design_legend(figure, looks, lines=True)
    slope = computed(material, "H11")
    sizes = [str(size) for size in dict.fromkeys(runs["size"])]
    caption = sentences(
        f"Means over seeds; {counted(runs, 'form')}; sizes: {', '.join(sizes)}.",
        f"H11: score per tenfold parameters within designs is {told(slope.estimate)}."
        if slope
        else "Each design has one size alone, so points of different designs differ in more than size."
        if len(sizes) == 1
        else "",
        bars_are(points),
        basis(runs),
        lacking(models),
        key_of(shown, names),
    )
    return [Drawn("capacity", "Score against parameters", caption, figure, points)]


def _points(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a task (or `all`), design and size: parameters, value with interval."""
    runs = runs.assign(
        sized=[f"{form}\n{size}" for form, size in zip(runs["form"], runs["size"], strict=True)]
    )
    points = with_overall(runs, "sized")
    points[["form", "size"]] = points.pop("sized").str.split("\n", expand=True)
    cells = runs.groupby(["task", "form", "size"])["parameters"].mean()
    mean = cells.groupby(["form", "size"]).mean()
    keys = zip(points["task"], points["form"], points["size"], strict=True)
    points["parameters"] = [cells.get(key, mean[key[1:]]) for key in keys]
    return points


def _panel(axis: Axes, points: pd.DataFrame, looks: dict[str, Look]) -> None:
    axis.set_xscale("log")
    for form, line in points.groupby("form", sort=False):
        ordered = line.sort_values("parameters")
        bars(axis, ordered["parameters"], ordered, looks[str(form)], lw=1)
    log_ticks(axis)
    axis.locator_params(axis="y", nbins=4)
