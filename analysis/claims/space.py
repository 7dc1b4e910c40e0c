"""H2: whether a model predicts in a latent space or in pixels matters little."""

from __future__ import annotations

import pandas as pd

from analysis.claims.claim import Claim, Outcome, need
from analysis.claims.images import generalised, left_out, without_diverged
from analysis.claims.sample import (
    Contrast,
    contrast,
    counted,
    each_family,
    families,
    leading,
    mean_of,
    note_on,
    online,
    over_families,
)
from analysis.claims.scaled import on_scale
from analysis.claims.spec import ClaimSpec, MarginSpec
from analysis.claims.types import Computed, Need
from analysis.claims.verdicts import INNER, Rule, equivalence, inner_level, percent
from analysis.evidence import Evidence
from analysis.inference.paired import equivalence as two_one_sided
from analysis.words import FINAL, WINDOWED, short_task

_LEVELS = ("latent", "pixel")
_GAP = f"mean paired difference of {WINDOWED}, latent - pixel"


def _predict_images(frame: pd.DataFrame) -> pd.DataFrame:
    """Online runs of agents that plan with a model which predicts images (not with a reward model of its own)."""
    rows = online(frame)
    return rows[(rows["predict"] == "images") & (rows["reward_gradient"] != "separate")]


def _pairs(frame: pd.DataFrame) -> pd.DataFrame:
    return families(_predict_images(frame), "space", _LEVELS)


def _needs(frame: pd.DataFrame) -> Need:
    rows = leading(_pairs(frame))
    lacking = "a pair of online designs that predict images and differ in `space` alone (latent, pixel)"
    return need(frame, rows, [] if len(rows) else [lacking])


def _compute(evidence: Evidence, options: ClaimSpec) -> Outcome:
    assert isinstance(options, MarginSpec)
    planned, level = _pairs(evidence.runs), options.level
    rows = leading(planned)
    found = contrast(rows, *_LEVELS)
    tested = two_one_sided(found.by_task(), options.margin, "H2", level=level)
    words = f"{_GAP}; {percent(inner_level(level))} interval"
    primary = [
        counted("difference", _GAP, tested.difference, found.rows, note_on(found.by_task())),
        counted(INNER, words, tested.inner, found.rows),
    ]
    secondary = [
        *each_family(found, _GAP, level),
        *_each_task(found, level),
        *_window(evidence.runs, level),
        generalised(found, _GAP, level),
        *over_families(found.cells, _GAP, found.rows, level, "pairs"),
        mean_of("final", _GAP.replace(WINDOWED, FINAL), contrast(rows, *_LEVELS, "final"), level),
        *without_diverged(rows, _LEVELS, _GAP, level),
    ]
    outcome = Outcome(primary, secondary, left_out(rows, found, planned))
    return on_scale(outcome, found.rows, level)


def _each_task(found: Contrast, level: float) -> list[Computed]:
    tasks = list(dict.fromkeys(found.cells["task"]))
    if len(tasks) < 2:
        return []
    return [
        mean_of(f"task.{short_task(task)}", f"{_GAP}, on {short_task(task)}", found.on(task), level)
        for task in tasks
    ]


def _window(frame: pd.DataFrame, level: float) -> list[Computed]:
    """What the belief's memory is worth beside its space: the same latent model of the last columns alone."""
    rows = families(_predict_images(frame), "model.variant", ("standard", "window"))
    if rows.empty:
        return []
    words = f"mean paired difference of {WINDOWED}, full latent - window of its last columns"
    return [mean_of("memory", words, contrast(rows, "standard", "window"), level)]


def _statement(options: ClaimSpec) -> str:
    assert isinstance(options, MarginSpec)
    return (
        f"|latent - pixel| < {options.margin:g}, in {WINDOWED}, over the matched pairs of these designs that "
        "predict images, on these tasks and common seeds (seeds are the sample, and independent between tasks)"
    )


def _rule(options: ClaimSpec) -> Rule:
    assert isinstance(options, MarginSpec)
    return equivalence(options)


H2 = Claim("H2", "A latent space matters little", _statement, _rule, _needs, _compute)
