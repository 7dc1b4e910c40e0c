"""Scores: how well an agent does without exploration noise, per run and per cell (design x task)."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.load import Results
from analysis.statistics import estimate

BASIS = "mean return of the noise-free episodes of the final phase"


def run_scores(results: Results) -> pd.DataFrame:
    """One row a run: run, design, task, seed, agent, state, final, score, episodes, windowed.

    `score` is the mean return of the final phase's noise-free episodes, NaN unless the run is done: it belongs to
    the same frozen weights as the final open-loop errors. `windowed` is the mean of the scheduled noise-free
    episodes in the last part of the planned iterations (`report.final_window`), for comparison; the final phase's
    are not among them.
    """
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


def score_cells(results: Results) -> pd.DataFrame:
    """One row a cell: design, task, mean, low, high, n, interval (kind), planned, diverged, failed, unfinished.

    `n` counts the seeds with a score; the random agent is a design of its own, the last one.
    """
    scores = run_scores(results)
    scores = scores[scores["agent"].isin(["model", "random"])]
    rows = []
    for design in [*results.designs, *(["random"] if (scores["agent"] == "random").any() else [])]:
        for task in results.tasks:
            cell = scores[(scores["design"] == design) & (scores["task"] == task)]
            if cell.empty:
                continue
            value = estimate(cell["score"].to_numpy(dtype=float), "score", design, task)
            ended: dict[str, Any] = {
                state: int((cell["state"] == state).sum()) for state in ("diverged", "failed")
            }
            row: dict[str, Any] = {
                "design": design,
                "task": task,
                "mean": value.mean,
                "low": value.low,
                "high": value.high,
            }
            row |= {"n": value.n, "interval": value.kind, "planned": len(cell)} | ended
            row["unfinished"] = len(cell) - value.n - sum(ended.values())
            rows.append(row | {"windowed": cell["windowed"].mean()})
    names = ["design", "task", "mean", "low", "high", "n", "interval", "planned", "diverged", "failed"]
    return pd.DataFrame(rows, columns=[*names, "unfinished", "windowed"])
