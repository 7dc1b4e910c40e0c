"""H10: the planner is not the bottleneck: an oracle, planning on the true simulator, is far above learned models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from analysis.claims.claim import Claim, Outcome, need
from analysis.claims.comparable import comparable
from analysis.claims.sample import CELL, Contrast, contrast, families, mean_of, online, trend_of
from analysis.claims.spec import ClaimSpec, GapSpec
from analysis.claims.types import Computed, Need
from analysis.claims.verdicts import INNER, Rule, for_all, has_interval, percent
from analysis.evidence import Evidence
from analysis.matching import field_of, forms
from analysis.words import WINDOWED, plural
from harness.config.fields import walk
from harness.config.sections import PlannerConfig
from harness.registry import PLANNERS

_GAP = f"{WINDOWED} of the oracle -"
_OF_ANY = {"horizon", "particles", "objective", "discount"}
"""Fields of a planner that mean the same to every one."""
_OWN = tuple(f"planner.{name}" for name, _ in walk(PlannerConfig) if name not in _OF_ANY)
_WORDS = {
    "horizon": f"slope of {WINDOWED} per doubling of the planning horizon",
    "proposals": f"slope of {WINDOWED} per doubling of the planner's proposals",
}


def _agents(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs of the oracle and of learned models in the places where both are planned."""
    models, oracles = comparable(online(frame)), frame[frame["agent"] == "oracle"]
    both = set(models["place"]) & set(oracles["place"])
    return oracles[oracles["place"].isin(both)], models[models["place"].isin(both)]


def _needs(frame: pd.DataFrame) -> Need:
    oracles, models = _agents(frame)
    lacking = []
    if online(frame).empty:
        lacking.append("an online design")
    elif models.empty:
        lacking.append("the oracle (`agent: oracle`) on a task of the designs")
    return need(frame, pd.concat([oracles, models]), lacking)


def _compute(evidence: Evidence, options: ClaimSpec) -> Outcome:
    assert isinstance(options, GapSpec)
    level, threshold = options.level, options.margin
    oracles, models = (rows.dropna(subset=["value"]) for rows in _agents(evidence.runs))
    planned = list(_agents(evidence.runs)[1]["design"].unique())
    gaps = {design: _gap(oracles, rows) for design, rows in models.groupby("design", sort=False)}
    found = {str(design): gap for design, gap in gaps.items() if len(gap.cells)}
    sweeps = _sweeps(evidence.runs, level)
    if not found:
        return Outcome((), sweeps, ["no task has a score of both the oracle and a model"])
    numbers = [mean_of(f"gap.{design}", f"{_GAP} {design}", gap, level) for design, gap in found.items()]
    able = [number for number in numbers if has_interval(number)]
    if not able:
        return Outcome([replace(numbers[0], name="gap")], [*numbers[1:], *sweeps])
    closest = min(able, key=lambda number: number.estimate.low)
    # an interval for all at once holds that of one: it can lie below only where that of one does
    of_all = 1 - (1 - level) / len(able)
    below = [number for number in able if number.estimate.high < threshold] or [closest]
    wide = [mean_of(INNER, each.words, found[each.name.removeprefix("gap.")], of_all) for each in below]
    nearest = min(filter(has_interval, wide), key=lambda number: number.estimate.high)
    words = f"{closest.words}, the closest of {plural(len(able), 'design')}"
    wide_words = f"{nearest.words}; {percent(of_all)} interval, for all designs at once"
    primary = [replace(closest, name="gap", words=words), replace(nearest, words=wide_words)]
    tasks = dict.fromkeys(task for gap in found.values() for task in gap.cells["task"])
    return Outcome(primary, [*able, *sweeps], _remarks(planned, found, list(tasks), len(numbers) - len(able)))


def _remarks(
    planned: Sequence[str], found: Mapping[str, Contrast], tasks: Sequence[str], lone: int
) -> list[str]:
    """What is not compared, and what the difference holds beside the model."""
    remarks = ["the oracle plans with a budget of its own, which the runs record"]
    without = [design for design in planned if design not in found]
    if without:
        remarks.append(
            f"{plural(len(without), 'planned design')} without a score beside the oracle's left out"
        )
    part = [design for design, gap in found.items() if gap.cells["task"].nunique() < len(tasks)]
    if part:
        remarks.append(f"{plural(len(part), 'design')} compared on a part of the tasks")
    if lone:
        remarks.append(f"{plural(lone, 'design')} of a single seed, so without an interval, left out")
    return remarks


def _gap(oracles: pd.DataFrame, models: pd.DataFrame) -> Contrast:
    """The oracle less one design, seed by seed: the oracle whose horizon is nearest, of equal ones the first.

    No design and no oracle is chosen by its score: the best of many would be the luckiest.
    """
    cells, rows = [], []
    for place, here in models.groupby("place", sort=False):
        there = oracles[oracles["place"] == place]
        if there.empty:
            continue
        away = (there["oracle_horizon"].astype(float) - float(here["horizon"].iloc[0])).abs()
        there = there[there["design"] == there["design"].to_numpy()[away.to_numpy().argmin()]]
        ours, theirs = (
            part.drop_duplicates("seed").set_index("seed")["value"].astype(float) for part in (there, here)
        )
        found = (ours - theirs).dropna().rename("difference").reset_index()
        used = pd.concat([there, here])
        cells.append(found.assign(task=here["task"].iloc[0], family=0, cell=found["seed"], data="online"))
        rows.append(used[used["seed"].isin(set(found["seed"]))].assign(family=0))
    if not cells:
        return Contrast(pd.DataFrame(columns=[*CELL, "cell", "difference"]), models[:0])
    return Contrast(pd.concat(cells), pd.concat(rows))


def _sweeps(frame: pd.DataFrame, level: float) -> list[Computed]:
    """The score against the planner's budget, and other planners at an equal one."""
    found = []
    for axis, words in _WORDS.items():
        rows = forms(online(frame), f"planner.{axis}")
        rows = rows[rows.groupby(["family", "task"])["level"].transform("nunique") > 1]
        if len(rows):
            found.append(trend_of(f"slope.{axis}", words, rows, level, "doubling"))
    return [*found, *_planners(online(frame), level)]


def _planners(models: pd.DataFrame, level: float) -> list[Computed]:
    """Other planners less CEM, with as many candidates in all and the same horizon."""
    models = models.assign(budget=[_candidates(fields) for fields in models["fields"]])
    found = []
    for other in (name for name in dict.fromkeys(models["planner"]) if name != "cem"):
        parts = [
            families(here, "planner.name", (other, "cem"), _OWN)
            for _, here in models.groupby("budget", sort=False)
        ]
        parts = [part for part in parts if len(part)]
        if parts:
            words = f"mean paired difference of {WINDOWED}, {other} - cem, with as many candidates"
            found.append(mean_of(f"planner.{other}", words, contrast(pd.concat(parts), other, "cem"), level))
    return found


def _candidates(fields: Mapping[str, Any]) -> int:
    """How many action sequences a planner looks at in a call."""
    entry = PLANNERS.get(str(field_of(fields, "planner.name")))
    refits = field_of(fields, "planner.iterations") if entry is None or "iterations" in entry.budget else 1
    return int(refits) * int(field_of(fields, "planner.proposals"))


def _statement(options: ClaimSpec) -> str:
    assert isinstance(options, GapSpec)
    return (
        f"oracle - learned design > {options.margin:g} in {WINDOWED}, mean over these tasks, for every learned "
        "design, at the planning horizon that is nearest"
    )


def _rule(options: ClaimSpec) -> Rule:
    assert isinstance(options, GapSpec)
    return for_all(options.level, options.margin)


H10 = Claim("H10", "The planner is not the bottleneck", _statement, _rule, _needs, _compute)
