"""H8: the score goes with what was seen, and follows whose data it was more than the model that learns."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.claims.associations import correlated
from analysis.claims.claim import Claim, Outcome, need
from analysis.claims.comparable import comparable, left_out, with_one_planner
from analysis.claims.correlates import more
from analysis.claims.sample import counted, offline, online
from analysis.claims.spec import ClaimSpec
from analysis.claims.types import Computed, Need
from analysis.claims.verdicts import directional
from analysis.evidence import Evidence
from analysis.inference.correlation import MIN_CLUSTERS
from analysis.inference.decomposition import PARTS, decompose
from analysis.matching import EXPLORATION, rests
from analysis.words import WINDOWED

_CROSS = (
    "models trained on each other's replay: 2 designs, each on the same 2 datasets of a task, in one study"
)
_COVERAGE = "coverage of the replay (entropy of its states)"
_COVERAGE_HALF = "the correlation of coverage with the score"
_CROSS_HALF = "the comparison of models that are trained on each other's replay"


def _collecting(frame: pd.DataFrame) -> pd.DataFrame:
    return with_one_planner(comparable(online(frame)))


def _crossed(frame: pd.DataFrame) -> pd.DataFrame:
    """Offline runs of studies in which models are trained on several datasets of a task."""
    rows = comparable(offline(frame))
    rows = rows.assign(form=rests(rows, (EXPLORATION,)))
    datasets = rows.groupby(["study", "task", "form"])["data"].transform("nunique")
    rows = rows[datasets > 1]
    models = rows.groupby(["study", "task", "data"])["form"].transform("nunique")
    return rows[models > 1].drop_duplicates(["form", "data", "task", "seed"])


def _lacking(frame: pd.DataFrame) -> tuple[list[str], list[str]]:
    """What either half lacks."""
    designs = more("online designs", _collecting(frame), MIN_CLUSTERS)
    return designs, [] if len(_crossed(frame)) else [_CROSS]


def _needs(frame: pd.DataFrame) -> Need:
    lacking = _lacking(frame)
    halves = [rows(frame) for rows, lacks in zip((_collecting, _crossed), lacking, strict=True) if not lacks]
    if not halves:
        return need(frame, frame[:0], [*lacking[0], *lacking[1]])
    return need(frame, pd.concat(halves))


def _compute(evidence: Evidence, options: ClaimSpec) -> Outcome:
    """Both halves if the plan holds both, else the one that it holds."""
    frame, level = evidence.runs, options.level
    lacking = _lacking(frame)
    found, secondary, remarks = [], [], []
    if not lacking[0]:
        rows = _collecting(frame)
        words = f"Spearman's rho of the {_COVERAGE} and the {WINDOWED}, over online designs"
        found.append(correlated("coverage", words, rows, "coverage", "value", level))
        remarks += left_out(online(frame), rows)
    if not lacking[1]:
        primary, shares = _decomposed(_crossed(frame), level)
        found.append(primary)
        secondary += shares
    if len(found) == 1:
        half, other = (_CROSS_HALF, _COVERAGE_HALF) if lacking[0] else (_COVERAGE_HALF, _CROSS_HALF)
        remarks.insert(0, f"it is decided by {half} alone: the plan lacks {other}")
    return Outcome(found, secondary, remarks, lacking[0] + lacking[1])


def _decomposed(rows: pd.DataFrame, level: float) -> tuple[Computed, list[Computed]]:
    """The share of the data less that of the model, and all shares."""
    data, form, task, seed = (rows[name].tolist() for name in ("data", "form", "task", "seed"))
    with np.errstate(invalid="ignore", divide="ignore"):  # scores that do not vary have no shares
        found = decompose(data, form, task, seed, rows["value"].to_numpy(float), level=level)
    used = rows.dropna(subset=["value"])
    words = f"share of the variance of the {WINDOWED}, of these datasets and models, that goes with"
    note = f"{found.left_out} runs are left out: their seed has not all cells" if found.left_out else ""
    primary = counted("data", f"{words} the data - with the model", found.difference, used, note)
    shares = [
        counted(f"share.{part}", f"{words} the {part}", found.shares[part], used, note) for part in PARTS
    ]
    return primary, shares


H8 = Claim(
    "H8",
    "Coverage goes with the score, and the score follows the data",
    lambda _: (
        f"Spearman's rho of coverage and {WINDOWED} > 0 over online designs (variants of one are taken as one, by "
        "their mean); and, of these datasets and models, trained on each other's replay, variance due to the data - "
        "due to the model > 0; of a plan that holds one of the two, that one alone"
    ),
    lambda options: directional(options.level, several=True),
    _needs,
    _compute,
)
