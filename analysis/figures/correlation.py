"""Does a better forecast mean a better score? Image error and reward error against the score, side by side."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.colours import Look
from analysis.inference.correlation import MIN_CLUSTERS, Correlation
from analysis.load import Results
from analysis.prediction import FLAT, Sample, chosen, common_data, correlation, run_errors
from analysis.style import PAGE, Drawn, legend_below
from analysis.words import few_tasks, plural, resampled, seed_range, short_task

LABELS = {"image": "Image error", "reward": "Reward error"}
UNITS = {"image": "mean abs., 0–255", "reward": "mean abs., per step"}
COLUMNS = ["task", "design", "seed", "error", "x", "score"]
Kind = Literal["image", "reward"]
KINDS: tuple[Kind, Kind] = ("image", "reward")


def draw(results: Results, looks: dict[str, Look]) -> list[Drawn]:
    """The figures `correlation` (pooled) and, for several tasks, `correlation_by_task`."""
    data = run_errors(results)
    usable = data[data["score"].notna() & (data["reward_error"].notna() | data["image_error"].notna())]
    if usable.empty:
        return []
    tasks = [task for task in results.tasks if (usable["task"] == task).any()]
    pooled = len(tasks) > 1
    drawn = [_pooled(results, usable, looks, standardised=pooled)]
    if pooled:
        drawn.append(_by_task(results, usable, looks, tasks))
    return drawn


def points(data: pd.DataFrame, *, standardised: bool) -> pd.DataFrame:
    """Every point: a row a run and error, and a row a mean over seeds (`seed` is -1).

    Runs that the correlation of an error does not use are left out of it (`prediction.chosen`).
    Standardised: x and score have zero mean and unit variance over the runs, within each task and error.
    """
    long = pd.concat(
        [
            chosen(data.assign(error=kind, x=data[f"{kind}_error"]), kind, "all designs")[COLUMNS]
            for kind in KINDS
        ],
        ignore_index=True,
    ).dropna(subset=["x", "score"])
    if standardised:
        values = long.groupby(["task", "error"])[["x", "score"]]
        long[["x", "score"]] -= values.transform("mean")
        scale = values.transform(lambda column: column.std(ddof=0))
        long[["x", "score"]] /= scale.where(scale > 0)
        long = long.dropna(subset=["x", "score"])
    means = long.groupby(["task", "design", "error"], as_index=False, sort=False)[["x", "score"]].mean()
    means["seed"] = -1
    return pd.concat([long, means[COLUMNS]], ignore_index=True)


def _pooled(results: Results, data: pd.DataFrame, looks: dict[str, Look], *, standardised: bool) -> Drawn:
    plotted = points(data, standardised=standardised)
    figure = Figure(figsize=(PAGE, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axis, kind in ((left, KINDS[0]), (right, KINDS[1])):
        _scatter(axis, plotted[plotted["error"] == kind], looks, empty=_empty(data, kind))
        lines = _numbers(data, kind)
        axis.set_title("\n".join(lines), loc="left", fontsize=7, linespacing=1.35)
        axis.set_xlabel(f"{LABELS[kind]} ({'standard scores within tasks' if standardised else UNITS[kind]})")
    left.set_ylabel("Score (standard scores within tasks)" if standardised else "Score (return)")
    present = {design: looks[design] for design in results.designs if (plotted["design"] == design).any()}
    legend_below(figure, present, marker=True)
    return Drawn("correlation", "Prediction error and score", _caption(results, data), figure, plotted)


def _by_task(results: Results, data: pd.DataFrame, looks: dict[str, Look], tasks: list[str]) -> Drawn:
    plotted = points(data, standardised=False)
    rows = -(-len(tasks) // 2)
    figure = Figure(figsize=(PAGE, 1.95 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, 4, squeeze=False, sharey=False)
    for axis in grid.flat:
        axis.set_axis_off()
    for i, task in enumerate(tasks):
        pair = grid[i // 2, 2 * (i % 2) : 2 * (i % 2) + 2]
        pair[1].sharey(pair[0])
        pair[1].tick_params(labelleft=False)
        for axis, kind in zip(pair, KINDS, strict=True):
            axis.set_axis_on()
            here = plotted[(plotted["task"] == task) & (plotted["error"] == kind)]
            _scatter(axis, here, looks, small=True, empty=_empty(data[data["task"] == task], kind))
            found = _over(data[data["task"] == task], kind, "designs", "all designs", task)
            few = f"r: {plural(found.designs, 'design')}" if len(here) else " "
            numbers = _r_and_rho(found, intervals=False) if np.isfinite(found.r) else few
            first = short_task(task) if kind == "image" else " "
            axis.set_title(f"{first}\n{numbers}", loc="left", fontsize=7)
            axis.set_xlabel(LABELS[kind])
        pair[0].set_ylabel("Score")
    present = {design: looks[design] for design in results.designs if (plotted["design"] == design).any()}
    legend_below(figure, present, marker=True)
    return Drawn(
        "correlation_by_task",
        "Prediction error and score, task by task",
        _caption(results, data),
        figure,
        plotted,
    )


def _empty(data: pd.DataFrame, kind: Kind) -> str:
    """What an empty panel says."""
    flat = kind == "reward" and not data["reward_varies"].any()
    return FLAT.replace(" on ", "\non ") if flat else "no data"


def _scatter(
    axis: Axes, data: pd.DataFrame, looks: dict[str, Look], *, empty: str, small: bool = False
) -> None:
    for design, cell in data.groupby("design", sort=False):
        look = looks[str(design)]
        for seed, size, alpha in ((False, 9 if small else 14, 0.45), (True, 22 if small else 44, 1.0)):
            shown = cell[(cell["seed"] == -1) == seed]
            axis.scatter(
                shown["x"],
                shown["score"],
                s=size,
                color=look.colour,
                marker=look.marker,
                alpha=alpha,
                lw=0.5 if seed else 0,
                edgecolor="white",
                zorder=3 + seed,
            )
    if data.empty:
        axis.text(0.5, 0.5, empty, transform=axis.transAxes, ha="center", va="center", color="#777777")
        axis.set_xticks([])
    axis.margins(0.09)


def _over(
    data: pd.DataFrame, kind: Kind, level: Literal["designs", "runs"], sample: Sample, task: str
) -> Correlation:
    # the image error exists on the image designs alone: keyed as in the table, so that the numbers agree
    key = "image designs" if kind == "image" else sample
    return correlation(chosen(data, kind, sample), f"{kind}_error", level, key, task)


def _numbers(data: pd.DataFrame, kind: Kind) -> list[str]:
    """The lines above a panel: the correlation over design means, over runs, and on the image designs alone."""
    task = "all" if len(set(data["task"])) > 1 else str(data["task"].iloc[0])
    sample: Sample = "image designs" if kind == "image" else "all designs"
    over = _over(data, kind, "designs", sample, task)
    runs = _over(data, kind, "runs", sample, task)
    times = f" × {plural(over.tasks, 'task')}" if over.tasks > 1 else ""
    if kind == "reward" and not data["reward_varies"].any():
        return ["r not defined:", FLAT, ""]
    first = _r_and_rho(over) if np.isfinite(over.r) else "r over designs: not defined, 3 are needed"
    over_runs = f"over {plural(runs.points, 'run')}: {_r_and_rho(runs, intervals=False)}"
    lines = [first, f"n = {plural(over.designs, 'design')}{times}; {over_runs}"]
    if kind == "image":
        lines.append("(only designs that predict images)")
    else:
        level: Literal["designs", "runs"] = "designs"
        same = _over(data, kind, "designs", "image designs", task)
        if not np.isfinite(same.r):
            level, same = "runs", _over(data, kind, "runs", "image designs", task)
        count = plural(same.designs, "design") if level == "designs" else plural(same.points, "run")
        lines.append(f"image designs alone, {count}: {_r_and_rho(same, intervals=False)}")
    return lines


def _r_and_rho(found: Correlation, *, intervals: bool = True) -> str:
    if not np.isfinite(found.r):
        return "r undefined"
    parts = []
    for symbol, value, (low, high) in (("r", found.r, found.pearson), ("ρ", found.rho, found.spearman)):
        part = f"{symbol} = {_signed(value)}"
        if intervals and np.isfinite(low):
            part += f" [{_signed(low)}, {_signed(high)}]"
        parts.append(part)
    return ", ".join(parts)


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _caption(results: Results, data: pd.DataFrame) -> str:
    counts, common = data.groupby(["task", "design"])["seed"].nunique(), common_data(results)
    measured = (
        f"Errors: mean over the horizon of the mean forecast's error on the {common.dataset} data{common.kept}; "
        f"score and errors are of the same frozen weights. Small: runs ({seed_range(counts)} a cell); large: means of "
        "a design."
    )
    tasks = set(data["task"])
    interval = f"[95 % interval: bootstrap of {resampled(tasks)}]"
    used = [chosen(data, kind, "all designs").dropna(subset=[f"{kind}_error"]) for kind in KINDS]
    crude = few_tasks(frame["task"].nunique() for frame in used)
    words = [measured, f"r: Pearson, ρ: Spearman; {interval}, given from {MIN_CLUSTERS} designs on.{crude}"]
    rewards = [design for design in results.designs if design not in results.image_designs]
    if rewards:
        words.append(f"Predict no images, so on the right alone: {', '.join(rewards)}.")
    used_once = (data["legacy"] == "") & (data["twin"] == "")
    parts = data.loc[used_once & data["image_error"].notna() & ~data["whole_image"], "design"].unique()
    if len(parts):
        words.append(f"With image_fraction below 1, so not on the left: {', '.join(parts)}.")
    unused = data.loc[~used_once, "design"].unique()
    if len(unused):
        words.append(
            f"Restored faults, or the same agent as another design, so left out: {', '.join(unused)}."
        )
    flat = data.loc[~data["reward_varies"], "task"].unique()
    if len(flat):
        words.append(f"Not on the right, as the {FLAT}: {', '.join(map(short_task, flat))}.")
    missing = int((results.runs["agent"] == "model").sum()) - len(data)
    if missing:
        words.append(f"{plural(missing, 'run')} without both a final score and an error left out.")
    return " ".join(words)
