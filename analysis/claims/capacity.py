"""H11: larger models score higher."""

from __future__ import annotations

import pandas as pd

from analysis.claims.claim import Claim, Outcome, listed, need
from analysis.claims.images import without
from analysis.claims.sample import counted, form_names, leading, online, trend_of
from analysis.claims.spec import ClaimSpec
from analysis.claims.types import Computed, Need
from analysis.claims.verdicts import directional
from analysis.evidence import Evidence
from analysis.inference.paired import by_task, stratified
from analysis.matching import forms
from analysis.words import WINDOWED, plural

_SLOPE = f"slope of {WINDOWED} per tenfold"
_COSTS = ("parameters", "train_seconds", "plan_seconds")
_PARAMETERS = f"{_SLOPE} parameters, within design, task and seed"


def _sizes(frame: pd.DataFrame) -> pd.DataFrame:
    rows = forms(online(frame), "size")
    return leading(rows[rows.groupby(["family", "task"])["level"].transform("nunique") > 1])


def _needs(frame: pd.DataFrame) -> Need:
    rows = _sizes(frame)
    return need(frame, rows, [] if len(rows) else ["an online design with at least 2 values of `size`"])


def _compute(evidence: Evidence, options: ClaimSpec) -> Outcome:
    rows, level = _sizes(with_costs(evidence.runs)), options.level
    primary = trend_of("slope", _PARAMETERS, rows, level, "tenfold", "parameters")
    names = form_names(rows)
    secondary = [
        trend_of(
            f"design.{name}",
            f"{_PARAMETERS}, {name}",
            rows[rows["family"] == family],
            level,
            "tenfold",
            "parameters",
        )
        for family, name in (names if len(names) > 1 else {}).items()
    ]
    words = f"{_SLOPE} seconds of training and planning, within design, task and seed"
    secondary += [trend_of("cost", words, rows, level, "tenfold", "cost"), *_per_hour(rows, level)]
    if rows["diverged"].any():
        words = f"{_PARAMETERS}, without diverged runs"
        secondary.append(trend_of("excluded", words, without(rows), level, "tenfold", "parameters"))
    counts = rows.dropna(subset=["parameters"]).groupby("task")["value"].count()
    tasks = [task for task in rows["task"].unique() if not counts.get(task, 0)]
    remarks = [f"no run is finished on {listed(tasks)}"] if tasks else []
    return Outcome([primary], secondary, [*remarks, *_placed(rows)])


def with_costs(frame: pd.DataFrame) -> pd.DataFrame:
    """Runs with their parameters, `cost` (seconds of training and planning), and `lent`: whether these are of others.

    They are recorded at the end of a run, so that a diverged one has none, though its score counts: it takes the mean
    of the other runs of its design, those on its task if there are any.
    """
    own = frame[list(_COSTS)].apply(pd.to_numeric, errors="coerce")
    found, ended = own, frame["state"]
    for keys in (["design", "task"], ["design"]):
        means = found.groupby([frame[key] for key in keys], dropna=False).transform("mean")
        found = found.where(found.notna() | ended.ne("diverged").to_numpy()[:, None], means)
    lent = own["parameters"].isna() & found["parameters"].notna()
    columns: dict[str, pd.Series] = {name: found[name] for name in _COSTS}
    return frame.assign(**columns, cost=found["train_seconds"] + found["plan_seconds"], lent=lent)


def _placed(rows: pd.DataFrame) -> list[str]:
    """How many scored runs lack a number of parameters, and how many have that of other runs."""
    said, lent = [], int((rows["lent"] & rows["value"].notna()).sum())
    if lent:
        said.append(
            f"{plural(lent, 'diverged run')} without a record of parameters and cost {_take(lent)} those of other runs "
            "of the design"
        )
    lost = int((rows["value"].notna() & rows["parameters"].isna()).sum())
    if lost:
        said.append(
            f"{plural(lost, 'run')} with a score could not be placed: no run of the design records its parameters"
        )
    return said


def _take(count: int) -> str:
    return "takes" if count == 1 else "take"


def _per_hour(rows: pd.DataFrame, level: float) -> list[Computed]:
    """What an hour of training and planning buys at each size."""
    found = []
    paid = rows[rows["cost"] > 0].dropna(subset=["value"])
    paid = paid.assign(per_hour=paid["value"].astype(float) / (paid["cost"] / 3600))
    for size, here in paid.groupby("level", sort=False):
        means = here.groupby(["task", "seed"])["per_hour"].mean().reset_index()
        words = f"{WINDOWED} per hour of training and planning, {size}"
        estimate = stratified(by_task(means, "per_hour"), "per hour", size, level=level)
        found.append(counted(f"per_hour.{size}", words, estimate, here))
    return found


H11 = Claim(
    "H11",
    "Larger models score higher",
    lambda _: f"{_PARAMETERS} > 0",
    lambda options: directional(options.level),
    _needs,
    _compute,
)
