"""H5: the gap between image and reward models closes offline. H7: designs rank otherwise online than offline."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.claims.claim import Claim, Outcome, listed, need
from analysis.claims.comparable import comparable
from analysis.claims.images import LEVELS, PAIR, left_out, without
from analysis.claims.sample import (
    Contrast,
    contrast,
    counted,
    families,
    leading,
    mean_of,
    of_seeds,
    offline,
    online,
)
from analysis.claims.spec import ClaimSpec
from analysis.claims.types import Computed, Need, Verdict
from analysis.claims.verdicts import Rule, directional, percent
from analysis.evidence import Evidence
from analysis.inference.estimate import Estimate
from analysis.inference.ranks import MIN_DESIGNS, MIN_SEEDS, RankMismatch, rank_mismatch
from analysis.matching import EXPLORATION, rests
from analysis.words import FINAL, WINDOWED, short_task

_IGNORED = (EXPLORATION,)
_END = 0.05  # of the scale
_GAP = f"mean paired difference of {WINDOWED}, images - rewards"


def shared_data(rows: pd.DataFrame, unit: str) -> pd.DataFrame:
    """The offline rows on the dataset of each task on which most families (or designs) are trained, of equal ones the
    first in the plan.
    """
    counts = rows.groupby(["task", "data"], sort=False)[unit].nunique().reset_index()
    chosen = counts.loc[counts.groupby("task", sort=False)[unit].idxmax()]
    keys = set(zip(chosen["task"], chosen["data"], strict=True))
    return rows[np.array([key in keys for key in zip(rows["task"], rows["data"], strict=True)], dtype=bool)]


def _pairs(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pairs of H1 that are planned online and offline: the runs of either kind."""
    here, there = (families(rows, "predict", LEVELS, _IGNORED) for rows in (online(frame), offline(frame)))
    common = set(here["family"]) & set(there["family"])
    if not common:
        return leading(here), there[:0]
    here = leading(here[here["family"].isin(common)])
    return here, shared_data(there[there["family"].isin(set(here["family"]))], "family")


def _needs_pairs(frame: pd.DataFrame) -> Need:
    here, there = _pairs(frame)
    lacking = [] if len(here) else [PAIR]
    if there.empty:
        lacking.append("such a pair trained on one dataset (`data.mode: offline`) as well as online")
    return need(frame, pd.concat([here, there]), lacking)


def _gap_closes(evidence: Evidence, options: ClaimSpec) -> Outcome:
    here, there = _pairs(evidence.runs)
    found, gaps = _closing(here, there)
    words = f"{_GAP}, online - offline"
    primary = of_seeds("difference", words, found.seeds(), found.rows, options.level)
    online_gap, offline_gap = (
        mean_of(name, f"{_GAP}, {name}", gap, options.level)
        for name, gap in zip(("online", "offline"), gaps, strict=True)
    )
    total = _closing(here, there, sign=1)[0]
    reversed_ = of_seeds("sum", f"{_GAP}, online + offline", total.seeds(), total.rows, options.level)
    secondary = [offline_gap]
    final, _ = _closing(here, there, "final")
    secondary.append(mean_of("final", words.replace(WINDOWED, FINAL), final, options.level))
    if pd.concat([here, there])["diverged"].any():
        rest, _ = _closing(without(here), without(there))
        secondary.append(mean_of("excluded", f"{words}, without diverged runs", rest, options.level))
    remarks = [*left_out(here, Contrast(found.cells, found.rows)), *_at_an_end(gaps[1].rows)]
    return Outcome([primary, online_gap, reversed_], secondary, remarks)


def _at_an_end(rows: pd.DataFrame) -> list[str]:
    """Tasks on which offline scores are near the random agent's or the oracle's, where no gap can show."""
    means = rows.groupby("task", sort=False)["value"].mean()
    ends = [str(task) for task, mean in means.items() if not _END <= mean <= 1 - _END]
    return (
        [f"offline scores lie near an end of the scale on {listed(ends)}, where a gap cannot show"]
        if ends
        else []
    )


def _narrows(level: float) -> Rule:
    """There is a gap online, and offline it is smaller, not turned around."""

    def decide(found: Sequence[Estimate]) -> Verdict:
        difference, gap, both = found
        if min(each.low for each in found) > 0:
            return "supported"
        widens = difference.high < 0 or both.high < 0
        return "contradicted" if gap.low > 0 and widens else "inconclusive"

    text = (
        f"Supported if the {percent(level)} intervals of the gap online, of online - offline and of online + offline "
        "lie above 0 (there is a gap, and offline it is smaller, not turned around by as much), contradicted if the "
        "gap online lies above 0 and online - offline or online + offline below 0, inconclusive otherwise."
    )
    return Rule(text, decide)


def _closing(
    here: pd.DataFrame, there: pd.DataFrame, value: str = "value", sign: int = -1
) -> tuple[Contrast, tuple[Contrast, Contrast]]:
    """How much smaller the gap is offline (with another sign: their sum), and both gaps, on what both have: families,
    tasks and seeds.
    """
    gaps = [contrast(rows, *LEVELS, value) for rows in (here, there)]
    keys = ["family", "task", "seed"]
    online_gap, offline_gap = (gap.cells.groupby(keys, sort=False)["difference"].mean() for gap in gaps)
    cells = (online_gap + sign * offline_gap).dropna().rename("difference").reset_index()
    common = set(zip(*(cells[key] for key in keys), strict=True))
    kept = [Contrast(_among(gap.cells, keys, common), _among(gap.rows, keys, common)) for gap in gaps]
    rows = pd.concat([gap.rows for gap in kept])
    return Contrast(cells.assign(data="both", cell=range(len(cells))), rows), (kept[0], kept[1])


def _among(frame: pd.DataFrame, keys: Sequence[str], chosen: Collection[tuple[Any, ...]]) -> pd.DataFrame:
    """The rows whose keys are among those."""
    here = [key in chosen for key in zip(*(frame[name] for name in keys), strict=True)]
    return frame[np.array(here, dtype=bool)]


H5 = Claim(
    "H5",
    "The gap narrows offline",
    lambda _: (
        f"images - rewards > 0 online, and on one shared dataset smaller in size, in {WINDOWED}, on the same "
        "pairs, tasks and seeds, of these designs and tasks"
    ),
    lambda options: _narrows(options.level),
    _needs_pairs,
    _gap_closes,
)


def _ranked(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Designs that are planned online and on a shared dataset: the runs of either kind, with their `form`."""
    parts = []
    for rows in map(comparable, (online(frame), offline(frame))):
        named = rows.assign(form=rests(rows, _IGNORED))
        parts.append(named.drop_duplicates(["form", "task", "data", "seed"]))
    here, there = parts
    there = there[there["form"].isin(set(here["form"]))]
    there = shared_data(there, "form") if len(there) else there
    return here[here["form"].isin(set(there["form"]))], there


def _needs_ranks(frame: pd.DataFrame) -> Need:
    here, there = _ranked(frame)
    lacking, designs = [], there["form"].nunique()
    if designs < MIN_DESIGNS:
        lacking.append(f"{MIN_DESIGNS} designs both online and on one shared dataset (there {_are(designs)})")
    else:
        seeds = min(rows.groupby(["form", "task"])["seed"].nunique().max() for rows in (here, there))
        if seeds < MIN_SEEDS:
            lacking.append(f"{MIN_SEEDS} seeds online and offline (there {_are(int(seeds))})")
    return need(frame, pd.concat([here, there]), lacking)


def _are(count: int) -> str:
    return f"is {count}" if count == 1 else f"are {count}"


def _ranks_differ(evidence: Evidence, options: ClaimSpec) -> Outcome:
    here, there = (rows.dropna(subset=["value"]) for rows in _ranked(evidence.runs))
    # several datasets count as one condition: a design's score at a seed is their mean
    conditions = [
        rows.groupby(["form", "task", "seed"], sort=False)["value"]
        .mean()
        .rename_axis(index={"form": "design"})
        for rows in (here, there)
    ]
    first, second = (means.reset_index() for means in conditions)
    found = rank_mismatch(first, second, level=options.level)
    tasks = [each.task for each in found.tasks]
    rows = pd.concat([here, there])
    rows = rows[rows["task"].isin(tasks)]
    words = "Kendall's tau of the ranks of designs online and offline, below its ceiling with these seeds"
    primary = counted("mismatch", words, found.mismatch, rows)
    return Outcome([primary], _of_ranks(found, rows), missing=list(found.missing))


def _of_ranks(found: RankMismatch, rows: pd.DataFrame) -> list[Computed]:
    n = found.mismatch.n
    numbers = [
        ("ceiling", "Kendall's tau that equal true ranks would reach with these seeds", found.ceiling),
        ("across", "Kendall's tau of online and offline ranks, of disjoint seeds", found.across),
    ]
    secondary = [
        counted(name, words, Estimate(value, float("nan"), float("nan"), n, "none"), rows)
        for name, words, value in numbers
    ]
    for each in found.tasks:
        task = short_task(each.task)
        words = f"Kendall's tau of online and offline ranks of means over all seeds, {task}"
        here = rows[rows["task"] == each.task]
        secondary.append(counted(f"task.{task}", words, each.tau, here, of="designs"))
    return secondary


H7 = Claim(
    "H7",
    "Ranks differ online and offline",
    lambda _: "ceiling - Kendall's tau(online rank, offline rank) > 0, averaged over tasks",
    lambda options: directional(options.level),
    _needs_ranks,
    _ranks_differ,
)
