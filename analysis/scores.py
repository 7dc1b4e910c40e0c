"""Scores: how well an agent does without exploration noise, per run and per cell (design x task); and the same on the
scale of each task from the random agent (0) to the oracle (1).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.inference.estimate import Estimate, estimate
from analysis.results import Results, once
from analysis.scales import Scale, final_scores, places, scales

BASIS = "mean return of the noise-free episodes of the final phase"
ALL = "all"
"""In place of a task: the mean over the tasks."""
SCALED = ("normalised", "windowed_normalised")
"""The final and the windowed score on the scale of the task."""
NORMALISED = tuple(f"{name}{end}" for name in SCALED for end in ("", "_low", "_high"))
"""Their means, and the ends of their intervals."""


@once
def run_scores(results: Results) -> pd.DataFrame:
    """One row a run: run, design, task, seed, agent, state, final, score, episodes, windowed, normalised,
    windowed_normalised.

    `score` is the mean return of the final phase's noise-free episodes, NaN unless the run is done: it belongs to
    the same frozen weights as the final open-loop errors. `windowed` is the mean of the scheduled noise-free
    episodes in the last part of the planned iterations (`report.final_window`), for comparison; the final phase's
    are not among them. `normalised` is the score on the `Scale` of the run's own task and environment, NaN where
    there is none; `windowed_normalised` the windowed one, or the final one where the window holds none, on that scale.
    """
    scores, where, found = final_scores(results), places(results), scales(results)
    of_runs = [found.get(where[run]) for run in scores["run"]]
    zero, unit = (
        np.array([getattr(scale, name) if scale else np.nan for scale in of_runs], dtype=float)
        for name in ("zero", "unit")
    )
    windowed = scores["windowed"].where(scores["windowed"].notna(), scores["score"])
    return scores.assign(
        normalised=(scores["score"] - zero) / unit, windowed_normalised=(windowed - zero) / unit
    )


@once
def score_cells(results: Results) -> pd.DataFrame:
    """One row a cell: design, task, mean, low, high, n, interval (kind), planned, diverged, failed, unfinished,
    windowed, and `NORMALISED`.

    `n` counts the seeds with a score. The random agent and the oracle are designs of their own, the last ones.
    Normalised scores take the baselines as given: their intervals are of the design's own seeds alone.
    """
    scores, where, found = run_scores(results), places(results), scales(results)
    rows = []
    cells = dict(list(scores.groupby(["design", "task"], sort=False)))
    for design in [*results.designs, *results.baselines]:
        for task in results.tasks:
            cell = cells.get((design, task))
            if cell is not None:
                here = {where[run] for run in cell["run"]}
                scale = found.get(here.pop()) if len(here) == 1 else None
                rows.append({"design": design, "task": task, **_cell(cell, design, task, scale)})
    names = ["design", "task", "mean", "low", "high", "n", "interval", "planned", "diverged", "failed"]
    return pd.DataFrame(rows, columns=[*names, "unfinished", "windowed", *NORMALISED])


def _cell(cell: pd.DataFrame, design: str, task: str, scale: Scale | None) -> dict[str, Any]:
    value = estimate(cell["score"].to_numpy(dtype=float), "score", design, task)
    ended: dict[str, Any] = {state: int((cell["state"] == state).sum()) for state in ("diverged", "failed")}
    row: dict[str, Any] = {"mean": value.value, "low": value.low, "high": value.high, "n": value.n}
    row |= {"interval": value.kind, "planned": len(cell)} | ended
    row |= {"unfinished": len(cell) - value.n - sum(ended.values()), "windowed": cell["windowed"].mean()}
    for name in SCALED:
        values = cell[name].to_numpy(dtype=float) if scale is not None else ()
        row |= _ends(name, estimate(values, "score", design, task))
    return row


def _ends(name: str, found: Estimate) -> dict[str, float]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


@once
def normalised_means(results: Results) -> pd.DataFrame:
    """One row a design: design, task (`all`), `NORMALISED`, n, interval.

    The mean over all tasks that have a scale, of the seeds that have a normalised score on each of them; empty
    without scales.
    """
    tasks = {task for (task, _), scale in scales(results).items() if np.isfinite(scale.unit)}
    scores = run_scores(results)
    scores = scores[scores["task"].isin(tasks)].dropna(subset=["normalised"])
    rows = []
    for design in [*results.designs, *results.baselines] if tasks else ():
        row: dict[str, Any] = {"design": design, "task": ALL}
        for name in SCALED:
            mine = scores[scores["design"] == design].groupby(["seed", "task"])[name].mean()
            seeds = mine.groupby("seed").agg(["mean", "count"])
            value = estimate(seeds.loc[seeds["count"] == len(tasks), "mean"].to_numpy(), "normalised", design)
            row |= _ends(name, value) | {"n": value.n, "interval": value.kind}
        rows.append(row)
    return pd.DataFrame(rows, columns=["design", "task", *NORMALISED, "n", "interval"])
