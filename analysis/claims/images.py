"""H1: predicting images helps online."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.claims.claim import Claim, Outcome, listed, need
from analysis.claims.remarks import absent, set_aside, unequal_parameters
from analysis.claims.sample import (
    Contrast,
    by_seed,
    contrast,
    counted,
    each_family,
    families,
    leading,
    mean_of,
    note_on,
    online,
    over_families,
    published,
)
from analysis.claims.spec import ClaimSpec
from analysis.claims.types import Computed, Need
from analysis.claims.verdicts import directional
from analysis.evidence import Evidence
from analysis.inference.paired import over_tasks, stratified
from analysis.inference.shares import binomial, score_interval
from analysis.inference.strata import Strata
from analysis.words import FINAL, WINDOWED

LEVELS = ("images", "rewards")
PAIR = "a pair of online designs that differ in `predict` alone (images, rewards)"
_GAP = f"mean paired difference of {WINDOWED}, images - rewards"


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
        improvement(found, level),
        generalised(found, _GAP, level),
        *over_families(found.cells, _GAP, found.rows, level, "pairs"),
        *by_seed(found, _GAP, level),
        mean_of("final", _GAP.replace(WINDOWED, FINAL), contrast(rows, *LEVELS, "final"), level),
        *without_diverged(rows, LEVELS, _GAP, level),
    ]
    return Outcome([primary], secondary, left_out(rows, found, everything))


def controlled(found: Contrast, words: str, level: float) -> list[Computed]:
    """The pair of the RSSM with and without its decoder (REFERENCE, H1)."""
    rows = found.rows
    of_pair = rows[(rows["space"] == "latent") & (rows["dynamics"] == "stochastic")]
    return [
        mean_of("controlled", f"{words}, of the stochastic latent pair", found.of_pair(pair), level)
        for pair in of_pair["pair"].unique()[:1]
    ]


def _published(rows: pd.DataFrame, level: float) -> list[Computed]:
    of_pair = published(rows)
    if of_pair.empty:
        return []
    words = f"{_GAP}, with the published loss (model.open_loop_weight 0)"
    return [mean_of("published", words, contrast(of_pair, *LEVELS), level)]


def improvement(found: Contrast, level: float) -> Computed:
    """How often the image design of a pair wins, within pairs: designs that are better in all share no part in it."""
    wins = np.heaviside(found.cells["difference"].to_numpy(float), 0.5)
    values = Contrast(found.cells.assign(difference=wins), found.rows).by_task()
    estimate = stratified(values, "improvement", level=level)
    low, high, strata = estimate.low, estimate.high, Strata.of(values)
    if strata.n > 1 and np.nansum(strata.variances()) == 0:  # as all seeds agree; the next one may not
        low, high = map(float, score_interval(strata.means(), strata.count, binomial(strata.count), level))
        estimate = replace(estimate, kind="score")
    low, high = (float(np.clip(end, 0, 1)) for end in (low, high))
    words = "probability that the image design of a pair scores above the reward design at a seed of its task"
    return counted("improvement", words, replace(estimate, low=low, high=high), found.rows, note_on(values))


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


def left_out(rows: pd.DataFrame, found: Contrast, planned: pd.DataFrame | None = None) -> list[str]:
    """What is planned and has no part in a comparison, and in what else its pairs differ.

    Args:
        rows: of the setting that is compared.
        found: the differences.
        planned: `rows` before a setting was chosen.
    """
    tasks = [task for task in rows["task"].unique() if task not in set(found.cells["task"])]
    said = absent(rows, found.cells)
    said += [f"no pair is finished on {listed(tasks)}"] if tasks else []
    count = rows["cell"].nunique()
    if 0 < len(found.cells) < count:
        said.append(f"{len(found.cells)} of {count} planned pairs of runs are compared")
    return [
        *said,
        *(set_aside(planned, rows) if planned is not None else ()),
        *unequal_parameters(found.rows),
    ]


H1 = Claim(
    "H1",
    "Images help online",
    lambda _: (
        f"images - rewards > 0, in {WINDOWED}, over the matched pairs of these designs and tasks on common seeds "
        "(seeds are the sample, and independent between tasks)"
    ),
    lambda options: directional(options.level),
    _needs_pairs,
    _images_help,
)
