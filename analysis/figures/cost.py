"""Score against what it costs to train and to plan, with the designs that nothing cheaper surpasses."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.colours import Look
from analysis.families import key_of, present
from analysis.figures.parts import (
    SCORE,
    bars,
    bars_are,
    basis,
    computed,
    counted,
    design_legend,
    lacking,
    panel_tasks,
    sentences,
    task_title,
    told,
    with_overall,
)
from analysis.material import Material
from analysis.style import Drawn, label_outer, log_ticks, panels
from analysis.words import plural

_FRONT = "#8c8c8c"


def draw(material: Material) -> list[Drawn]:
    """The figure `cost`: a panel for the mean over tasks, and one a task."""
    models = material.evidence.models(offline=None)
    seconds = models["train_seconds"].astype(float) + models["plan_seconds"].astype(float)
    models = models.assign(seconds=seconds.where(seconds > 0))
    runs = models[models["value"].notna() & models["seconds"].notna()]
    if runs.empty:
        return []
    points = _points(runs)
    tasks = panel_tasks(material, points)
    designs = present(material, runs)
    figure, axes = panels(len(tasks), width=material.width, least=1.5, height=1.6, share_y=True)
    for axis, task in zip(axes, tasks, strict=True):
        _panel(axis, points[points["task"] == task], {design: material.looks[design] for design in designs})
        axis.set_title(task_title(task))
    label_outer(axes, "Seconds of training and planning", SCORE)
    front = Line2D([], [], color=_FRONT, lw=1, label="Pareto front")
    shown = design_legend(figure, {design: material.looks[design] for design in designs}, [front])
    slope = computed(material, "H11", "cost")
    unmeasured = len(models[models["value"].notna()]) - len(runs)
    caption = sentences(
        f"Seconds of training and of planning in a run, means over seeds; {counted(runs)}.",
        "Pareto front: designs than which none is both cheaper and better.",
        "The mean over tasks is of designs with a score on every task." if len(tasks) > 1 else "",
        bars_are(points),
        f"H11: score per tenfold cost, within designs of several sizes, is {told(slope.estimate)}."
        if slope
        else "",
        basis(runs),
        f"{plural(unmeasured, 'run')} without recorded times left out." if unmeasured else "",
        lacking(models),
        key_of(shown, designs),
    )
    return [Drawn("cost", "Score against cost", caption, figure, points)]


def _points(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a task (or `all`) and design: seconds, value with interval, and whether it is on the front."""
    points = with_overall(runs, "design")
    cells = runs.astype({"task": str, "design": str}).groupby(["task", "design"])["seconds"].mean()
    mean = cells.groupby("design").mean()
    keys = zip(points["task"], points["design"], strict=True)
    points["seconds"] = [cells.get((task, design), mean[design]) for task, design in keys]
    points["front"] = False
    for _, here in points.groupby("task", sort=False):
        points.loc[here.index, "front"] = front(here)
    return points


def front(points: pd.DataFrame) -> pd.Series:
    """Which points no other one matches in both: at most the seconds, at least the value, and better in one."""
    ordered = points.sort_values(["seconds", "value"], ascending=[True, False])
    before = ordered["value"].cummax().shift(fill_value=float("-inf"))
    return (ordered["value"] > before).reindex(points.index)


def _panel(axis: Axes, points: pd.DataFrame, looks: dict[str, Look]) -> None:
    axis.set_xscale("log")
    best = points[points["front"]].sort_values("seconds")
    axis.plot(best["seconds"], best["value"], color=_FRONT, lw=1, drawstyle="steps-post", zorder=1)
    for design, cell in points.groupby("design", sort=False):
        edge = {"mec": "black", "mew": 0.7} if bool(cell["front"].iloc[0]) else {}
        bars(axis, cell["seconds"], cell, looks[str(design)], ls="", zorder=3, **edge)
    log_ticks(axis)
    axis.locator_params(axis="y", nbins=4)
