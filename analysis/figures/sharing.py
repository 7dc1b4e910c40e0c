"""What sharing a representation changes: shared minus stopped or separate gradients of the reward, by design."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.claims.sample import Contrast, contrast, families, leading, mean_of
from analysis.claims.spec import MarginSpec
from analysis.colours import LOOKS, Look
from analysis.families import key_of, names_fitted
from analysis.figures.parts import basis, computed, finding, lacking, sentences, told
from analysis.inference.estimate import Estimate
from analysis.material import Material
from analysis.style import PAGE, Drawn, handles_below, row_height, span
from analysis.words import WINDOWED, plural, seed_range

SHARED, OTHERS = "shared", ("stopped", "separate")
ALL_DESIGNS = "all designs"
_LINE = 0.2


@dataclass(frozen=True)
class _Row:
    name: str
    other: str
    found: Contrast
    estimate: Estimate
    look: Look


def draw(material: Material) -> list[Drawn]:
    """The figure `sharing`: a row a design and contrast; small marks are tasks."""
    models = material.evidence.models()
    planned = families(models[models["predict"] == "images"], "reward_gradient", (SHARED, *OTHERS))
    if planned.empty:
        return []
    planned = leading(planned)
    rows = _rows(planned)
    if not rows:
        return []
    names = [row.name for row in rows]
    width = span(material.width)
    labels = names_fitted(names, 2.2 if width >= PAGE else 1.2)
    line = row_height(labels, _LINE)
    figure = Figure(figsize=(width, line * len(rows) + 0.5), layout="constrained")
    axis = figure.subplots()
    margin = _margin(material)
    for y, row in enumerate(rows):
        _draw_row(axis, y, row)
    _finish(axis, rows, labels, margin)
    handles = [
        Line2D(
            [],
            [],
            color="black",
            marker="o" if other == OTHERS[0] else "s",
            mfc=None if i == 0 else "white",
            ls="",
            ms=4.5,
            label=f"shared − {other}",
        )
        for i, other in enumerate(OTHERS)
        if any(row.other == other for row in rows)
    ]
    handles_below(
        figure,
        [
            *handles,
            Line2D([], [], color="#8c8c8c", marker="|", ls="", ms=5, label="a task"),
            Line2D([], [], color="black", ls=":", lw=1, label="margin"),
        ],
    )
    benefit = computed(material, "H9")
    found = finding(material, "H9")
    seeds = planned[planned["value"].notna()].groupby(["family", "level", "task"])["seed"].nunique()
    caption = sentences(
        f"Differences of {WINDOWED} on common seeds, designs that differ in reward_gradient alone; "
        f"{plural(planned['family'].nunique(), 'form')} on {plural(planned['task'].nunique(), 'task')}, "
        f"{seed_range(seeds)} a cell.",
        "Bars: 95 % intervals for these tasks and other seeds."
        if any(np.isfinite(row.estimate.low) for row in rows)
        else "No intervals: single seeds.",
        f"H9: shared - mean(stopped, separate) is {told(benefit.estimate)}; margin {margin:g}."
        if benefit
        else "",
        f"H9 is not testable: {found.why}" if found and not benefit and found.why else "",
        basis(planned),
        lacking(planned),
        key_of(labels, names),
    )
    return [Drawn("sharing", "What sharing a representation changes", caption, figure, _points(rows))]


def _rows(planned: pd.DataFrame) -> list[_Row]:
    """All designs first, then each form with its contrasts."""
    names = _form_names(planned)
    rows = []
    for family in (None, *names):
        for other in OTHERS:
            found = contrast(planned, SHARED, other)
            found = found if family is None else found.of(family)
            if found.cells.empty or (family is None and len(names) < 2):
                continue
            name = ALL_DESIGNS if family is None else names[family]
            look = LOOKS.get(name.partition(" (")[0], Look("black", "o"))
            estimate = mean_of(other, other, found, 0.95).estimate
            rows.append(_Row(name, other, found, estimate, look))
    return rows


def _form_names(planned: pd.DataFrame) -> dict[int, str]:
    """The study's name of each form's designs, with where the reward is read where forms differ in that."""
    first = planned.drop_duplicates("family")
    several = len(set(first["reward_from"])) > 1
    tail = [f" (from {source})" if several else "" for source in first["reward_from"]]
    return dict(zip(first["family"], first["name"].astype(str) + tail, strict=True))


def _margin(material: Material) -> float:
    specs = [study.spec for study in material.results.studies]
    declaring = [spec for spec in specs if spec.claims.H9 is not None]
    options = (declaring or specs)[0].options("H9")
    return options.margin if isinstance(options, MarginSpec) else 0.0


def _draw_row(axis: Axes, y: int, row: _Row) -> None:
    colour, found = row.look.colour, row.estimate
    tasks = row.found.seeds().groupby("task")["difference"].mean()
    axis.plot(tasks, np.full(len(tasks), y), ls="", marker="|", ms=6, mew=0.8, color=colour, alpha=0.6)
    if np.isfinite(found.low):
        axis.plot([found.low, found.high], [y, y], color=colour, lw=2, alpha=0.45, solid_capstyle="butt")
    hollow = row.other != OTHERS[0]
    axis.plot(
        found.value,
        y,
        marker="s" if hollow else "o",
        ms=5,
        color=colour,
        mfc="white" if hollow else colour,
        mec=colour,
        mew=0.9,
        zorder=4,
    )


def _finish(axis: Axes, rows: list[_Row], labels: list[str], margin: float) -> None:
    axis.axvline(0, color="#bdbdbd", lw=0.8, zorder=1)
    axis.axvline(margin, color="black", lw=1, ls=":", zorder=1)
    shown = [label if i == 0 or labels[i - 1] != label else "" for i, label in enumerate(labels)]
    axis.set_yticks(range(len(rows)), shown)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    for y in range(1, len(rows)):
        if labels[y] != labels[y - 1]:
            axis.axhline(y - 0.5, color="#e6e6e6", lw=0.5, zorder=0)
    axis.set_xlabel("Difference of normalised score")
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)


def _points(rows: list[_Row]) -> pd.DataFrame:
    """A row a contrast on all tasks (`all`), and one a task."""
    lines = []
    for row in rows:
        e = row.estimate
        lines.append([row.name, row.other, "all", e.value, e.low, e.high, e.n, e.kind])
        for task, here in row.found.seeds().groupby("task"):
            mean = here["difference"].mean()
            lines.append([row.name, row.other, task, mean, np.nan, np.nan, len(here), "none"])
    return pd.DataFrame(
        lines, columns=["design", "shared_minus", "task", "value", "low", "high", "n", "interval"]
    )
