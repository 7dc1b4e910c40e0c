"""What the page's chooser shows of one design on one task."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from analysis.load import Results
from analysis.material import Material
from analysis.prediction import horizon_table
from analysis.scores import score_cells
from analysis.tables import fixed, interval, number
from analysis.words import FINAL, short_task

POINTS = 60
"""Points of a learning curve at most; of a longer one, every so many."""


def cells(material: Material) -> list[dict[str, Any]]:
    """One entry a design and task: task, task_name, design, colour, numbers (name and value, as read), curves (seed,
    points [x, return]) and x, what they are over.
    """
    results = material.results
    errors = horizon_table(results)
    curves = _curves(results)
    found = []
    for cell in score_cells(results).to_dict("records"):
        design, task = str(cell["design"]), str(cell["task"])
        here = errors[(errors["design"] == design) & (errors["task"] == task)]
        offline = bool(
            (results.runs.loc[results.runs["design"] == design, "agent"] == "model").any()
        ) and _offline(material, design)
        look = material.looks.get(design)
        found.append(
            {
                "task": task,
                "task_name": short_task(task),
                "design": design,
                "colour": look.colour if look else "#757575",
                "numbers": [*_score(cell), *_errors(here)],
                "curves": curves.get((design, task, offline), []),
                "x": "gradient steps" if offline else "environment steps",
            }
        )
    return found


def _offline(material: Material, design: str) -> bool:
    runs = material.runs
    return bool(runs.loc[runs["design"] == design, "offline"].astype(bool).any())


def _score(cell: dict[Any, Any]) -> list[tuple[str, str]]:
    told = number(cell["mean"])
    if math.isfinite(cell["low"]):
        told += f" {interval(cell['low'], cell['high'])}"
    seeds = f"{cell['n']} of {cell['planned']}"
    lost = [f"{cell[state]} {state}" for state in ("diverged", "failed") if cell[state]]
    numbers = [("score [95 %]", told), ("seeds with a score", ", ".join([seeds, *lost]))]
    if math.isfinite(cell["normalised"]):
        numbers.append((FINAL, fixed(cell["normalised"])))
    return numbers


def _errors(here: pd.DataFrame) -> list[tuple[str, str]]:
    return [
        (f"{line['error']} error (repeat the last: {number(line['baseline'])})", number(line["mean"]))
        for line in here.to_dict("records")
    ]


def _curves(results: Results) -> dict[tuple[str, str, bool], list[dict[str, Any]]]:
    """Mean return of the scheduled evaluations of each seed, over environment steps, and over gradient steps."""
    data = results.evaluations[results.evaluations["phase"] == "scheduled"]
    found: dict[tuple[str, str, bool], list[dict[str, Any]]] = {}
    for offline, over in ((False, "env_steps"), (True, "grad_steps")):
        keys = ["design", "task", "seed", over]
        means = data.groupby(keys, sort=False, observed=True)["return"].mean().reset_index()
        for (design, task, seed), curve in means.groupby(keys[:3], sort=False, observed=True):
            step = -(-len(curve) // POINTS)
            points = [[int(x), float(f"{y:.4g}")] for x, y in zip(curve[over], curve["return"], strict=True)]
            kept = [point for point in points[::step] if math.isfinite(point[1])]
            if kept:
                found.setdefault((str(design), str(task), offline), []).append(
                    {"seed": int(str(seed)), "points": kept}
                )
    return found
