"""Error of the mean forecast at every step of the horizon, against "repeat the last frame / reward"."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.colours import REFERENCE, Look
from analysis.differences import differences
from analysis.families import Family, crowded, families, present
from analysis.inference.estimate import estimates
from analysis.load import Results
from analysis.material import Material
from analysis.prediction import DATASET, PRIMARY, over_horizon
from analysis.style import COLUMN, PAGE, Drawn, label_outer, legend_below, set_limits, span
from analysis.words import interval_words, plural, seed_range, short_task

BAND_SEEDS = 3
LEAST = 1.45
"""Inches of a panel at least."""
LABELS = {"image": "Image error", "reward": "Reward error"}
COLUMNS = ["error", "task", "design", "step", "value", "low", "high", "n", "interval", "unfinished"]


def draw(material: Material) -> list[Drawn]:
    """The figure `horizon_error`: a row for images, one for rewards; a column a task."""
    results = material.results
    data = points(results)
    if data.empty or not (data["design"] != "baseline").any():
        return []
    errors = [error for error in PRIMARY if ((data["error"] == error) & (data["design"] != "baseline")).any()]
    tasks = [task for task in results.tasks if (data["task"] == task).any()]
    groups = families(material, present(material, data))
    figure, places = _layout(material, tasks, errors)
    for (error, task), axis in places.items():
        here = data[(data["task"] == task) & (data["error"] == error)]
        _panel(axis, here, groups, material.looks)
    looks = {design: material.looks[design] for family in groups for design in family.designs}
    if _many(groups):
        looks = {f"mean: {family.name}": family.look for family in groups}
    legend_below(figure, looks, reference="repeat the last frame / reward")
    caption = _caption(results, data, groups)
    return [Drawn("horizon_error", "Open-loop error over the horizon", caption, figure, data)]


def _layout(
    material: Material, tasks: list[str], errors: list[str]
) -> tuple[Figure, dict[tuple[str, str], Axes]]:
    """A panel an error and task: of one task side by side, of several in blocks of rows."""
    if len(tasks) == 1:
        width = span(material.width, PAGE if len(errors) > 1 else COLUMN * 1.25)
        figure = Figure(figsize=(width, 2.3), layout="constrained")
        across, order = len(errors), [(error, tasks[0]) for error in errors]
    else:
        width = span(material.width)
        across = min(len(tasks), max(2, int(width / LEAST)))
        blocks = -(-len(tasks) // across)
        across = -(-len(tasks) // blocks)
        order = [
            (error, task)
            for b in range(blocks)
            for error in errors
            for task in (tasks[b * across : (b + 1) * across] + [""] * across)[:across]
        ]
        rows = -(-len(order) // across)
        figure = Figure(figsize=(width, (1.4 if rows <= 4 else 1.05) * rows + 0.3), layout="constrained")
    grid = figure.subplots(-(-len(order) // across), across, squeeze=False)
    places = {}
    for i, ((error, task), axis) in enumerate(zip(order, grid.flat, strict=True)):
        if not task:
            axis.set_axis_off()
            continue
        places[error, task] = axis
        if error == errors[0] or len(tasks) == 1:
            axis.set_title(short_task(task))
        if i % across == 0 or len(tasks) == 1:
            axis.set_ylabel(LABELS[error])
    label_outer(list(places.values()), "Steps ahead")
    return figure, places


def points(results: Results) -> pd.DataFrame:
    """A row a cell, error and step: mean over seeds with its interval; `baseline` is a design of its own."""
    parts = []
    for error in PRIMARY:
        steps = over_horizon(results, error)  # type: ignore[arg-type]  # a key of PRIMARY
        steps = steps.astype({"task": str, "design": str, "phase": str})
        designs = steps.dropna(subset=["value"])
        keys = ["task", "design", "step"]
        found = estimates(designs, keys, "value", "horizon", error)
        marked = designs.assign(unfinished=designs["phase"] != "final")
        early = marked.groupby(keys, sort=False)["unfinished"].sum()
        parts.append(found.join(early, on=keys).assign(error=error))
        repeated = steps.dropna(subset=["baseline"]).groupby(["task", "step"], as_index=False, sort=False)
        base = repeated.agg(value=("baseline", "mean"), n=("baseline", "size"))
        base = base.assign(low=base["value"], high=base["value"], interval="none", unfinished=0)
        parts.append(base.assign(error=error, design="baseline"))
    return pd.concat([part[COLUMNS] for part in parts if len(part)] or [pd.DataFrame(columns=COLUMNS)])


def _panel(axis: Axes, data: pd.DataFrame, groups: list[Family], looks: dict[str, Look]) -> None:
    drawn = data["value"].tolist()
    baseline = data[data["design"] == "baseline"]
    axis.plot(baseline["step"], baseline["value"], color=REFERENCE.colour, ls="--", lw=1, zorder=3)
    many = _many(groups)
    for family in groups:
        of_family = data[data["design"].isin(family.designs)]
        for design, line in of_family.groupby("design", sort=False):
            look = looks[str(design)]
            if many:
                axis.plot(line["step"], line["value"], color=family.look.colour, lw=0.5, alpha=0.55)
                continue
            banded = line[line["n"] >= BAND_SEEDS]
            axis.fill_between(
                banded["step"], banded["low"], banded["high"], color=look.colour, alpha=0.15, lw=0
            )
            drawn += banded["low"].tolist() + banded["high"].tolist()
            _line(axis, line["step"], line["value"], look)
        if many and len(of_family):
            mean = of_family.groupby("step")["value"].mean()
            _line(axis, mean.index.to_series(), mean, family.look)
    set_limits(axis, [*drawn, 0.0])
    axis.set_ylim(bottom=0)
    axis.locator_params(axis="y", nbins=5)
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _many(groups: list[Family]) -> bool:
    """Whether designs are thin lines around the mean of their family."""
    return len(groups) > 1 or crowded(groups)


def _line(axis: Axes, x: pd.Series, y: pd.Series, look: Look) -> None:
    every = max(1, len(x) // 6)
    axis.plot(x, y, color=look.colour, marker=look.marker, ls=look.line, markevery=every, ms=3)


def _caption(results: Results, data: pd.DataFrame, groups: list[Family]) -> str:
    cells = data[data["design"] != "baseline"]
    counts = cells.groupby(["error", "task", "design"])["n"].max()
    other = any(difference.of_data for difference in differences(results))
    starts = "not the same starts for all (see the notes)" if other else "the same starts for all"
    words = [f"Error of the mean forecast on the {DATASET} data, {starts}; {seed_range(counts)} a cell."]
    words.append("Mean absolute error, of images per pixel (0 to 255), of rewards per step.")
    if _many(groups):
        count = plural(cells["design"].nunique(), "design")
        words.append(f"Thin: {count}; thick: the mean over the designs of a family.")
    else:
        banded = cells[cells["n"] >= BAND_SEEDS]
        if len(banded):
            words.append(f"Bands: {interval_words(banded['interval'])}.")
        if (cells["n"] < BAND_SEEDS).any():
            words.append(f"No band under {BAND_SEEDS} seeds.")
    early = (
        cells.groupby(["task", "design", "error"])["unfinished"].max().groupby(["task", "design"]).max().sum()
    )
    if early:
        words.append(f"{int(early)} unfinished runs are shown with their last scheduled measurement.")
    rewards = [design for design in results.designs if design not in results.image_designs]
    if rewards:
        words.append("Designs that predict rewards only have no image error.")
    if not (data["design"] == "baseline").any():
        words.append("The baseline is missing.")
    return " ".join(words)
