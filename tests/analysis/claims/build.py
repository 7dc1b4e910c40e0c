"""Evidence made by hand: the plans of the shipped studies, cut small, and scores and errors with planted effects."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.claims.findings import HYPOTHESES
from analysis.claims.spec import ReportSpec
from analysis.claims.types import Finding
from analysis.evidence import Evidence
from analysis.labels import design_labels
from analysis.load import Results
from analysis.matching import planned_frame
from analysis.study import PlannedRun, Study
from harness.config import RunConfig, run_id
from studies.language import expand, load_study

STUDIES = ("online", "offline", "dose_response", "sharing", "capacity", "planner", "cross_training")
TASKS = ("dmc/cartpole-swingup", "dmc/cheetah-run", "dmc/reacher-easy", "dmc/walker-walk")
COSTS = ("parameters", "train_seconds", "plan_seconds")
MADE = ("code", "environment", "rendering", "threads", "device", "precision", "probe")
SIZES = {"tiny": 1.1e5, "small": 4.4e5, "large": 4.7e6}


@functools.cache
def _cells(study: str) -> tuple[tuple[str, RunConfig], ...]:
    file = Path(__file__).parents[3] / "studies" / "paper" / f"{study}.yaml"
    return tuple((study, cell.config) for cell in expand(load_study(file, ())).cells)


def configs_of(names: Sequence[str], tasks: Sequence[str], seeds: int) -> list[tuple[str, RunConfig]]:
    """The runs of shipped studies on some tasks and seeds."""
    cells = (cell for name in names for cell in _cells(name))
    return [(study, config) for study, config in cells if config.task in tasks and config.seed < seeds]


def configs(
    *grids: Mapping[str, Any], tasks: Sequence[str] = TASKS[:2], seeds: int = 5
) -> list[tuple[str, RunConfig]]:
    """Runs of designs that are written out, each with the fields of one grid."""
    return [
        ("study", RunConfig.model_validate({**grid, "task": task, "seed": seed}))
        for grid in grids
        for task in tasks
        for seed in range(seeds)
    ]


def design(name: str, **fields: Any) -> dict[str, Any]:
    """A design by the name of a corner, `images-latent-stochastic`, and further fields."""
    predict, space, dynamics = name.split("-")[:3]
    return {
        "design": name,
        "predict": predict,
        "space": space,
        "dynamics": dynamics,
        "size": "small",
    } | fields


def planned(runs: Sequence[tuple[str, RunConfig]]) -> pd.DataFrame:
    """`planned_frame` of them."""
    once = {run_id(config): (study, config) for study, config in runs}
    rows = [
        PlannedRun(
            run, study, config.label, config.task, config.seed, config.model_dump(mode="json"), Path(run)
        )
        for run, (study, config) in once.items()
    ]
    known = {run: config for run, (_, config) in once.items()}
    return planned_frame(rows, design_labels(rows, known), known)


Truth = Callable[[Any], Mapping[str, float]]
"""Columns of a run's row: `value`, and whatever else is planted."""


def evidence(
    runs: Sequence[tuple[str, RunConfig]] | pd.DataFrame,
    truth: Truth = lambda _: {},
    *,
    noise: float = 0.02,
    seed: int = 0,
    report: Mapping[str, Any] | None = None,
) -> Evidence:
    """What all runs being done would show: `truth` of each and noise, of which seeds share a part."""
    frame = runs.copy() if isinstance(runs, pd.DataFrame) else planned(runs)
    rng = np.random.default_rng(seed)
    models = (frame["agent"] == "model").to_numpy()
    base = np.select([frame["agent"] == "random", frame["agent"] == "oracle"], [0.0, 1.0], 0.5)
    shared = {key: rng.normal(0, 2 * noise) for key in zip(frame["task"], frame["seed"], strict=True)}
    offset = np.array([shared[key] for key in zip(frame["task"], frame["seed"], strict=True)])
    size = len(frame)
    columns: dict[str, Any] = {
        "state": "done",
        "basis": "oracle",
        "zero": 0.0,
        "unit": 1.0,
        "diverged": False,
        "value": base,
        "coverage": np.where(models, rng.normal(3, 0.3, size), np.nan),
        "parameters": frame["size"].map(SIZES).astype(float),
        "train_seconds": 80.0,
        "plan_seconds": 40.0,
        "legacy": "",
        "twin": "",
        "whole_image": frame["image_fraction"].astype(float) == 1,
        "reward_varies": True,
    }
    images = (frame["predict"] == "images").to_numpy()
    columns["image_error"] = np.where(images, rng.normal(8, 1, size), np.nan)
    columns["reward_error"] = np.where(models, rng.normal(0.3, 0.05, size), np.nan)
    offline = frame["offline"].astype(bool).to_numpy()
    for error in ("image", "reward"):
        columns[f"heldout_{error}_error"] = np.where(offline, columns[f"{error}_error"], np.nan)
    frame = frame.assign(**columns)
    planted = pd.DataFrame([dict(truth(row)) for row in frame.itertuples()], index=frame.index)
    for name in planted.columns:
        frame[name] = planted[name].where(planted[name].notna(), frame[name])
    frame["value"] = frame["value"] + offset + rng.normal(0, noise, size)
    if "final" not in planted:
        frame["final"] = frame["value"]
    frame["score"] = frame["windowed"] = frame["value"]
    return Evidence(_results(frame, report or {}), frame, pd.DataFrame())


def _results(frame: pd.DataFrame, report: Mapping[str, Any]) -> Results:
    spec = ReportSpec.model_validate(report)
    study = Study(Path("nowhere") / "study", (), {}, spec)
    made = dict.fromkeys(MADE, "same")
    runs = frame[["run", "design", "task", "seed", "agent"]].assign(attempts=1, **made)
    nothing = pd.DataFrame()
    return Results((study,), runs, nothing, nothing, nothing, ())


def changed(found: Evidence, frame: pd.DataFrame) -> Evidence:
    """The same results with other rows."""
    return Evidence(found.results, frame, found.horizon)


def finding(claim: str, found: Evidence, **options: float) -> Finding:
    """What one hypothesis finds; the thresholds are the defaults but for `options`."""
    spec = ReportSpec().options(claim)
    return HYPOTHESES[claim].test(found, spec.model_copy(update=options))
