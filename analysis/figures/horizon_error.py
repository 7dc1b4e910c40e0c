"""Error of the mean forecast at every step of the horizon, against "repeat the last frame / reward"."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.colours import REFERENCE, Look
from analysis.differences import differences
from analysis.inference.estimate import estimate
from analysis.load import Results
from analysis.prediction import DATASET, PRIMARY, over_horizon
from analysis.style import COLUMN, PAGE, Drawn, legend_below, set_limits
from analysis.words import interval_words, seed_range, short_task

BAND_SEEDS = 3
ACROSS = 4
"""Tasks side by side at most."""
LABELS = {"image": "Image error\n(mean abs., 0–255)", "reward": "Reward error\n(mean abs., per step)"}
COLUMNS = ["error", "task", "design", "step", "value", "low", "high", "n", "interval", "unfinished"]


def draw(results: Results, looks: dict[str, Look]) -> list[Drawn]:
    """The figure `horizon_error`: a row for images, one for rewards; a column a task."""
    data = points(results)
    if data.empty or not (data["design"] != "baseline").any():
        return []
    errors = [error for error in PRIMARY if ((data["error"] == error) & (data["design"] != "baseline")).any()]
    tasks = [task for task in results.tasks if (data["task"] == task).any()]
    blocks = [tasks[i : i + ACROSS] for i in range(0, len(tasks), ACROSS)]
    across = len(blocks[0])
    width = COLUMN * 1.25 if across == 1 else PAGE
    rows = len(blocks) * len(errors)
    if across == 1:  # images and rewards side by side
        figure = Figure(figsize=(PAGE if len(errors) > 1 else width, 2.5), layout="constrained")
        grid = figure.subplots(1, len(errors), squeeze=False).T
    else:
        figure = Figure(figsize=(PAGE, 1.75 * rows + 0.4), layout="constrained")
        grid = figure.subplots(rows, across, squeeze=False)
    for axis in grid.flat:
        axis.set_axis_off()
    for b, block in enumerate(blocks):
        for e, error in enumerate(errors):
            for t, task in enumerate(block):
                axis = grid[b * len(errors) + e, t]
                axis.set_axis_on()
                here = data[(data["task"] == task) & (data["error"] == error)]
                _panel(axis, here, looks)
                if e == 0 or across == 1:
                    axis.set_title(short_task(task))
                if t == 0 or across == 1:
                    axis.set_ylabel(LABELS[error])
                if e == len(errors) - 1 or across == 1:
                    axis.set_xlabel("Steps ahead")
    present = {design: looks[design] for design in results.designs if (data["design"] == design).any()}
    legend_below(figure, present, reference="repeat the last frame / reward")
    return [Drawn("horizon_error", "Open-loop error over the horizon", _caption(results, data), figure, data)]


def points(results: Results) -> pd.DataFrame:
    """A row a cell, error and step: mean over seeds with its interval; `baseline` is a design of its own."""
    rows = []
    for error in PRIMARY:
        steps = over_horizon(results, error)  # type: ignore[arg-type]  # a key of PRIMARY
        designs = steps.dropna(subset=["value"])
        for (task, design, step), cell in designs.groupby(["task", "design", "step"], sort=False):
            value = estimate(cell["value"].to_numpy(), "horizon", error, task, design, step)
            early = int((cell["phase"] != "final").sum())
            rows.append(
                [error, task, design, step, value.value, value.low, value.high, value.n, value.kind, early]
            )
        for (task, step), cell in steps.dropna(subset=["baseline"]).groupby(["task", "step"], sort=False):
            mean = cell["baseline"].mean()
            rows.append([error, task, "baseline", step, mean, mean, mean, len(cell), "none", 0])
    return pd.DataFrame(rows, columns=COLUMNS)


def _panel(axis: Axes, data: pd.DataFrame, looks: dict[str, Look]) -> None:
    drawn = data["value"].tolist()
    for design, line in data.groupby("design", sort=False):
        if design == "baseline":
            axis.plot(line["step"], line["value"], color=REFERENCE.colour, ls="--", lw=1, zorder=3)
            continue
        look = looks[str(design)]
        banded = line[line["n"] >= BAND_SEEDS]
        axis.fill_between(banded["step"], banded["low"], banded["high"], color=look.colour, alpha=0.15, lw=0)
        drawn += banded["low"].tolist() + banded["high"].tolist()
        every = max(1, len(line) // 6)
        axis.plot(
            line["step"],
            line["value"],
            color=look.colour,
            marker=look.marker,
            ls=look.line,
            markevery=every,
            ms=3,
        )
    set_limits(axis, [*drawn, 0.0])
    axis.set_ylim(bottom=0)
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _caption(results: Results, data: pd.DataFrame) -> str:
    cells = data[data["design"] != "baseline"]
    counts = cells.groupby(["error", "task", "design"])["n"].max()
    other = any(difference.of_data for difference in differences(results))
    starts = "not the same starts for all (see the notes)" if other else "the same starts for all"
    words = [f"Error of the mean forecast on the {DATASET} data, {starts}; {seed_range(counts)} a cell."]
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
