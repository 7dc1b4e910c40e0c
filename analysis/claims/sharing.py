"""H9: sharing a representation between rewards and images has no consistent benefit, and sometimes a large drop."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.claims.claim import Claim, Outcome, need
from analysis.claims.images import left_out, without
from analysis.claims.sample import (
    Contrast,
    contrast,
    counted,
    each_family,
    families,
    form_names,
    leading,
    mean_of,
    online,
    together,
)
from analysis.claims.scaled import on_scale
from analysis.claims.spec import ClaimSpec, MarginSpec
from analysis.claims.types import Computed, Need
from analysis.claims.verdicts import Rule, non_superiority, percent
from analysis.evidence import Evidence
from analysis.inference.estimate import Estimate
from analysis.inference.paired import holm
from analysis.tables import number
from analysis.words import FINAL, WINDOWED, short_task

_SHARED, _OTHERS = "shared", ("stopped", "separate")
_BENEFIT = f"mean paired difference of {WINDOWED}, shared - (stopped, separate)"


def _forms(frame: pd.DataFrame) -> pd.DataFrame:
    rows = online(frame)
    rows = rows[rows["predict"] == "images"]
    return leading(families(rows, "reward_gradient", (_SHARED, *_OTHERS)))


def _needs(frame: pd.DataFrame) -> Need:
    rows = _forms(frame)
    lacking = (
        "an online design that predicts images with `reward_gradient: shared`, and with stopped or separate"
    )
    return need(frame, rows, [] if len(rows) else [lacking])


def _contrasts(rows: pd.DataFrame, value: str = "value") -> dict[str, Contrast]:
    return {each: contrast(rows, _SHARED, each, value) for each in _OTHERS}


def _compute(evidence: Evidence, options: ClaimSpec) -> Outcome:
    rows, level = _forms(evidence.runs), options.level
    parts = _contrasts(rows)
    found = together(list(parts.values()))
    secondary = [
        mean_of(name, f"mean paired difference of {WINDOWED}, shared - {name}", part, level)
        for name, part in parts.items()
        if len(part.cells)
    ]
    secondary += [
        *each_family(found, _BENEFIT, level),
        *_from_image(evidence.runs, level),
        *largest_drop(found, level),
        mean_of(
            "final",
            _BENEFIT.replace(WINDOWED, FINAL),
            together(list(_contrasts(rows, "final").values())),
            level,
        ),
    ]
    if rows["diverged"].any():
        rest = together(list(_contrasts(without(rows)).values()))
        secondary.append(mean_of("excluded", f"{_BENEFIT}, without diverged runs", rest, level))
    benefit = mean_of("benefit", _BENEFIT, found, level)
    outcome = Outcome([benefit], secondary, left_out(rows, found))
    return outcome if benefit.estimate.high <= 0 else on_scale(outcome, found.rows, level)


def _from_image(frame: pd.DataFrame, level: float) -> list[Computed]:
    """What reading the reward from forecast frames is worth, at equal gradients."""
    images = online(frame)
    rows = families(images[images["predict"] == "images"], "reward_from", ("state", "image"))
    if rows.empty:
        return []
    words = f"mean paired difference of {WINDOWED}, reward from the state - from forecast frames"
    return [mean_of("reward_from", words, contrast(leading(rows), "state", "image"), level)]


def largest_drop(found: Contrast, level: float) -> list[Computed]:
    """The (design, task) that sharing harms most, chosen among all: its interval and one-sided p are adjusted."""
    from scipy import stats

    table = found.cells.groupby(["family", "task"], sort=False)["difference"].agg(["mean", "std", "count"])
    if table.empty:
        return []
    mean, std, count = (table[name].to_numpy(float) for name in ("mean", "std", "count"))
    error = np.where(count > 1, std / np.sqrt(count), np.nan)
    t = np.divide(mean, error, out=np.full_like(mean, np.nan), where=error > 0)
    p = holm(np.where(np.isfinite(t), stats.t.cdf(t, np.maximum(count - 1, 1)), np.nan))
    worst = int(np.argmin(mean))
    family, task = table.index[worst]
    each = 1 - (1 - level) / len(table)
    quantile = stats.t.ppf(0.5 + each / 2, max(count[worst] - 1, 1))
    half = float(quantile * error[worst]) if error[worst] > 0 else np.nan
    value, n = float(mean[worst]), int(count[worst])
    estimate = Estimate(value, value - half, value + half, n, "t" if np.isfinite(half) else "none", each)
    name = form_names(found.rows)[family]
    words = f"largest drop by sharing over designs and tasks: {name} on {short_task(task)}"
    cells = f"{len(table)} cell{'s' * (len(table) > 1)}"
    note = f"one-sided p {number(float(p[worst]))}, adjusted for {cells} (Holm)"
    if np.isfinite(half):
        note += f"; interval at {percent(each)}, for {percent(level)} of {cells} at once (Bonferroni)"
    return [counted("largest_drop", words, estimate, found.of(family).on(task).rows, note)]


def _statement(options: ClaimSpec) -> str:
    assert isinstance(options, MarginSpec)
    return (
        f"shared - mean(stopped, separate) <= {options.margin:g}, in {WINDOWED}, over designs that differ in "
        "`reward_gradient` alone on common seeds"
    )


def _rule(options: ClaimSpec) -> Rule:
    assert isinstance(options, MarginSpec)
    return non_superiority(options)


H9 = Claim("H9", "Sharing a representation has no consistent benefit", _statement, _rule, _needs, _compute)
