"""Everything that claims and figures compute from, one row a run: what it was planned to be, and what it reached."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.environments import range_of_returns
from analysis.heldout import HELDOUT
from analysis.load import COSTS, Results
from analysis.matching import planned_frame
from analysis.prediction import over_horizon, run_errors, set_errors
from analysis.scales import Place, places, scales
from analysis.scores import run_scores

_ERRORS = ("image_error", "reward_error", "image_baseline", "reward_baseline")
_SAMPLE = ("whole_image", "reward_varies", "legacy", "twin")


@dataclass(frozen=True)
class Evidence:
    """What the runs show.

    Attributes:
        results: where it comes from.
        runs: one row a run that was planned, whatever its state: the columns of `matching.planned_frame`, and state,
            score (mean return of the final phase), windowed (of the final window), zero, unit and basis of the scale
            (`oracle`, `range` of returns, or "" without one), unit_error (standard error of the unit, as a part of it;
            NaN but for `oracle`), `value` and `final`, the windowed and the final score
            on that scale, diverged (counted by the rule of the study), coverage (entropy of the replay at the end),
            costs, the errors on common data (`image_error`, `reward_error`, their baselines, `whole_image`,
            `reward_varies`, `legacy`, `twin`; see `prediction.run_errors`), its name (`errors_on`), and
            `heldout_image_error`, `heldout_reward_error`. NaN where there is none.
        horizon: one row a run and step of the horizon, of the final phase on common data: run, error (`image`,
            `reward`), step, value, baseline.
    """

    results: Results
    runs: pd.DataFrame
    horizon: pd.DataFrame

    def models(self, *, offline: bool | None = False) -> pd.DataFrame:
        """The rows of runs with a model: online ones, or those trained on a dataset; of both with None."""
        chosen = self.runs[self.runs["agent"] == "model"]
        return chosen if offline is None else chosen[chosen["offline"].astype(bool) == offline]


def evidence(results: Results) -> Evidence:
    """Gathers it.

    `value` is what claims compare: the mean return of the evaluations in the final window (of the final phase where
    the window holds none), from the random agent (0) to the oracle (1). Where one of these is missing the unit is the
    range of returns, and 0 the random agent, or the lowest score there is. A run that diverged counts as the
    `diverged` of its study's spec says: as the random agent, or not at all.
    """
    planned = [run for study in results.studies for run in study.runs]
    labels = dict(zip(results.runs["run"], results.runs["design"], strict=True))
    once = {run.id: run for run in planned}
    frame = planned_frame(once.values(), labels, results.configs)
    scores = run_scores(results)
    frame = frame.merge(scores[["run", "state", "score", "windowed"]], on="run", how="left")
    frame = frame.merge(results.runs[["run", "coverage", *COSTS]], on="run", how="left")
    _set_scale(frame, results)
    set_values(frame, {study.name: study.spec.diverged for study in results.studies})
    errors = run_errors(results)
    found = errors[["run", *_ERRORS, *_SAMPLE, "dataset"]].rename(columns={"dataset": "errors_on"})
    frame = frame.merge(found, on="run", how="left")
    held = errors[["run"]].copy()
    set_errors(held, results, HELDOUT)
    held = held.rename(columns={name: f"heldout_{name}" for name in ("image_error", "reward_error")})
    frame = frame.merge(held[["run", "heldout_image_error", "heldout_reward_error"]], on="run", how="left")
    dataset = str(errors["dataset"].iloc[0]) if len(errors) else "probe"
    return Evidence(results, frame, _horizon(results, dataset))


def _set_scale(frame: pd.DataFrame, results: Results) -> None:
    where, found = places(results), scales(results)
    configs = {run.id: run.config.get("env") for study in results.studies for run in study.runs}
    known: dict[Place, tuple[float, float, str, float]] = {}
    for run, place in where.items():
        if place in known:
            continue
        scale = found.get(place)
        if scale is not None and np.isfinite(scale.unit):
            ranged = scale.by_range
            error = np.nan if ranged else scale.error / scale.unit
            known[place] = scale.zero, scale.unit, "range" if ranged else "oracle", error
            continue
        whole = range_of_returns(place[0], configs[run])
        here = frame[[where[each] == place for each in frame["run"]]]
        random = here.loc[here["agent"] == "random", "score"].mean()
        zero = random if np.isfinite(random) else here["score"].min()
        unit, basis = (float(whole), "range") if whole else (np.nan, "")
        known[place] = float(zero), unit, basis, np.nan
    columns = list(zip(*(known[where[run]] for run in frame["run"]), strict=True)) or [(), (), (), ()]
    for name, values in zip(("zero", "unit", "basis", "unit_error"), columns, strict=True):
        frame[name] = list(values)


def set_values(frame: pd.DataFrame, rules: Mapping[str, str]) -> None:
    """Gives runs their `value`, `final` and `diverged`.

    Args:
        frame: with state, study, score, windowed, zero and unit.
        rules: what becomes of diverged runs, by study.
    """
    window = frame["windowed"].where(frame["windowed"].notna(), frame["score"])
    frame["value"] = (window - frame["zero"]) / frame["unit"]
    frame["final"] = (frame["score"] - frame["zero"]) / frame["unit"]
    frame["diverged"] = (frame["state"] == "diverged") & (frame["study"].map(rules) == "random")
    for name in ("value", "final"):
        frame.loc[frame["diverged"] & frame["unit"].notna(), name] = 0.0


def _horizon(results: Results, dataset: str) -> pd.DataFrame:
    parts = []
    for error in ("image", "reward"):
        steps = over_horizon(results, error, dataset)
        steps = steps[steps["phase"] == "final"].dropna(subset=["value"])
        parts.append(steps[["run", "step", "value", "baseline"]].assign(error=error))
    return pd.concat(parts, ignore_index=True)


def place_name(place: str) -> str:
    """The task of a place, for people."""
    return str(json.loads(place)[0])
