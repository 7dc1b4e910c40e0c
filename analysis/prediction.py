"""Open-loop errors per run, their baselines, and what they have to do with the score."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from analysis.kin import forms, main_planner
from analysis.load import Results
from analysis.results import once
from analysis.scales import places
from analysis.scores import run_scores
from harness.config import semantic_fields

PRIMARY = {"image": "image_error_mean", "reward": "reward_error_mean"}
"""The error of the mean forecast: the one that the comparison of designs uses (SCIENCE 13)."""
BASELINE = {"image": "image_error_baseline", "reward": "reward_error_baseline"}
UNITS = {"image": "0–255", "reward": "reward per step"}
DATASET = "probe"
"""Data that no design has a say in, which every run is measured on."""
POOLED = "pooled"
"""Data of all designs alike, which finished runs can be measured on by `wm evaluate STUDY --dataset pooled --save`."""
LEAST_VARIATION = 0.01
"""Below this part of the range of final returns per step, the error of "repeat the last reward" counts as none:
the task's reward does not vary on the probe data.
"""
FLAT = "reward does not vary on the common data"
Error = Literal["image", "reward"]
ERRORS: tuple[Error, Error] = ("image", "reward")
Sample = Literal["image designs", "all designs"]
SAMPLES: tuple[tuple[Error, Sample], ...] = (
    ("image", "image designs"),
    ("reward", "image designs"),
    ("reward", "all designs"),
)
"""What is correlated with the score: the reward error also on the designs that have an image error."""


@once
def over_horizon(results: Results, error: Error, dataset: str = DATASET) -> pd.DataFrame:
    """One row a run and step: run, design, task, seed, step, value, baseline, phase.

    From the final phase; a run that has not reached it appears with its last scheduled measurement.
    """
    data = results.open_loop
    data = data[(data["dataset"] == dataset) & data["metric"].isin([PRIMARY[error], BASELINE[error]])]
    keys = ["run", "design", "task", "seed"]
    finals = set(results.runs.loc[results.runs["final"], "run"])
    wanted = data["run"].isin(finals) == (data["phase"] == "final")
    wide = data[wanted].pivot_table(
        index=[*keys, "phase", "step"], columns="metric", values="value", sort=False
    )
    wide = wide.reindex(columns=[PRIMARY[error], BASELINE[error]]).reset_index()
    return wide.rename(columns={PRIMARY[error]: "value", BASELINE[error]: "baseline"}).rename_axis(
        columns=None
    )


@dataclass(frozen=True)
class CommonData:
    """Which data the errors that are correlated with scores are measured on; never `own` (SCIENCE 11).

    Attributes:
        dataset: `pooled` where every finished run with a model was measured on the same such episodes, else `probe`.
        note: why not `pooled`, if some run was.
        kept: ` (pooled is kept for 6 of 10 runs)` where `pooled` is not used, for captions.
    """

    dataset: str
    note: str = ""
    kept: str = ""


@once
def common_data(results: Results) -> CommonData:
    """The data that all runs of a correlation share."""
    runs = results.runs
    finished = set(runs.loc[(runs["agent"] == "model") & runs["final"], "run"])
    measured = results.evaluated[
        (results.evaluated["dataset"] == POOLED) & results.evaluated["run"].isin(finished)
    ]
    if measured.empty:
        return CommonData(DATASET)
    how = f"correlations use the errors on {DATASET}"
    missing = len(finished) - measured["run"].nunique()
    if missing:
        have = f"{len(finished) - missing} of {len(finished)} finished runs were measured on {POOLED}"
        again = f"`wm evaluate STUDY --dataset {POOLED} --save` measures the others"
        kept = f" ({POOLED} is kept for {len(finished) - missing} of {len(finished)} runs)"
        return CommonData(DATASET, f"{have}: {how}; {again}", kept)
    several = [str(task) for task, digests in measured.groupby("task")["digest"] if len(set(digests)) > 1]
    if several:
        again = f"`wm evaluate STUDY --dataset {POOLED} --save` measures all on today's"
        note = f"{POOLED} has several contents on {', '.join(several)}: {how}; {again}"
        return CommonData(DATASET, note, f" ({POOLED} has several contents)")
    return CommonData(POOLED)


@once
def run_errors(results: Results) -> pd.DataFrame:
    """One row a run of a model: run, design, task, seed, predict, state, score, image_error, reward_error.

    Errors are means over the horizon on `dataset` (`common_data`), of the final phase's frozen weights, as is the
    score; each with its baseline. `whole_image` is false where a part of the image alone was trained
    (`image_fraction` below 1), `reward_varies` where the reward of the task (nearly) stands still there
    (`LEAST_VARIATION`). `legacy` names the faults that are restored, `twin` the design that has the same agent and is
    used in its place (`_twins`); `own_model` is true where the harness cannot know what the model makes of such
    fields; `other_planner` where the planner is not that of most designs on the task (`_other_planner`). `form` is the
    family of the design, the first that it is a variant of (`kin.forms`).
    """
    scores = run_scores(results)
    frame = scores[scores["agent"] == "model"].drop(columns=["agent", "final", "episodes", "windowed"])
    frame = frame.merge(results.runs[["run", "predict", "legacy", "own_model"]], on="run")
    frame["dataset"] = dataset = common_data(results).dataset
    set_errors(frame, results, dataset)
    fractions = frame["run"].map(results.runs.set_index("run")["image_fraction"]).astype(float)
    frame["whole_image"] = ~(fractions < 1)
    frame["reward_varies"] = ~frame["task"].isin(_flat(results, frame))
    twins = _twins(results, frame, fractions)
    frame["twin"] = [twins.get(run, "") for run in frame["run"]]
    frame["form"] = _forms(results, frame)
    frame["other_planner"] = _other_planner(results, frame)
    return frame.reset_index(drop=True)


def set_errors(frame: pd.DataFrame, results: Results, dataset: str) -> None:
    """Gives the runs of a frame their errors on a dataset: `image_error`, `reward_error` and the baselines, means over
    the horizon of the final phase.
    """
    metrics = {f"{error}_error": PRIMARY[error] for error in ERRORS}
    metrics |= {f"{error}_baseline": BASELINE[error] for error in ERRORS}
    means = horizon_means(results, tuple(metrics.values()), dataset)
    for name, metric in metrics.items():
        frame[name] = frame["run"].map(means[metric]).astype(float)


@once
def horizon_means(results: Results, metrics: tuple[str, ...], dataset: str) -> pd.DataFrame:
    """Means over the horizon of the final phase, NaN if a step is: one row a run (the index), one column a metric."""
    data = results.open_loop
    finals = set(results.runs.loc[results.runs["final"], "run"])
    data = data[(data["dataset"] == dataset) & data["metric"].isin(metrics) & (data["phase"] == "final")]
    data = data[data["run"].isin(finals)]
    found = {}
    for metric in metrics:
        of_metric = data[data["metric"] == metric]
        steps = of_metric["value"].groupby(of_metric["run"].astype(str))
        found[metric] = steps.mean().where(steps.count() == steps.size())
    return pd.DataFrame(found)


_OF_THE_IMAGE_HALF = {"image_fraction", "model.image_scale"}


def _twins(results: Results, errors: pd.DataFrame, fractions: pd.Series) -> dict[str, str]:
    """Runs whose agent is that of a run of another design, by run: that design.

    With `reward_gradient: separate` the agent plans with a model of its own: runs that differ in what their other
    half, the image model, is trained on have the same scores, and are not independent. The one with the fullest image
    stands for them, the first in the plan where several have it.
    """
    found: dict[str, str] = {}
    first: dict[str, str] = {}
    order = errors.assign(fraction=fractions)[errors["score"].notna() & errors["reward_error"].notna()]
    for row in order.sort_values("fraction", ascending=False, kind="stable").itertuples():
        run, config = str(row.run), results.configs.get(str(row.run))
        if config is None or config.reward_gradient != "separate" or config.model.name != "auto":
            continue
        fields = {k: v for k, v in semantic_fields(config).items() if k not in _OF_THE_IMAGE_HALF}
        design = first.setdefault(json.dumps(fields, sort_keys=True), str(row.design))
        if design != row.design:
            found[run] = design
    return found


def _forms(results: Results, errors: pd.DataFrame) -> list[str]:
    """The family of each run's design."""
    first = errors.drop_duplicates("design")
    configs = {str(row.design): results.configs.get(str(row.run)) for row in first.itertuples()}
    fields = {name: semantic_fields(config) if config else {} for name, config in configs.items()}
    designs = errors["design"].astype(str).tolist()
    return forms(designs, [fields[name] for name in designs])


def _other_planner(results: Results, errors: pd.DataFrame) -> pd.Series:
    """Whether a run has not the planner of most on its task, of online or of offline runs (`kin.main_planner`)."""
    configs = [results.configs.get(str(run)) for run in errors["run"]]
    planner = [json.dumps(config.planner.model_dump(mode="json")) if config else "" for config in configs]
    where = places(results)
    place = [
        repr((config is not None and config.offline, where[str(run)]))
        for run, config in zip(errors["run"], configs, strict=True)
    ]
    frame = errors[["design", "form"]].assign(place=place, planner=planner)
    once_each = frame[(errors["legacy"] == "") & (errors["twin"] == "")]
    return frame["planner"] != frame["place"].map(main_planner(once_each))


def _flat(results: Results, errors: pd.DataFrame) -> set[str]:
    """Tasks whose reward varies too little on the common data for its error to mean anything.

    The rule: the error of "repeat the last reward", averaged over the horizon and the runs, is 0, or below 1 % of
    the range of the final returns of all agents on the task, divided by the steps of an episode.
    """
    final = results.evaluations[results.evaluations["phase"] == "final"]
    lengths = final.groupby("task")["length"].mean()
    scores = run_scores(results).groupby("task")["score"]
    spread = ((scores.max() - scores.min()) / lengths).fillna(0.0)
    baseline = errors.groupby("task")["reward_baseline"].mean().dropna()
    least = LEAST_VARIATION * spread.reindex(baseline.index, fill_value=0.0)
    return set(baseline.index[(baseline == 0) | (baseline < least)])


def chosen(data: pd.DataFrame, error: Error, sample: Sample) -> pd.DataFrame:
    """The rows of `run_errors` that the correlation of an error may use.

    `image designs` are those that predict whole images: a model of a part of the image has another error
    (SCIENCE 6). Rewards that do not vary have no error to speak of. Faults that are restored (`legacy`) are no
    designs to compare, designs with the same agent are one, and scores with another planner are other scores.
    """
    data = data[compared_once(data)]
    if error == "image" or sample == "image designs":
        data = data[(data["predict"] == "images") & data["whole_image"]]
    return data if error == "image" else data[data["reward_varies"]]


def compared_once(data: pd.DataFrame) -> pd.Series:
    """Which rows of `run_errors` are of an agent that has a place of its own in the comparison of designs."""
    return (data["legacy"] == "") & (data["twin"] == "") & ~data["other_planner"]


@once
def horizon_table(results: Results) -> pd.DataFrame:
    """Error against the baseline: one row a design, task and error, means over seeds and steps.

    Columns: error, design, task, first, last (step), mean (over the horizon), baseline (its mean), ratio
    (mean / baseline; below 1 beats "repeat the last"), n (runs), unfinished (of them, not from the final phase).
    """
    rows = []
    for error in ERRORS:
        data = over_horizon(results, error)
        data = data.dropna(subset=["value"])
        for (design, task), cell in data.groupby(["design", "task"], sort=False):
            steps = cell.groupby("step")[["value", "baseline"]].mean()
            mean, baseline = steps["value"].mean(), steps["baseline"].mean()
            first, last = steps["value"].iloc[0], steps["value"].iloc[-1]
            row = {"error": error, "design": design, "task": task, "first": first, "last": last, "mean": mean}
            row |= {"baseline": baseline, "ratio": mean / baseline if baseline else float("nan")}
            early = cell.loc[cell["phase"] != "final", "run"].nunique()
            rows.append(row | {"n": cell["run"].nunique(), "unfinished": early, "horizon": len(steps)})
    names = [
        "error",
        "design",
        "task",
        "first",
        "last",
        "mean",
        "baseline",
        "ratio",
        "n",
        "unfinished",
        "horizon",
    ]
    return pd.DataFrame(rows, columns=names)
