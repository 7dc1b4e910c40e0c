"""Return against environment steps: noise-free evaluations, and the training episodes with exploration.

Where a run is trained on a fixed dataset, evaluations are drawn against gradient steps: it takes no other ones.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.colours import ORACLE, REFERENCE, Look
from analysis.families import Family, crowded, families, present
from analysis.inference.estimate import estimates
from analysis.material import Material
from analysis.scales import levels as common_levels
from analysis.scores import score_cells
from analysis.style import (
    COLUMN,
    PAGE,
    QUIET,
    Drawn,
    label_outer,
    legend_below,
    panels,
    set_limits,
    span,
    thousands,
)
from analysis.words import interval_words, plural, seed_range, short_task

POINTS = 50
"""Points of a curve at most; more evaluations or episodes are averaged in groups."""
BAND_SEEDS = 3
"""From as many seeds on a band is drawn; two have a t interval wider than any axis, and the lines show them all."""
MOST_WITH_SEEDS = 4
"""With more designs than this in a panel, single seeds are not drawn (the CSV has them)."""
_STEPS = {"env_steps": "Environment steps", "grad_steps": "Gradient steps"}
COLUMNS = ["task", "design", "seed", "env_steps", "return", "low", "high", "n", "interval"]


@dataclass(frozen=True)
class _Sheet:
    """What a figure of curves is: its points, the baselines' levels, names of its axes, its groups of designs, and how
    many cells (designs on tasks) are planned to have a curve.
    """

    points: pd.DataFrame
    levels: pd.DataFrame
    label: str
    steps: str
    tasks: list[str]
    groups: list[Family]
    planned: int


def draw(material: Material) -> list[Drawn]:
    """The figure `learning_curves`: noise-free evaluations."""
    every = _collapsed(material.results.evaluations)
    return _drawn(
        material,
        every,
        "learning_curves",
        "Noise-free return while learning",
        "Return (noise-free)",
    )


def draw_training(material: Material) -> list[Drawn]:
    """The figure `training_returns`: the episodes that were collected."""
    every = material.results.episodes
    configs = material.results.configs
    offline = {run for run, config in configs.items() if config is not None and config.offline}
    title, label = "Return of the training episodes", "Return (exploring)"
    return _drawn(material, every, "training_returns", title, label, offline)


def _drawn(
    material: Material,
    every: pd.DataFrame,
    name: str,
    title: str,
    label: str,
    without: Collection[str] = frozenset(),
) -> list[Drawn]:
    """The figure; `without`: runs that have no such curve, whatever becomes of them."""
    results = material.results
    data = every[every["design"].isin(results.designs)]
    if not data["return"].notna().any():
        return []
    steps = "grad_steps" if _offline(data) else "env_steps"
    points = curves(data.assign(env_steps=data[steps]))
    cells = score_cells(results)
    levels = cells[cells["design"].isin(common_levels(results)) & cells["mean"].notna()]
    tasks = [task for task in results.tasks if (points["task"] == task).any()]
    groups = families(material, present(material, points))
    planned = results.runs[(results.runs["agent"] == "model") & ~results.runs["run"].isin(list(without))]
    sheet = _Sheet(points, levels, label, steps, tasks, groups, planned.groupby(["task", "design"]).ngroups)
    random = set(results.agents("random"))
    if len(groups) == 1:
        figure = _by_task(material, sheet, random)
        single = True
    elif span(material.width) < PAGE:
        figure, single = _means(material, sheet, random), False
    else:
        figure, single = _by_family(material, sheet, random), False
    written = _with_levels(points, levels).rename(columns={"env_steps": steps})
    return [Drawn(name, title, _caption(material, sheet, random, single=single), figure, written)]


def _offline(data: pd.DataFrame) -> bool:
    """Whether a run learns without a step in its environment."""
    return bool(((data["env_steps"] == 0) & (data["grad_steps"] > 0)).any())


def curves(data: pd.DataFrame) -> pd.DataFrame:
    """Every point: a row a seed and x (`seed` >= 0), and a row a mean with its interval (`seed` is -1).

    The mean is given where at least half of the cell's seeds have a value.
    """
    cell = ["task", "design"]
    data = data.astype(dict.fromkeys(cell, str))
    rank = data.groupby(cell, sort=False)["iteration"].rank(method="dense").astype(int) - 1
    count = rank.groupby([data[name] for name in cell], sort=False).transform("max") + 1
    group = -(-count // POINTS)
    binned = data.assign(bin=rank // group)
    binned = binned.groupby([*cell, "seed", "bin"], as_index=False, sort=False)[
        ["env_steps", "return"]
    ].mean()
    means = estimates(binned, [*cell, "bin"], "return", "curve").rename(columns={"value": "return"})
    x = binned.groupby([*cell, "bin"], as_index=False, sort=False)["env_steps"].mean()
    seeds = binned.groupby(cell, sort=False)["seed"].nunique().rename("all")
    means = means.merge(x, on=[*cell, "bin"]).join(seeds, on=cell)
    means = means[(means["n"] > 0) & (2 * means["n"] >= means["all"])].assign(seed=-1)
    single = binned.assign(low=np.nan, high=np.nan, n=1, interval="none")
    return pd.concat([single[COLUMNS], means[COLUMNS]], ignore_index=True)


def _collapsed(evaluations: pd.DataFrame) -> pd.DataFrame:
    """One row a run and evaluated weights; the final phase joins a scheduled evaluation of the same weights."""
    keys = ["run", "design", "task", "seed", "env_steps", "grad_steps"]
    grouped = evaluations.groupby(keys, as_index=False, sort=False, observed=True)
    return grouped.agg({"return": "mean", "iteration": "min"})


def _by_task(material: Material, sheet: _Sheet, random: set[str]) -> Figure:
    """A panel a task, with all of the few designs."""
    figure, axes = panels(len(sheet.tasks), width=material.width, least=1.55 if len(sheet.tasks) > 3 else 2.2)
    for axis, task in zip(axes, sheet.tasks, strict=True):
        _panel(axis, sheet, task, sheet.groups[0], material.looks)
        _levels(axis, sheet, task, random)
        _finish(axis, sheet, task)
        axis.set_title(short_task(task))
    label_outer(axes, _STEPS[sheet.steps], sheet.label)
    (family,) = sheet.groups
    few = {design: material.looks[design] for design in family.designs}
    named = {f"mean: {family.name}": family.look} if crowded([family]) else few
    _legend(figure, sheet, random, named)
    return figure


def _by_family(material: Material, sheet: _Sheet, random: set[str]) -> Figure:
    """A row a task, a column a family of designs; the other designs' means in grey."""
    rows, across = len(sheet.tasks), len(sheet.groups)
    figure = Figure(figsize=(PAGE, min(1.15, 7.4 / rows) * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, across, squeeze=False, sharey="row", sharex="row")
    for row, task in zip(grid, sheet.tasks, strict=True):
        for axis, family in zip(row, sheet.groups, strict=True):
            others = sheet.points[(sheet.points["task"] == task) & (sheet.points["seed"] == -1)]
            for _, line in others[~others["design"].isin(family.designs)].groupby("design"):
                axis.plot(line["env_steps"], line["return"], color=QUIET, lw=0.5, zorder=1)
            _panel(axis, sheet, task, family, material.looks)
            _levels(axis, sheet, task, random)
            _finish(axis, sheet, task)
        row[0].set_ylabel(short_task(task))
    for axis, family in zip(grid[0], sheet.groups, strict=True):
        axis.set_title(family.name)
    for axis in grid[-1]:
        axis.set_xlabel(_STEPS[sheet.steps])
    figure.supylabel(sheet.label, fontsize=7.5)
    drawn = {design: material.looks[design] for family in sheet.groups for design in family.designs}
    legend = {f"mean: {f.name}": f.look for f in sheet.groups} if crowded(sheet.groups) else drawn
    _legend(figure, sheet, random, legend)
    return figure


def _means(material: Material, sheet: _Sheet, random: set[str]) -> Figure:
    """A panel a task; a line a family, the mean over its designs."""
    figure, axes = panels(len(sheet.tasks), width=material.width, least=1.5, height=1.45, alone=COLUMN)
    for axis, task in zip(axes, sheet.tasks, strict=True):
        for family in sheet.groups:
            _mean_of(axis, sheet, task, family)
        _levels(axis, sheet, task, random)
        _finish(axis, sheet, task, bands=False)
        axis.set_title(short_task(task))
    label_outer(axes, _STEPS[sheet.steps], sheet.label)
    _legend(figure, sheet, random, {f.name: f.look for f in sheet.groups})
    return figure


def _panel(axis: Axes, sheet: _Sheet, task: str, family: Family, looks: dict[str, Look]) -> None:
    here = sheet.points[(sheet.points["task"] == task) & sheet.points["design"].isin(family.designs)]
    many = crowded(sheet.groups)
    for design in family.designs:
        lines, look = here[here["design"] == design], looks[design]
        mean = lines[lines["seed"] == -1].sort_values("env_steps")
        if len(sheet.groups) == 1 and len(family.designs) <= MOST_WITH_SEEDS:
            for _, seed in lines[lines["seed"] >= 0].groupby("seed"):
                axis.plot(seed["env_steps"], seed["return"], color=look.colour, lw=0.4, alpha=0.4)
        band = mean["n"] >= BAND_SEEDS
        if band.any() and not many:
            low, high = (mean[side].where(band) for side in ("low", "high"))
            axis.fill_between(mean["env_steps"], low, high, color=look.colour, alpha=0.13, lw=0)
        every = max(1, len(mean) // 5)
        (line,) = axis.plot(mean["env_steps"], mean["return"], color=look.colour, lw=1.1, ls=look.line)
        if many:
            line.set(lw=0.5, alpha=0.6, ls="-")
        else:
            line.set(marker=look.marker, markevery=(every // 2, every), ms=3)
    if many:
        _mean_of(axis, sheet, task, family)


def _mean_of(axis: Axes, sheet: _Sheet, task: str, family: Family) -> None:
    """The mean over the designs of a family, where all of them have a value."""
    here = sheet.points[(sheet.points["task"] == task) & (sheet.points["seed"] == -1)]
    here = here[here["design"].isin(family.designs)]
    if here.empty:
        return
    wide = here.pivot_table(index="env_steps", columns="design", values="return")
    mean = wide.interpolate(method="index", limit_area="inside").dropna().mean(axis=1)
    look, every = family.look, max(1, len(mean) // 5)
    axis.plot(
        mean.index, mean, color=look.colour, marker=look.marker, markevery=(every // 2, every), ms=3.5, lw=1.5
    )


def _levels(axis: Axes, sheet: _Sheet, task: str, random: set[str]) -> None:
    for level in sheet.levels[sheet.levels["task"] == task].itertuples():
        look = REFERENCE if level.design in random else ORACLE
        axis.axhline(float(str(level.mean)), color=look.colour, ls=look.line, lw=1, zorder=1)


def _finish(axis: Axes, sheet: _Sheet, task: str, *, bands: bool = True) -> None:
    here = sheet.points[sheet.points["task"] == task]
    singles = len(sheet.groups) == 1
    shown = here["return"].tolist() if singles else here.loc[here["seed"] == -1, "return"].tolist()
    if bands:
        shown += here.loc[here["n"] >= BAND_SEEDS, ["low", "high"]].to_numpy().ravel().tolist()
    shown += sheet.levels.loc[sheet.levels["task"] == task, "mean"].tolist()
    set_limits(axis, shown)
    axis.locator_params(axis="y", nbins=4)
    thousands(axis)


def _legend(figure: Figure, sheet: _Sheet, random: set[str], looks: dict[str, Look]) -> None:
    there = set(sheet.levels["design"])
    looks |= {name: Look(ORACLE.colour, "", ORACLE.line) for name in sorted(there.difference(random))}
    legend_below(figure, looks, reference="random agent" if there & random else "")


def _with_levels(data: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """Adds the lines of the baselines to the points."""
    names = ["task", "design", "mean", "low", "high", "n", "interval"]
    rows = [
        [task, design, -1, np.nan, *numbers] for task, design, *numbers in levels[names].to_numpy().tolist()
    ]
    return pd.concat([data, pd.DataFrame(rows, columns=COLUMNS)], ignore_index=True) if rows else data


def _caption(material: Material, sheet: _Sheet, random: set[str], *, single: bool) -> str:
    data = sheet.points
    means = data[data["seed"] == -1]
    counts = data[data["seed"] >= 0].groupby(["task", "design"])["seed"].nunique()
    banded = means[means["n"] >= BAND_SEEDS]
    narrow = not single and span(material.width) < PAGE
    many = crowded(sheet.groups)
    words = [f"{plural(data['design'].nunique(), 'design')} on {plural(len(sheet.tasks), 'task')}; means of"]
    words[0] += f" {seed_range(counts)} a cell."
    if narrow:
        words.append("Lines: means over the designs of a family; at page width each design has its own.")
    elif not single:
        words.append("Rows: tasks; columns: families; grey: the designs of the other families.")
    elif len(sheet.groups[0].designs) <= MOST_WITH_SEEDS and (counts > 1).any():
        words.append("Thin: single seeds.")
    if many and not narrow:
        words.append("Thin: designs; thick: their mean.")
    elif len(banded) and not narrow:
        words.append(f"Bands: {interval_words(banded['interval'])}.")
        if (means["n"] < BAND_SEEDS).any():
            words.append(f"No band where fewer than {BAND_SEEDS} seeds have got there.")
    most = means.set_index(["task", "design"])["n"]
    if (most < counts.reindex(most.index)).any():
        words.append("Where some seeds have not got, means are of the others, at least half of them.")
    if sheet.planned > len(counts):
        words.append(f"{sheet.planned - len(counts)} of {sheet.planned} cells have no data yet.")
    there = set(sheet.levels["design"])
    if not there & random:
        other = "of another environment" if random else "missing"
        words.append(f"The random agent's level is {other}.")
    return " ".join(words)
