"""What goes with the score: correlations of the errors, of coverage, size and cost with it, as frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.inference.correlation import METHODS, Correlation, How, Method, Over, correlate
from analysis.load import Results
from analysis.prediction import (
    FLAT,
    SAMPLES,
    Error,
    Sample,
    chosen,
    common_data,
    compared_once,
    horizon_means,
    over_horizon,
    run_errors,
)
from analysis.results import once
from analysis.scales import places

ALL = "all"
"""In place of a task: all of them, pooled."""
NAMES: dict[Method, str] = {"pearson": "r", "spearman": "rho", "kendall": "tau"}
"""Columns of the coefficients."""


@dataclass(frozen=True)
class Variable:
    """What may go with the score.

    Attributes:
        name: its column in `measured`.
        words: what it is.
        error: the error whose designs and tasks it is of; None for what every run has.
        metric: of the open loop, if it is more than `measured` has of `run_errors`.
    """

    name: str
    words: str
    error: Error | None = None
    metric: str = ""


VARIABLES = (
    Variable("image_error", "image error", "image"),
    Variable("image_error_moving", "image error, moving pixels", "image", "image_error_moving"),
    Variable("image_error_mse", "image error, squared", "image", "image_error_mean_mse"),
    Variable("reward_error", "reward error", "reward"),
    Variable("reward_error_mse", "reward error, squared", "reward", "reward_error_mean_mse"),
    Variable("coverage", "coverage of the replay"),
    Variable("log_parameters", "parameters (log)"),
    Variable("log_cost", "seconds of training and planning (log)"),
)


@once
def measured(results: Results) -> pd.DataFrame:
    """One row a run of a model: the columns of `prediction.run_errors`, those of `VARIABLES`, and place: the task, with
    a number where it is planned in several environments; designs are compared within it.

    Of online runs; where there are none, of those that were trained on datasets.
    """
    frame, dataset = run_errors(results), common_data(results).dataset
    configs = [results.configs.get(str(run)) for run in frame["run"]]
    offline = np.array([config is not None and config.offline for config in configs], dtype=bool)
    if len(frame) and not offline.all():
        frame = frame[~offline].reset_index(drop=True)
    where = places(results)
    number: dict[str, dict[Any, str]] = {}
    for task, env in (where[run] for run in frame["run"]):
        known = number.setdefault(task, {})
        known.setdefault(env, f"{task} ({len(known) + 1})" if known else task)
    frame["place"] = [number[task][env] for task, env in (where[run] for run in frame["run"])]
    metrics = {each.name: each.metric for each in VARIABLES if each.metric}
    means = horizon_means(results, tuple(metrics.values()), dataset)
    for name, metric in metrics.items():
        frame[name] = frame["run"].map(means[metric]).astype(float)
    runs = results.runs.set_index("run").reindex(frame["run"])
    frame["coverage"] = runs["coverage"].to_numpy(dtype=float)
    frame["log_parameters"] = _log10(runs["parameters"])
    frame["log_cost"] = _log10(runs["train_seconds"] + runs["plan_seconds"])
    return frame


def _log10(values: pd.Series) -> Any:
    known = values.to_numpy(dtype=float)
    return np.log10(np.where(known > 0, known, np.nan))


def rows_of(data: pd.DataFrame, error: Error | None, sample: Sample) -> pd.DataFrame:
    """The rows of `measured` that a correlation may use (`prediction.chosen`)."""
    if error is not None:
        return chosen(data, error, sample)
    data = data[compared_once(data)]
    return data if sample == "all designs" else data[(data["predict"] == "images") & data["whole_image"]]


def with_score(
    rows: pd.DataFrame,
    x: str,
    *,
    method: Method = "spearman",
    how: How = "pooled",
    over: Over = "designs",
    given: str = "",
) -> Correlation:
    """The correlation of a column with the score over families of designs (`kin`), within task and environment."""
    columns = (rows[name].tolist() for name in ("form", "place", x, "score"))
    held = rows[given].tolist() if given else None
    return correlate(*columns, method=method, how=how, over=over, given=held)


def _tasks(results: Results) -> list[str]:
    tasks = results.tasks
    return [ALL, *tasks] if len(tasks) > 1 else tasks


@once
def correlations(results: Results) -> pd.DataFrame:
    """Correlation of either error with the score: over designs and over runs, pooled and per task.

    Designs that are variants of one (`kin`) count once, by their mean; H4 is of the same.

    Rows: error, sample (`image designs` | `all designs`), level (`designs` | `runs`), task (`all` when pooled); r, rho
    and tau (each with _low and _high, 95 %), n (points), designs, families, tasks, runs, detectable (the smallest
    rho that would be found), why (there is none). Only designs that predict images have an image error; the reward
    error is given on that subset too, so that the two are compared on the same runs.
    """
    data = measured(results)
    flat = set(data.loc[~data["reward_varies"], "task"])
    rows: list[dict[str, Any]] = []
    for task in _tasks(results):
        here = data if task == ALL else data[data["task"] == task]
        for error, sample in SAMPLES:
            why = FLAT if error == "reward" and task in flat else ""
            used = chosen(here, error, sample)
            for level in ("designs", "runs"):
                row: dict[str, Any] = {"error": error, "sample": sample, "level": level, "task": task}
                rows.append(row | _row(used, f"{error}_error", level) | {"why": why})
    return pd.DataFrame(rows)


def _row(rows: pd.DataFrame, x: str, over: Over) -> dict[str, Any]:
    row: dict[str, Any] = {}
    found = {method: with_score(rows, x, method=method, over=over) for method in METHODS}
    for method, name in NAMES.items():
        of = found[method].estimate
        row |= {name: of.value, f"{name}_low": of.low, f"{name}_high": of.high}
    rank = found["spearman"]
    return row | _counts(rows, x, rank) | {"runs": rank.runs, "detectable": rank.detectable}


def _counts(rows: pd.DataFrame, x: str, found: Correlation) -> dict[str, int]:
    """The points, and the designs, their families and the tasks that they come from."""
    used = rows.dropna(subset=[x, "score"])
    if found.by_task:  # tasks with too few families do not enter
        used = used[used["place"].isin(list(found.by_task))]
    designs = int(used["design"].nunique())
    return {"n": found.points, "designs": designs, "families": found.designs, "tasks": found.tasks}


@once
def by_variable(results: Results) -> pd.DataFrame:
    """Spearman's rho of every variable with the score over designs: one row a variable, sample and task.

    Columns: variable, words, sample, task (`all` when pooled), value, low, high, n (points), designs, families, tasks.
    Of image errors the image designs alone; of all else both samples. Variables that no run has are left out.
    """
    data, rows = measured(results), []
    for variable in VARIABLES:
        if not data[variable.name].notna().any():
            continue
        samples: tuple[Sample, ...] = ("image designs", "all designs")
        for sample in samples[:1] if variable.error == "image" else samples:
            used = rows_of(data, variable.error, sample)
            for task in _tasks(results):
                here = used if task == ALL else used[used["task"] == task]
                found = with_score(here, variable.name)
                row = {"variable": variable.name, "words": variable.words, "sample": sample, "task": task}
                rows.append(row | _estimated(here, variable.name, found))
    return pd.DataFrame(rows, columns=["variable", "words", "sample", "task", *_ESTIMATED])


_ESTIMATED = ("value", "low", "high", "n", "designs", "families", "tasks")


def _estimated(rows: pd.DataFrame, x: str, found: Correlation) -> dict[str, Any]:
    of = found.estimate
    return {"value": of.value, "low": of.low, "high": of.high} | _counts(rows, x, found)


@once
def by_step(results: Results) -> pd.DataFrame:
    """Correlation of the error at each step of the horizon with the score over designs, pooled over tasks.

    One row an error, sample, method and step: error, sample, method, step, value, low, high, n, designs, families,
    tasks.
    """
    data, dataset, rows = measured(results), common_data(results).dataset, []
    for error, sample in SAMPLES:
        steps = over_horizon(results, error, dataset)
        steps = steps[steps["phase"] == "final"]
        wide = steps.assign(run=steps["run"].astype(str)).pivot_table("value", "run", "step")
        used = chosen(data, error, sample)
        for step in wide.columns:
            at = used.assign(at=used["run"].map(wide[step]).astype(float))
            for method in METHODS:
                row = {"error": error, "sample": sample, "method": method, "step": int(step)}
                rows.append(row | _estimated(at, "at", with_score(at, "at", method=method)))
    return pd.DataFrame(rows, columns=["error", "sample", "method", "step", *_ESTIMATED])
