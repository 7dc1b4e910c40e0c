"""How a value goes with a dose, such as a fraction of the image, parameters, a planning horizon: within seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pandas as pd

from analysis.inference.estimate import LEVEL, Estimate

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
    """The trend of each task and seed: task, seed, trend, curves (what was averaged); sorted, without NaNs.

    Args:
        frame: rows with task, seed, the dose and the value, one a run; rows with a NaN are left out.
        dose: a column of numbers.
        value: the column that may depend on it.
        statistic: of one curve.
        within: columns, such as the design that the dose was varied in: each group of (task, seed, *within) is a
            curve, and the curves of a task and seed are averaged.
        least: distinct doses that a curve needs; 4 of a rank correlation, else 2.
    """
    raise NotImplementedError


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
    """The mean trend over tasks, of the mean over seeds (`paired.stratified`); arguments of `trends`."""
    raise NotImplementedError
