"""Normalised scores over all tasks: performance profiles, and aggregates with their intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.colours import Look
from analysis.families import Family, crowded, families, key_of, names_fitted, present
from analysis.figures.parts import basis, counted, design_legend, lacking, sentences
from analysis.inference.aggregates import AGGREGATES, performance_profile
from analysis.inference.estimate import Estimate
from analysis.inference.paired import by_task
from analysis.material import Material
from analysis.style import PAGE, QUIET, TALLEST, Drawn, label_outer, panels, row_height, span
from analysis.words import capital

POINTS = 101
NAMED = 6
"""Designs that a caption lists at most."""
WORDS = {"mean": "Mean", "median": "Median", "iqm": "Interquartile mean", "optimality_gap": "Optimality gap"}


def draw(material: Material) -> list[Drawn]:
    """The figure `profiles`: a line a design; of many designs a panel a family, the others in grey."""
    runs = _scored(material)
    if runs.empty:
        return []
    designs = present(material, runs)
    tau = np.linspace(min(0.0, runs["value"].min()), max(1.0, runs["value"].max()), POINTS)
    profiles = pd.concat([_profile(runs, design, tau) for design in designs], ignore_index=True)
    groups, partial = families(material, designs), on_fewer_tasks(runs)
    many = crowded(groups)
    figure, axes = panels(len(groups), width=material.width, least=1.6, height=1.75, share_y=True, alone=4.2)
    for axis, family in zip(axes, groups, strict=True):
        _curves(axis, profiles, family, material.looks, many=many)
        axis.set_title(family.name)
        axis.set_ylim(-0.03, 1.03)
    label_outer(axes, "τ (normalised score)", "Share of runs above τ")
    shown = design_legend(
        figure,
        {f"{family.name}: designs": family.look for family in groups}
        if many
        else {d: material.looks[d] for d in designs},
        lines=True,
    )
    caption = sentences(
        f"Share of runs with a score above τ, each task counting the same; {counted(runs)}.",
        "Grey: the designs of the other families." if len(groups) > 1 else "",
        "Thin: single designs, without bands."
        if many
        else "Bands: 95 % at each τ, over seeds, where the share is neither 0 nor 1.",
        capital(incomparable(partial, runs)) if partial else "",
        basis(runs),
        lacking(_models(material)),
        key_of(shown, designs) if not many else "",
    )
    return [Drawn("profiles", "Performance profiles", caption, figure, profiles)]


def _models(material: Material) -> pd.DataFrame:
    runs = material.runs
    return runs[runs["agent"] == "model"]


def _scored(material: Material) -> pd.DataFrame:
    models = _models(material)
    return models[models["value"].notna()]


def _profile(runs: pd.DataFrame, design: str, tau: np.ndarray) -> pd.DataFrame:
    found = performance_profile(by_task(runs[runs["design"] == design], "value"), tau)
    columns = {"tau": found.tau, "share": found.share, "low": found.low, "high": found.high}
    return pd.DataFrame({"design": design, **columns, "runs": found.n, "tasks": found.tasks})


def _curves(
    axis: Axes, profiles: pd.DataFrame, family: Family, looks: dict[str, Look], *, many: bool
) -> None:
    for design, line in profiles.groupby("design", sort=False):
        if design not in family.designs:
            axis.plot(line["tau"], line["share"], color=QUIET, lw=0.5, zorder=1)
    for design in family.designs:
        line, look = profiles[profiles["design"] == design], looks[design]
        if many:
            axis.plot(line["tau"], line["share"], color=family.look.colour, lw=0.6, alpha=0.7)
            continue
        between = (line["share"] > 0) & (line["share"] < 1)
        axis.fill_between(
            line["tau"], line["low"], line["high"], where=between, color=look.colour, alpha=0.1, lw=0
        )
        axis.plot(
            line["tau"],
            line["share"],
            color=look.colour,
            ls=look.line,
            lw=1.1,
            marker=look.marker,
            ms=3,
            markevery=20,
        )


def draw_aggregates(material: Material) -> list[Drawn]:
    """The figure `aggregates`: a row a design, a column an aggregate."""
    runs = _scored(material)
    if runs.empty:
        return []
    designs = present(material, runs)
    found, partial = aggregates(runs, designs), on_fewer_tasks(runs)
    width = span(material.width)
    labels = names_fitted(designs, 0.27 * width if width >= PAGE else 1.4)
    across = 4 if width >= PAGE else 2
    line = row_height(labels, 0.135)
    shown = list(WORDS)
    if line * len(designs) * len(shown) / across > TALLEST - 1:
        shown = ["mean", "iqm"]
    rows = max(1, len(shown) // across)
    figure = Figure(figsize=(width, (line * len(designs) + 0.5) * rows + 0.1), layout="constrained")
    grid = figure.subplots(rows, min(across, len(shown)), squeeze=False, sharey=True)
    for axis, name in zip(grid.flat, shown, strict=True):
        here = found[found["aggregate"] == name].set_index("design")
        for y, design in enumerate(designs):
            row, look = here.loc[design], material.looks[design]
            axis.plot(
                [row["low"], row["high"]], [y, y], color=look.colour, lw=2, alpha=0.45, solid_capstyle="butt"
            )
            edge: dict[str, Any] = {"mec": "white", "mew": 0.4}
            if design in partial:
                edge = {"mfc": "white", "mec": look.colour, "mew": 0.9}
            axis.plot(row["value"], y, marker=look.marker, color=look.colour, ms=5, **edge)
        axis.set_title(WORDS[name], fontsize=7.5)
        axis.locator_params(axis="x", nbins=4 if across > 2 else 3)
        axis.grid(axis="y", visible=False)
        axis.tick_params(axis="y", length=0)
    for row_axes in grid:
        row_axes[0].set_yticks(range(len(designs)), labels)
        row_axes[0].set_ylim(len(designs) - 0.4, -0.6)
    caption = sentences(
        f"Aggregates of normalised scores over tasks and seeds; {counted(runs)}.",
        "Of the optimality gap lower is better."
        if len(shown) == len(WORDS)
        else "Median and optimality gap: at page width, and in the CSV.",
        "Bars: 95 % intervals for these tasks and other seeds."
        if found["low"].notna().any()
        else "No intervals: single seeds.",
        f"Hollow: {incomparable(partial, runs)}" if partial else "",
        basis(runs),
        lacking(_models(material)),
        key_of(labels, designs),
    )
    return [Drawn("aggregates", "Scores over all tasks", caption, figure, found)]


def aggregates(runs: pd.DataFrame, designs: list[str]) -> pd.DataFrame:
    """A row a design and aggregate: value, low, high, n, interval, tasks (how many it is over)."""
    rows = []
    for design in designs:
        scores = by_task(runs[runs["design"] == design], "value")
        for name, function in AGGREGATES.items():
            each: Estimate = function(scores, "figure", design)
            rows.append([design, name, each.value, each.low, each.high, each.n, each.kind, len(scores)])
    columns = ["design", "aggregate", "value", "low", "high", "n", "interval", "tasks"]
    return pd.DataFrame(rows, columns=columns)


def on_fewer_tasks(runs: pd.DataFrame) -> dict[str, int]:
    """Designs without a score on every task that one has a score on, and on how many they have one."""
    tasks = runs.groupby(runs["design"].astype(str), sort=False)["task"].nunique()
    return {str(design): int(n) for design, n in tasks[tasks < runs["task"].nunique()].items()}


def incomparable(partial: dict[str, int], runs: pd.DataFrame) -> str:
    """Why they are not compared with the others."""
    listed = [f"{design} ({count})" for design, count in partial.items()]
    several = [*listed[:NAMED], f"{len(listed) - NAMED} others"] if len(listed) > NAMED else listed
    return (
        f"not on all {runs['task'].nunique()} tasks, so not comparable with the others: {', '.join(several)}."
    )
