"""Score by what a planner looks at: its horizon and its proposals, beside the oracle at the same horizons."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.families import abbreviate
from analysis.figures.heat import heat
from analysis.figures.parts import (
    ALL,
    basis,
    computed,
    counted,
    lacking,
    named_forms,
    panel_tasks,
    sentences,
    task_title,
    told,
    with_overall,
)
from analysis.matching import rests
from analysis.material import Material
from analysis.style import TALLEST, Drawn, inches, span, wrap
from analysis.words import seed_range

ORACLE = "oracle"
FEWEST = 2
"""Budgets below which there is nothing to compare."""


def draw(material: Material) -> list[Drawn]:
    """The figure `planner`: a row of panels a design, a panel a task."""
    rows = budgets(material)
    runs = rows[rows["value"].notna()]
    if (
        runs.empty
        or runs.loc[runs["form"] != ORACLE, ["planner", "horizon", "proposals"]].drop_duplicates().shape[0]
        < 2
    ):
        return []
    points = _points(runs)
    designs = [form for form in dict.fromkeys(points["form"]) if form != ORACLE]
    tasks = panel_tasks(material, points)
    figure = _panels(material, points, designs, tasks)
    if figure.get_figheight() > TALLEST and tasks[0] == ALL:
        figure = _panels(material, points, designs, [ALL])
    gap = computed(material, "H10")
    slopes = {axis: computed(material, "H10", f"slope.{axis}") for axis in ("horizon", "proposals")}
    caption = sentences(
        "Means over seeds of normalised scores. Rows: the planner and its proposals per iteration; columns: steps that "
        "it looks ahead.",
        f"{counted(rows[rows['form'] != ORACLE], 'form')}.",
        _oracle(runs),
        f"H10: the oracle less the closest design is {told(gap.estimate)}." if gap else "",
        *(
            f"Score per doubling of the {axis}: {told(slope.estimate)}."
            for axis, slope in slopes.items()
            if slope is not None
        ),
        basis(runs),
        lacking(rows),
    )
    return [Drawn("planner", "Score by planning horizon and proposals", caption, figure, points)]


def budgets(material: Material) -> pd.DataFrame:
    """The online runs of designs that are planned with several planners, horizons or proposals; and the oracle's.

    Rows of the evidence with form (the design's name, or `oracle`); the horizon of the oracle is its own.
    """
    models = material.evidence.models()
    models = models.assign(key=rests(models, ("planner.",)))
    kinds = models.astype({"planner": str})[["key", "planner", "horizon", "proposals"]].drop_duplicates()
    several = kinds.groupby("key").size()
    models = models[models["key"].isin(several.index[several > 1])]
    models = models.assign(form=models["key"].map(named_forms(models, "key")))
    oracles = material.runs[
        (material.runs["agent"] == "oracle") & material.runs["task"].isin(set(models["task"]))
    ]
    oracles = oracles.assign(form=ORACLE, planner=ORACLE, horizon=oracles["oracle_horizon"], proposals=0)
    return pd.concat([models, oracles])


def _points(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a task (or `all`), design and budget: value with interval."""
    names = ["form", "planner", "proposals", "horizon"]
    keys = ["\n".join(map(str, key)) for key in zip(*(runs[name] for name in names), strict=True)]
    points = with_overall(runs.assign(key=keys), "key")
    points[names] = points.pop("key").str.split("\n", expand=True)
    return points.astype({"proposals": float, "horizon": float}).astype({"proposals": int, "horizon": int})


def _panels(material: Material, points: pd.DataFrame, designs: list[str], tasks: list[str]) -> Figure:
    width = span(material.width)
    horizons = sorted(set(points["horizon"]))
    kinds = _kinds(points)
    names = [_named(kind) for kind in kinds]
    left = max(map(inches, names)) + 0.35
    across = max(1, min(len(tasks), int((width - left) / (0.3 * len(horizons) + 0.15))))
    blocks = [(d, tasks[i : i + across]) for d in designs for i in range(0, len(tasks), across)]
    high = 0.165 * len(kinds) + 0.62
    figure = Figure(figsize=(width, high * len(blocks) + 0.15), layout="constrained")
    grid = figure.subplots(len(blocks), across, squeeze=False, sharey=True)
    for row, (design, here) in zip(grid, blocks, strict=True):
        for axis, task in zip(row, [*here, *[""] * across][:across], strict=True):
            if not task:
                axis.set_axis_off()
                continue
            heat(axis, _table(points[points["task"] == task], design, kinds, horizons))
            axis.set_title(task_title(task), fontsize=7.5)
            axis.set_xticks(range(len(horizons)), [str(each) for each in horizons])
            axis.set_xlabel("Horizon")
        row[0].set_yticks(range(len(kinds)), names)
        row[0].set_ylabel(wrap(abbreviate(design) if width < 5 else design, high), fontsize=7)
    return figure


def _kinds(points: pd.DataFrame) -> list[tuple[str, int]]:
    """Rows of a panel: the oracle first, then the planner with most budgets from few to many proposals."""
    found = points[["planner", "proposals"]].drop_duplicates()
    counts = points.groupby("planner")["horizon"].size()
    order = sorted(
        (str(planner), int(proposals)) for planner, proposals in found.itertuples(index=False, name=None)
    )
    return sorted(order, key=lambda kind: (kind[0] != ORACLE, -int(counts[kind[0]])))


def _named(kind: tuple[str, int]) -> str:
    return ORACLE if kind[0] == ORACLE else f"{kind[0]} {kind[1]}"


def _table(
    points: pd.DataFrame, design: str, kinds: list[tuple[str, int]], horizons: list[int]
) -> np.ndarray:
    table = np.full((len(kinds), len(horizons)), np.nan)
    for line in points[points["form"].isin([design, ORACLE])].to_dict("records"):
        row = kinds.index((line["planner"], line["proposals"]))
        table[row, horizons.index(line["horizon"])] = line["value"]
    return table


def _oracle(runs: pd.DataFrame) -> str:
    oracle = runs[runs["form"] == ORACLE]
    if oracle.empty:
        return "There is no oracle to compare with."
    seeds = oracle.groupby(["task", "horizon"])["seed"].nunique()
    return f"The oracle plans on the true simulator with a budget of its own ({seed_range(seeds)})."
