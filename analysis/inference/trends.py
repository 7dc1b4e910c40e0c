"""How a value goes with a dose, such as a fraction of the image, parameters, a planning horizon: within seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from analysis.inference.estimate import LEVEL, Estimate, Floats
from analysis.inference.paired import by_task, stratified

Statistic = Literal["spearman", "slope", "tenfold", "doubling"]
"""Rank correlation; or the least-squares slope per unit, per tenfold, or per doubling of the dose."""
MIN_DOSES = 4
"""Below this many doses a rank correlation says next to nothing."""


def trends(
    frame: pd.DataFrame,
    dose: str,
    value: str = "value",
    *,
    statistic: Statistic = "spearman",
    within: Sequence[str] = (),
    least: int | None = None,
) -> pd.DataFrame:
    """The trend of each task and seed: task, seed, trend, curves (that it is the mean of); sorted, without NaNs.

    Args:
        frame: rows with task, seed, the dose and the value, one a run; rows with a NaN are left out.
        dose: a column of numbers.
        value: the column that may depend on it.
        statistic: of one curve.
        within: columns, such as the design that the dose was varied in: each group of (task, seed, *within) is a
            curve, and the curves of a task and seed are averaged.
        least: distinct doses that a curve needs: 4 for a rank correlation and 2 for a slope if not given.
    """
    least = least or (MIN_DOSES if statistic == "spearman" else 2)
    groups = frame.dropna(subset=[dose, value]).groupby(["task", "seed", *within], observed=True)
    rows = [
        (*key[:2], trend(points[dose].to_numpy(float), points[value].to_numpy(float), statistic))
        for key, points in groups
        if points[dose].nunique() >= least
    ]
    curves = pd.DataFrame(rows, columns=["task", "seed", "trend"]).dropna()
    found = curves.groupby(["task", "seed"])["trend"].agg(["mean", "count"])
    return found.rename(columns={"mean": "trend", "count": "curves"}).reset_index()


def trend(dose: Floats, value: Floats, statistic: Statistic) -> float:
    """Of one curve. A value that does not vary has no trend, 0; a dose that does not vary says nothing, NaN.

    Args:
        dose: num_points; above 0 for `tenfold` and `doubling`, else NaN.
        value: num_points.
        statistic: what to compute.
    """
    if statistic in {"tenfold", "doubling"}:
        if np.any(dose <= 0):
            return float("nan")
        dose = np.log10(dose) if statistic == "tenfold" else np.log2(dose)
    if len(dose) < 2 or np.ptp(dose) == 0:
        return float("nan")
    if np.ptp(value) == 0:
        return 0.0
    if statistic == "spearman":
        dose, value = stats.rankdata(dose), stats.rankdata(value)
    x, y = dose - dose.mean(), value - value.mean()
    scale = x @ x if statistic != "spearman" else np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale)


def dose_response(
    frame: pd.DataFrame,
    dose: str,
    value: str = "value",
    *key: object,
    statistic: Statistic = "spearman",
    within: Sequence[str] = (),
    least: int | None = None,
    level: float = LEVEL,
) -> Estimate:
    """The mean trend over tasks, of the mean over seeds, with the interval of `paired.stratified`.

    Of Spearman correlations under no trend, 4 to 6 doses, a 95 % interval lies above 0 in 1 to 3 % of samples, as it
    should, and with one task of 3 or 5 seeds in 3 to 4 %. Where all curves agree exactly, as a few of 4 doses easily
    do, the variance is that of no trend (`null_variance`).

    Args:
        frame: as for `trends`, as the arguments that are not named here.
        dose: a column of numbers.
        value: the column that may depend on it.
        key: names the estimate, for the bootstrap's draws.
        statistic: of one curve.
        within: columns that tell curves of a task and seed apart.
        least: distinct doses that a curve needs.
        level: of the two-sided interval.
    """
    found = trends(frame, dose, value, statistic=statistic, within=within, least=least)
    variance = null_variance(frame[dose].nunique()) if statistic == "spearman" else float("nan")
    return stratified(by_task(found, "trend"), "trend", statistic, *key, level=level, variance=variance)


def null_variance(doses: int) -> float:
    """Of Spearman's rho of this many values under no trend: 1 / (n - 1) (Kendall 1970, section 5.8)."""
    return 1 / (doses - 1) if doses > 1 else float("nan")
