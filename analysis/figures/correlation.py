"""Does a better forecast mean a better score? Image error and reward error against the score, side by side."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.colours import Look
from analysis.correlations import ALL, NAMES, correlations, measured
from analysis.families import families, family_of, present
from analysis.inference.correlation import SYMBOLS
from analysis.kin import of_families
from analysis.load import Results
from analysis.material import Material
from analysis.prediction import ERRORS, FLAT, Error, chosen, common_data, compared_once
from analysis.style import COLUMN, PAGE, Drawn, empty, legend_below, span, wrap
from analysis.words import brackets, few_tasks, plural, seed_range, short_task

LABELS = {"image": "Image error", "reward": "Reward error"}
UNITS = {"image": "mean abs., 0–255", "reward": "mean abs., per step"}
COLUMNS = ["task", "place", "design", "seed", "error", "x", "score"]
_SYMBOL = {NAMES[method]: symbol for method, symbol in SYMBOLS.items()}


def draw(material: Material) -> list[Drawn]:
    """The figures `correlation` (pooled) and, for several tasks, `correlation_by_task`."""
    results = material.results
    data = measured(results)
    usable = data[data["score"].notna() & (data["reward_error"].notna() | data["image_error"].notna())]
    if usable.empty:
        return []
    tasks = [task for task in results.tasks if (usable["task"] == task).any()]
    if len(tasks) == 1:
        return [_pooled(material, usable, tasks[0])]
    apart = _by_task(material, usable, tasks)
    several = not points(usable, standardised=True).empty  # of one design a task there are no standard scores
    return [_pooled(material, usable, ALL), apart] if several else [apart]


def points(data: pd.DataFrame, *, standardised: bool) -> pd.DataFrame:
    """Every point: a row a run and error, and a row a mean over seeds (`seed` is -1).

    Runs that the correlation of an error does not use are left out of it (`prediction.chosen`). Standardised: the means
    of designs have zero mean and unit variance within each task, so that the correlation of all these points is the
    pooled one where no design is a variant of another (`kin`); runs are on the same scale.
    """
    parts = [chosen(data.assign(error=kind, x=data[f"{kind}_error"]), kind, "all designs") for kind in ERRORS]
    long = pd.concat([part[COLUMNS] for part in parts], ignore_index=True).dropna(subset=["x", "score"])
    means = long.groupby(["task", "place", "design", "error"], as_index=False, sort=False)[
        ["x", "score"]
    ].mean()
    both = pd.concat([long, means.assign(seed=-1)[COLUMNS]], ignore_index=True)
    if standardised:
        here = ["place", "error"]
        centre = both[here].merge(means.groupby(here)[["x", "score"]].mean(), on=here, how="left")
        spread = both[here].merge(means.groupby(here)[["x", "score"]].std(ddof=0), on=here, how="left")
        for name in ("x", "score"):
            scale = spread[name].where(spread[name] > 0)
            both[name] = (both[name] - centre[name]) / scale
        both = both.dropna(subset=["x", "score"])
    return both.drop(columns="place").reset_index(drop=True)


def _pooled(material: Material, data: pd.DataFrame, task: str) -> Drawn:
    standardised = task == ALL
    plotted = points(data, standardised=standardised)
    width = span(material.width)
    stacked = width < PAGE
    figure = Figure(figsize=(width, 5.6 if stacked else 3.1), layout="constrained")
    axes = figure.subplots(2, 1) if stacked else figure.subplots(1, 2, sharey=True)
    lines = correlations(material.results)
    here = lines[lines["task"] == task]
    for axis, kind in zip(axes, ERRORS, strict=True):
        _scatter(
            axis, plotted[plotted["error"] == kind], _looks(material, plotted), nothing=_nothing(data, kind)
        )
        room = width / len(axes) if stacked else width / len(axes) - 0.6
        axis.set_title(
            "\n".join(wrap(line, room) for line in _numbers(here, data, kind)), loc="left", fontsize=7
        )
        axis.set_xlabel(f"{LABELS[kind]} ({'standard scores within tasks' if standardised else UNITS[kind]})")
        if stacked or kind == ERRORS[0]:
            axis.set_ylabel("Score (standard scores within tasks)" if standardised else "Score (return)")
    legend_below(figure, _legend(material, plotted), marker=True)
    caption = _caption(material.results, data)
    return Drawn("correlation", "Prediction error and score", caption, figure, plotted)


def _by_task(material: Material, data: pd.DataFrame, tasks: list[str]) -> Drawn:
    plotted, width = points(data, standardised=False), span(material.width)
    across = 1 if width <= COLUMN else 2
    rows = -(-len(tasks) // across)
    figure = Figure(figsize=(width, 1.95 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, 2 * across, squeeze=False, sharey=False)
    for axis in grid.flat:
        axis.set_axis_off()
    lines = correlations(material.results)
    for i, task in enumerate(tasks):
        pair = grid[i // across, 2 * (i % across) : 2 * (i % across) + 2]
        pair[1].sharey(pair[0])
        pair[1].tick_params(labelleft=False)
        for axis, kind in zip(pair, ERRORS, strict=True):
            axis.set_axis_on()
            here, of_task = data[data["task"] == task], lines[lines["task"] == task]
            shown = plotted[(plotted["task"] == task) & (plotted["error"] == kind)]
            _scatter(axis, shown, _looks(material, plotted), small=True, nothing=_nothing(here, kind))
            found = _line(of_task, kind, "designs")
            few = f"r: {of_families(found['designs'], found['families'])}" if len(shown) else " "
            told = _coefficients(found, intervals=False) if np.isfinite(found["r"]) else few
            axis.set_title(f"{short_task(task) if kind == 'image' else ' '}\n{told}", loc="left", fontsize=7)
            axis.set_xlabel(LABELS[kind])
        pair[0].set_ylabel("Score")
    legend_below(figure, _legend(material, plotted), marker=True)
    title, caption = "Prediction error and score, task by task", _caption(material.results, data)
    return Drawn("correlation_by_task", title, caption, figure, plotted)


def _looks(material: Material, plotted: pd.DataFrame) -> dict[str, Look]:
    """The look of every design: its own, or that of its family where they are many."""
    groups = families(material, present(material, plotted))
    if len(groups) < 2:
        return dict(material.looks)
    return {design: family.look for design, family in family_of(groups).items()}


def _legend(material: Material, plotted: pd.DataFrame) -> dict[str, Look]:
    groups = families(material, present(material, plotted))
    if len(groups) < 2:
        return {design: material.looks[design] for design in present(material, plotted)}
    return {f"{family.name} ({plural(len(family.designs), 'design')})": family.look for family in groups}


def _nothing(data: pd.DataFrame, kind: Error) -> str:
    """What an empty panel says."""
    flat = kind == "reward" and not data["reward_varies"].any()
    return FLAT.replace(" on ", "\non ") if flat else "no data"


def _scatter(
    axis: Axes, data: pd.DataFrame, looks: Mapping[str, Look], *, nothing: str, small: bool = False
) -> None:
    for mean, size, alpha in ((False, 9 if small else 14, 0.4), (True, 22 if small else 44, 1.0)):
        for design, cell in data[(data["seed"] == -1) == mean].groupby("design", sort=False):
            look = looks[str(design)]
            axis.scatter(
                cell["x"],
                cell["score"],
                s=size,
                color=look.colour,
                marker=look.marker,
                alpha=alpha,
                lw=0.5 if mean else 0,
                edgecolor="white",
                zorder=3 + mean,
            )
    if data.empty:
        empty(axis, nothing)
    axis.margins(0.09)


def _line(lines: pd.DataFrame, error: Error, level: str, sample: str = "") -> dict[Hashable, Any]:
    """A row of `correlations`; by default of all designs that have the error."""
    sample = sample or ("image designs" if error == "image" else "all designs")
    chosen_here = (lines["error"] == error) & (lines["sample"] == sample) & (lines["level"] == level)
    return lines[chosen_here].to_dict("records")[0]


def _numbers(lines: pd.DataFrame, data: pd.DataFrame, kind: Error) -> list[str]:
    """The lines above a panel: the correlation over design means, over runs, and on the image designs alone."""
    over, runs = (_line(lines, kind, level) for level in ("designs", "runs"))
    if kind == "reward" and not data["reward_varies"].any():
        return ["not defined:", FLAT, "", ""]
    times = f" × {plural(over['tasks'], 'task')}" if over["tasks"] > 1 else ""
    said = [_coefficients(over, name) for name in ("rho", "r")]
    if not np.isfinite(over["r"]):
        said = ["r over designs: not defined, 3 are needed"]
    said = [*said, f"{of_families(over['designs'], over['families'])}{times}"]
    said[-1] += f"; over {plural(runs['n'], 'run')}: {_coefficients(runs, intervals=False)}"
    if kind == "image":
        said.append("(only designs that predict images)")
        return [*said, *[""] * (4 - len(said))]
    same = _line(lines, kind, "designs", "image designs")
    if np.isfinite(same["r"]):
        count = of_families(same["designs"], same["families"])
    else:
        same = _line(lines, kind, "runs", "image designs")
        count = plural(same["n"], "run")
    return [*said, f"image designs alone, {count}: {_coefficients(same, intervals=False)}"]


def _coefficients(line: Mapping[Hashable, Any], *names: str, intervals: bool = True) -> str:
    """`ρ = −0.61 [−0.83, −0.21], r = …`, or `r undefined`."""
    if not np.isfinite(line["r"]):
        return "r undefined"
    parts = []
    for name in names or ("rho", "r"):
        value, low, high = (line[f"{name}{end}"] for end in ("", "_low", "_high"))
        ends = f" [{_signed(low)}, {_signed(high)}]" if intervals and np.isfinite(low) else ""
        parts.append(f"{_SYMBOL[name]} = {_signed(value)}{ends}")
    return ", ".join(parts)


def _signed(value: float) -> str:
    return f"{value + 0.0:.2f}".replace("-0.00", "0.00").replace("-", "−")


def _caption(results: Results, data: pd.DataFrame) -> str:
    counts, common = data.groupby(["task", "design"])["seed"].nunique(), common_data(results)
    measured_on = (
        f"Errors: mean over the horizon of the mean forecast's error on the {common.dataset} data{common.kept}; "
        f"score and errors are of the same frozen weights. Small: runs ({seed_range(counts)} a cell); large: means of "
        "a design."
    )
    tasks = set(data["task"])
    used = [chosen(data, kind, "all designs").dropna(subset=[f"{kind}_error"]) for kind in ERRORS]
    crude = few_tasks(frame["task"].nunique() for frame in used)
    pooled = " Of several tasks: within each, and averaged." if len(tasks) > 1 else ""
    words = [measured_on, f"ρ: Spearman, r: Pearson, over designs.{pooled} {brackets(tasks)}{crude}"]
    rewards = [design for design in results.designs if design not in results.image_designs]
    if rewards:
        words.append(f"Predict no images, so on the right alone: {', '.join(rewards)}.")
    used_once = compared_once(data)
    parts = data.loc[used_once & data["image_error"].notna() & ~data["whole_image"], "design"].unique()
    if len(parts):
        words.append(f"With image_fraction below 1, so not on the left: {', '.join(parts)}.")
    unused = data.loc[~used_once, "design"].unique()
    if len(unused):
        words.append(
            f"Restored faults, other planners, or the same agent as another design, so left out: {', '.join(unused)}."
        )
    flat = data.loc[~data["reward_varies"], "task"].unique()
    if len(flat):
        words.append(f"Not on the right, as the {FLAT}: {', '.join(map(short_task, flat))}.")
    missing = len(measured(results)) - len(data)
    if missing:
        words.append(f"{plural(missing, 'run')} without both a final score and an error left out.")
    return " ".join(words)
