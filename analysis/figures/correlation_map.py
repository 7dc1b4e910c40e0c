"""What goes with the score, task by task, and the errors' correlation with it at each step of the horizon."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.colours import LOOKS
from analysis.correlations import ALL, by_step, by_variable
from analysis.kin import of_families
from analysis.load import Results
from analysis.material import Material
from analysis.prediction import SAMPLES, common_data
from analysis.style import PAGE, Drawn, empty, handles_below, row_height, span, wrap
from analysis.words import brackets, few_tasks, short_task

_MAP = colormaps["RdBu_r"]
_LOOKS = {  # of error and sample
    SAMPLES[0]: (LOOKS["images-latent-stochastic"].colour, "-"),
    SAMPLES[1]: (LOOKS["rewards-latent-stochastic"].colour, "-"),
    SAMPLES[2]: (LOOKS["rewards-latent-stochastic"].colour, "--"),
}
_CELL = 0.21
_NAME = 1.25
"""Inches of a line of a row's name in a column."""
"""Inches of a row's height."""


def draw(material: Material) -> list[Drawn]:
    """The figure `correlation_map`; nothing where no correlation is defined."""
    results = material.results
    cells, steps = _cells(results), by_step(results)
    steps = steps[steps["method"] == "spearman"].dropna(subset=["value"])
    if cells.empty:
        return []
    figure, upper, lower, below = _layout(span(material.width), cells)
    _heat(upper, cells, narrow=below is not None)
    _over_steps(lower, steps)
    used = [sample for sample in SAMPLES if _of(steps, *sample).size]
    handles = [
        Line2D([], [], color=_LOOKS[each][0], ls=_LOOKS[each][1], label=f"{each[0]} error, {each[1]}")
        for each in used
    ]
    if below is None:
        handles_below(figure, handles)
    elif handles:
        below.legend(handles=handles, loc="outside lower center")
    data = pd.concat([cells.drop(columns="row").assign(step=0), steps.assign(task=ALL)], ignore_index=True)
    title = "Correlations by task and horizon"
    return [Drawn("correlation_map", title, _caption(results, cells, steps), figure, data)]


def _layout(width: float, cells: pd.DataFrame) -> tuple[Figure, Axes, Axes, SubFigure | None]:
    """The figure, the panels of the map and of the steps, and where the legend goes if they lie one above the other."""
    narrow = width < PAGE
    names = [wrap(_row_name(cells, row), _NAME if narrow else 9) for row in cells["row"].unique()]
    height = row_height(names, _CELL) * len(names) + (1.1 if narrow else 0.75)
    if narrow:
        figure = Figure(figsize=(width, height + 2.6), layout="constrained")
        over, below = np.ravel(np.asarray(figure.subfigures(2, 1, height_ratios=[height, 2.6])))
        return figure, over.subplots(), below.subplots(), below
    figure = Figure(figsize=(width, max(height, 2.5)), layout="constrained")
    tasks = cells["task"].nunique()
    upper, lower = figure.subplots(1, 2, width_ratios=[2.0 + 0.42 * tasks, 2.6])
    return figure, upper, lower, None


def _cells(results: Results) -> pd.DataFrame:
    """`by_variable`, but for rows without any number, and without all designs where all predict images; and row."""
    data = by_variable(results)
    known = data.groupby(["variable", "sample"])["value"].transform(lambda values: values.notna().any())
    data = data[known.astype(bool)] if len(data) else data
    counts = data.pivot_table("designs", ["variable", "task"], "sample")
    if {"image designs", "all designs"} <= set(counts.columns):
        of_both = counts.dropna()
        if (of_both["image designs"] == of_both["all designs"]).all():
            data = data[data["sample"] == "image designs"]
    data = data.sort_values("sample", ascending=False, kind="stable")  # image designs first
    return data.assign(row=data["words"] + "|" + data["sample"]).reset_index(drop=True)


def _heat(axis: Axes, cells: pd.DataFrame, *, narrow: bool) -> None:
    rows, tasks = list(dict.fromkeys(cells["row"])), list(dict.fromkeys(cells["task"]))
    values = np.full((len(rows), len(tasks)), np.nan)
    for line in cells.to_dict("records"):
        i, j = rows.index(line["row"]), tasks.index(line["task"])
        values[i, j] = line["value"]
        clear = line["low"] > 0 or line["high"] < 0
        text = f"{line['value']:.2f}".replace("-", "−") if np.isfinite(line["value"]) else "–"
        axis.text(
            j,
            i,
            text.replace("0.", "."),
            ha="center",
            va="center",
            fontsize=7,
            fontweight="bold" if clear else "normal",
            color=_ink(line["value"]),
        )
    shown = np.ma.masked_invalid(values)
    axis.imshow(shown, cmap=_MAP, vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    axis.set_yticks(range(len(rows)), [wrap(_row_name(cells, row), _NAME if narrow else 9) for row in rows])
    names = ["all tasks" if task == ALL else short_task(task) for task in tasks]
    axis.set_xticks(range(len(tasks)), names)
    if len(tasks) > 1:
        for label in axis.get_xticklabels():
            label.set(rotation=40, ha="right", rotation_mode="anchor")
    axis.tick_params(length=0)
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    axis.set_xticks(np.arange(1, len(tasks)) - 0.5, minor=True)
    axis.set_yticks(np.arange(1, len(rows)) - 0.5, minor=True)
    axis.grid(which="minor", color="white", lw=1.2)
    axis.tick_params(which="minor", length=0)
    for i in range(1, len(rows)):
        if rows[i].rpartition("|")[2] != rows[i - 1].rpartition("|")[2]:
            axis.axhline(i - 0.5, color="black", lw=0.8)
    axis.set_title("ρ with the score", loc="left")


def _ink(value: float) -> str:
    return "white" if abs(value) > 0.7 else "black"


def _row_name(cells: pd.DataFrame, row: str) -> str:
    here = cells[cells["row"] == row]
    counts = sorted(set(here["designs"]))
    count = f"{counts[0]} to {counts[-1]} designs"
    if len(counts) == 1:
        count = of_families(counts[0], int(here["families"].max()))
    return f"{row.partition('|')[0]}, {count}"


def _of(steps: pd.DataFrame, error: str, sample: str) -> pd.DataFrame:
    return steps[(steps["error"] == error) & (steps["sample"] == sample)].sort_values("step")


def _over_steps(axis: Axes, steps: pd.DataFrame) -> None:
    axis.set_title("ρ at each step", loc="left")
    if steps.empty:
        empty(axis, "no errors over the horizon")
        return
    for key in SAMPLES:
        here = _of(steps, *key)
        colour, line = _LOOKS[key]
        axis.plot(here["step"], here["value"], color=colour, ls=line, marker="o", ms=2.5)
        if key != SAMPLES[2]:
            axis.fill_between(here["step"], here["low"], here["high"], color=colour, alpha=0.13, lw=0)
            for end in ("low", "high"):  # where bands overlap, their edges tell which is which
                axis.plot(here["step"], here[end], color=colour, lw=0.7, alpha=0.7)
    axis.axhline(0, color="#757575", lw=0.8)
    axis.set_ylim(-1.03, 1.03)
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axis.set_xlabel("Step of the horizon")
    axis.set_ylabel("Spearman's ρ")


def _caption(results: Results, cells: pd.DataFrame, steps: pd.DataFrame) -> str:
    common = common_data(results)
    several = ALL in set(cells["task"])
    pooled = "; all tasks: the mean of those within tasks" if several else ""
    what = (
        f"Spearman's ρ of design means over seeds with the score of the same frozen weights{pooled}. Errors of the "
        f"mean forecast on the {common.dataset} data{common.kept}; negative: the lower, the better the score. Bold: "
        "the 95 % interval leaves out 0, cell by cell, not adjusted for how many cells there are. –: not defined "
        "(fewer than 3 designs, or nothing varies)."
    )
    words = [what]
    if "all designs" in set(cells["sample"]):
        words.append("Above the line: designs that predict images; below: all designs.")
    if len(steps):
        words.append(f"Bands of solid lines: {brackets(results.tasks).removeprefix('Brackets: ')}")
    return " ".join(words) + few_tasks(steps["tasks"])
