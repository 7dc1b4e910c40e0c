"""H1: predicting images helps online."""

from __future__ import annotations

import pandas as pd

from analysis.claims.claim import Claim, Outcome, listed, need
from analysis.claims.sample import (
    Contrast,
    contrast,
    counted,
    each_family,
    families,
    leading,
    mean_of,
    online,
    published,
)
from analysis.claims.spec import ClaimSpec
from analysis.claims.types import Computed, Need
from analysis.claims.verdicts import directional
from analysis.evidence import Evidence
from analysis.inference.aggregates import probability_of_improvement
from analysis.inference.paired import by_task, over_tasks

LEVELS = ("images", "rewards")
PAIR = "a pair of online designs that differ in `predict` alone (images, rewards)"
_GAP = "mean paired difference of normalised score, images - rewards"


def pairs(frame: pd.DataFrame) -> pd.DataFrame:
    """The online runs of pairs that predict images or rewards alone, with any loss."""
    return families(online(frame), "predict", LEVELS)


def _needs_pairs(frame: pd.DataFrame) -> Need:
    rows = leading(pairs(frame))
    return need(frame, rows, [] if len(rows) else [PAIR])


def _images_help(evidence: Evidence, options: ClaimSpec) -> Outcome:
    everything = pairs(evidence.runs)
    rows, level = leading(everything), options.level
    found = contrast(rows, *LEVELS)
    primary = mean_of("difference", _GAP, found, level)
    secondary = [
        *controlled(found, _GAP, level),
        *each_family(found, _GAP, level),
        *_published(everything, level),
        _improvement(found, level),
        generalised(found, _GAP, level),
        mean_of("final", f"{_GAP}, of the final phase", contrast(rows, *LEVELS, "final"), level),
        *without_diverged(rows, LEVELS, _GAP, level),
    ]
    return Outcome([primary], secondary, left_out(rows, found))


def controlled(found: Contrast, words: str, level: float) -> list[Computed]:
    """The pair of the RSSM with and without its decoder (REFERENCE, H1)."""
    rows = found.rows
    of_pair = rows[(rows["space"] == "latent") & (rows["dynamics"] == "stochastic")]
    return [
        mean_of("controlled", f"{words}, of the stochastic latent pair", found.of(family), level)
        for family in of_pair["family"].unique()[:1]
    ]


def _published(rows: pd.DataFrame, level: float) -> list[Computed]:
    of_pair = published(rows)
    if of_pair.empty:
        return []
    words = f"{_GAP}, with the published loss (model.open_loop_weight 0)"
    return [mean_of("published", words, contrast(of_pair, *LEVELS), level)]


def _improvement(found: Contrast, level: float) -> Computed:
    first, second = (
        by_task(found.rows[found.rows["level"] == each].drop_duplicates("run"), "value") for each in LEVELS
    )
    estimate = probability_of_improvement(first, second, level=level)
    words = "probability that a run of an image design scores above one of a reward design of its task"
    return counted("improvement", words, estimate, found.rows, of="runs")


def generalised(found: Contrast, words: str, level: float) -> Computed:
    """The same mean with an interval for other tasks."""
    estimate = over_tasks(found.by_task(), level=level)
    return counted("tasks", f"{words}; interval for other tasks", estimate, found.rows, of="tasks")


def without_diverged(rows: pd.DataFrame, levels: tuple[str, str], words: str, level: float) -> list[Computed]:
    """The difference without the runs that diverged, if some count."""
    if not rows["diverged"].any():
        return []
    found = contrast(without(rows), *levels)
    return [mean_of("excluded", f"{words}, without diverged runs", found, level)]


def without(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of runs that did not diverge, where diverged ones count."""
    return rows[~rows["diverged"].astype(bool)]


def left_out(rows: pd.DataFrame, found: Contrast) -> list[str]:
    """What is planned and has no part in a comparison: whole tasks by name, and cells."""
    tasks = [task for task in rows["task"].unique() if task not in set(found.cells["task"])]
    said = [f"no pair is finished on {listed(tasks)}"] if tasks else []
    planned = rows["cell"].nunique()
    if 0 < len(found.cells) < planned:
        said.append(f"{len(found.cells)} of {planned} planned pairs of runs are compared")
    return said


H1 = Claim(
    "H1",
    "Images help online",
    lambda _: "images - rewards > 0, in normalised score, over matched pairs of designs on common seeds",
    lambda options: directional(options.level),
    _needs_pairs,
    _images_help,
)
