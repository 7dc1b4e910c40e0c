"""Scores: how well an agent does without exploration noise, per run and per cell (design x task); and the same on the
scale of each task from the random agent (0) to the oracle (1).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.load import Results
from analysis.statistics import estimate
from harness.errors import UserError

BASIS = "mean return of the noise-free episodes of the final phase"
NARROW = 0.1
"""Below this part of the range of a task's returns the difference of the two baselines is no scale (SCIENCE 15)."""
ALL = "all"
"""In place of a task: the mean over the tasks."""


@dataclass(frozen=True)
class Scale:
    """How the scores of a task are normalised: ``(score - zero) / unit``.

    Attributes:
        zero: mean score of the random agent.
        unit: mean score of the oracle minus that; the range of returns where `by_range`; NaN where there is none.
        oracle: which form of the oracle.
        n: seeds of the random agent and of the oracle with a score.
        by_range: whether the two are too near to each other to be a scale.
    """

    zero: float
    unit: float
    oracle: str
    n: tuple[int, int]
    by_range: bool


def run_scores(results: Results) -> pd.DataFrame:
    """One row a run: run, design, task, seed, agent, state, final, score, episodes, windowed, normalised.

    `score` is the mean return of the final phase's noise-free episodes, NaN unless the run is done: it belongs to
    the same frozen weights as the final open-loop errors. `windowed` is the mean of the scheduled noise-free
    episodes in the last part of the planned iterations (`report.final_window`), for comparison; the final phase's
    are not among them. `normalised` is the score on the task's `Scale`, NaN where there is none.
    """
    scores = _raw_scores(results)
    found = scales(results)
    zero, unit = (
        scores["task"].map({task: getattr(scale, name) for task, scale in found.items()}).astype(float)
        for name in ("zero", "unit")
    )
    return scores.assign(normalised=(scores["score"] - zero) / unit)


def _raw_scores(results: Results) -> pd.DataFrame:
    runs = results.runs[["run", "design", "task", "seed", "agent", "state", "final", "study", "iterations"]]
    evaluations = results.evaluations
    final = evaluations[evaluations["phase"] == "final"].groupby("run")["return"].agg(["mean", "count"])
    window = {study.name: study.final_window for study in results.studies}
    starts = runs.set_index("run").apply(lambda row: row["iterations"] * (1 - window[row["study"]]), axis=1)
    scheduled = evaluations[evaluations["phase"] == "scheduled"]
    late = scheduled[scheduled["iteration"] >= scheduled["run"].map(starts).astype(float)]
    scores = runs.copy()
    scores["score"] = scores["run"].map(final["mean"]).where(scores["final"])
    scores["episodes"] = scores["run"].map(final["count"]).where(scores["final"]).fillna(0).astype(int)
    scores["windowed"] = scores["run"].map(late.groupby("run")["return"].mean()).where(scores["final"])
    return scores.drop(columns=["study", "iterations"])


def scales(results: Results) -> dict[str, Scale]:
    """The scale of each task on which both baselines have a score. Of several forms of the oracle, the first in the
    plan counts.
    """
    scores = _raw_scores(results)
    scores = scores[scores["score"].notna()]
    found = {}
    for task in results.tasks:
        here = scores[scores["task"] == task]
        means, counts = (here.groupby("design")["score"].agg(how) for how in ("mean", "count"))
        random = next((name for name in results.agents("random") if name in means.index), None)
        oracle = next((name for name in results.agents("oracle") if name in means.index), None)
        if random is None or oracle is None:
            continue
        zero, gap = float(means[random]), float(means[oracle] - means[random])
        whole = _range_of_returns(results, task)
        by_range = whole is not None and gap < NARROW * whole
        unit = whole if by_range and whole is not None else gap if gap > 0 else np.nan
        found[task] = Scale(zero, unit, oracle, (int(counts[random]), int(counts[oracle])), by_range)
    return found


def _range_of_returns(results: Results, task: str) -> float | None:
    """The largest return of a task minus the smallest one, if all its episodes are equally long.

    None where they may end early, where rewards have no bounds, and for tasks of the user's own: a report imports
    none of their code.
    """
    here = results.runs.loc[results.runs["task"] == task, "run"]
    config = next((found for run in here if (found := results.configs.get(run)) is not None), None)
    return None if config is None or ":" in task else _returns_of(task, config.env.model_dump_json())


@functools.lru_cache(maxsize=256)
def _returns_of(task: str, env: str) -> float | None:
    from harness.config.sections import EnvConfig
    from harness.tasks.catalogue import find_task

    try:
        spec = find_task(task, EnvConfig.model_validate_json(env)).spec
    except (UserError, ImportError):
        return None
    if spec.reward_range is None or spec.terminates:
        return None
    return (spec.reward_range[1] - spec.reward_range[0]) * spec.max_steps


def score_cells(results: Results) -> pd.DataFrame:
    """One row a cell: design, task, mean, low, high, n, interval (kind), planned, diverged, failed, unfinished,
    windowed, normalised, normalised_low, normalised_high.

    `n` counts the seeds with a score. The random agent and the oracle are designs of their own, the last ones.
    Normalised scores take the baselines as given: their intervals are of the design's own seeds alone.
    """
    scores, found = run_scores(results), scales(results)
    rows = []
    for design in [*results.designs, *results.baselines]:
        for task in results.tasks:
            cell = scores[(scores["design"] == design) & (scores["task"] == task)]
            if not cell.empty:
                rows.append({"design": design, "task": task, **_cell(cell, design, task, found.get(task))})
    names = ["design", "task", "mean", "low", "high", "n", "interval", "planned", "diverged", "failed"]
    return pd.DataFrame(rows, columns=[*names, "unfinished", "windowed", *_NORMALISED])


_NORMALISED = ("normalised", "normalised_low", "normalised_high")


def _cell(cell: pd.DataFrame, design: str, task: str, scale: Scale | None) -> dict[str, Any]:
    value = estimate(cell["score"].to_numpy(dtype=float), "score", design, task)
    ended: dict[str, Any] = {state: int((cell["state"] == state).sum()) for state in ("diverged", "failed")}
    row: dict[str, Any] = {"mean": value.mean, "low": value.low, "high": value.high, "n": value.n}
    row |= {"interval": value.kind, "planned": len(cell)} | ended
    row |= {"unfinished": len(cell) - value.n - sum(ended.values()), "windowed": cell["windowed"].mean()}
    zero, unit = (scale.zero, scale.unit) if scale is not None else (np.nan, np.nan)
    ends = (value.mean, value.low, value.high)
    return row | {name: (end - zero) / unit for name, end in zip(_NORMALISED, ends, strict=True)}


def normalised_means(results: Results) -> pd.DataFrame:
    """One row a design: design, task (`all`), normalised, normalised_low, normalised_high, n, interval.

    The mean over all tasks that have a scale, of the seeds that have a score on each of them; empty without scales.
    """
    tasks = [task for task, scale in scales(results).items() if np.isfinite(scale.unit)]
    scores = run_scores(results)
    scores = scores[scores["task"].isin(tasks)].dropna(subset=["normalised"])
    rows = []
    for design in [*results.designs, *results.baselines] if tasks else ():
        seeds = scores[scores["design"] == design].groupby("seed")["normalised"].agg(["mean", "count"])
        value = estimate(seeds.loc[seeds["count"] == len(tasks), "mean"].to_numpy(), "normalised", design)
        ends = dict(zip(_NORMALISED, (value.mean, value.low, value.high), strict=True))
        rows.append({"design": design, "task": ALL, **ends, "n": value.n, "interval": value.kind})
    return pd.DataFrame(rows, columns=["design", "task", *_NORMALISED, "n", "interval"])


def scale_notes(results: Results) -> list[str]:
    """Why scores are not normalised, or not by the oracle; a sentence each."""
    if not results.designs:
        return []
    found = scales(results)
    missing = [task for task in results.tasks if task not in found]
    notes = [_missing(results, missing)] if missing else []
    for task, scale in found.items():
        if scale.by_range:
            notes.append(
                f"the oracle and the random agent differ by less than {NARROW:.0%} of the range of returns of "
                f"{task}: its scores are normalised by the range"
            )
        elif not np.isfinite(scale.unit):
            notes.append(f"the oracle is no better than the random agent on {task}: not normalised")
    return notes


def _missing(results: Results, tasks: list[str]) -> str:
    """Which baselines a person should add, or wait for."""
    runs = results.runs[results.runs["task"].isin(tasks)]
    absent = [
        agent
        for agent in ("random", "oracle")
        if not set(tasks) <= set(runs.loc[runs["agent"] == agent, "task"])
    ]
    where = "" if len(tasks) == len(results.tasks) else f" of {', '.join(tasks)}"
    if not absent:
        return f"scores{where} are not normalised yet: the random agent or the oracle is not finished"
    listed = tasks[0] if len(tasks) == 1 else f"[{', '.join(tasks)}]"
    agents = " and ".join("the random agent" if agent == "random" else "the oracle" for agent in absent)
    verb = "are" if len(absent) > 1 else "is"
    add = f"{{agent: [random, oracle], task: {listed}, seed: range(5)}}"
    return f"scores{where} are not normalised: {agents} {verb} missing; add {add} under include"
