"""Beside correlations: whether two dependent ones differ, by closed forms; Simpson's paradox; noise of seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analysis.inference.clusters import pack
from analysis.inference.correlation import correlate
from analysis.inference.estimate import LEVEL, Estimate, Floats

Test = Literal["williams", "steiger", "meng"]
TESTS: tuple[Test, ...] = ("williams", "steiger", "meng")


@dataclass(frozen=True)
class Dependent:
    """A test that corr(first, y) = corr(second, y); NaN where it is not defined.

    Attributes:
        statistic: t with n - 3 degrees of freedom (Williams), or z (Steiger, Meng).
        p: two-sided.
    """

    statistic: float
    p: float


def dependent(r1: float, r2: float, r12: float, n: int, test: Test = "williams") -> Dependent:
    """Tests whether two correlations with one variable differ, on n independent units (such as designs).

    Units must be independent and about normal; of means pooled over tasks that share designs, n designs are on the
    safe side.

    Args:
        r1: corr(first, y).
        r2: corr(second, y).
        r12: corr(first, second).
        n: independent units.
        test: Williams' t (1959, J. Royal Statistical Society B 21:396; Steiger 1980, Psychological Bulletin 87:245,
            eq. 7), Steiger's Z (1980, eq. 14, with the mean of the correlations) or that of Meng, Rosenthal and Rubin
            (1992, Psychological Bulletin 111:172, eq. 1).
    """
    from scipy import stats

    nothing = Dependent(float("nan"), float("nan"))
    if n < 4 or not np.isfinite([r1, r2, r12]).all():
        return nothing
    if test == "williams":
        mean = (r1 + r2) / 2
        determinant = 1 - r1**2 - r2**2 - r12**2 + 2 * r1 * r2 * r12
        below = 2 * (n - 1) / (n - 3) * determinant + mean**2 * (1 - r12) ** 3
        if below <= 0:
            return nothing
        t = (r1 - r2) * np.sqrt((n - 1) * (1 + r12) / below)
        return Dependent(float(t), float(2 * stats.t.sf(abs(t), n - 3)))
    if max(abs(r1), abs(r2), abs(r12)) >= 1:
        return nothing
    apart = float(np.arctanh(r1) - np.arctanh(r2))
    z = apart * np.sqrt((n - 3) / _variance(r1, r2, r12, test))
    return Dependent(float(z), float(2 * stats.norm.sf(abs(z))))


def _variance(r1: float, r2: float, r12: float, test: Test) -> float:
    """Gives n - 3 times the variance of z(r1) - z(r2)."""
    if test == "steiger":
        square = ((r1 + r2) / 2) ** 2
        covariance = r12 * (1 - 2 * square) - square * (1 - 2 * square - r12**2) / 2
        return float(2 - 2 * covariance / (1 - square) ** 2)
    square = (r1**2 + r2**2) / 2
    f = min((1 - r12) / (2 * (1 - square)), 1.0)
    return 2 * (1 - r12) * (1 - f * square) / (1 - square)


@dataclass(frozen=True)
class Simpson:
    """The correlation of points of all tasks mixed, and that within tasks.

    Attributes:
        mixed: Pearson's r of all points in one cloud, tasks as they lie, with Fisher's interval for independent points.
        within: Pearson's r within tasks, the tasks taken as they are.
        paradox: both intervals leave out 0, on opposite sides: who mixes tasks is misled.
    """

    mixed: Estimate
    within: Estimate
    paradox: bool


def simpson(
    design: Sequence[str],
    task: Sequence[str],
    x: Sequence[float] | Floats,
    y: Sequence[float] | Floats,
    *,
    level: float = LEVEL,
) -> Simpson:
    """Whether mixing the tasks turns the correlation of design means round (Simpson 1951)."""
    from scipy import stats

    points = pack(design, task, (x, y), means=True)
    a, b = (value[np.isfinite(value)] for value in points.values)
    within = correlate(design, task, x, y, method="pearson", level=level).held
    if len(a) < 4 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return Simpson(Estimate(np.nan, np.nan, np.nan, len(a), "none", level), within, paradox=False)
    found = stats.pearsonr(a, b)
    low, high = found.confidence_interval(level)
    mixed = Estimate(float(found.statistic), float(low), float(high), len(a), "t", level)
    sides = [_side(each) for each in (mixed, within)]
    return Simpson(mixed, within, paradox=len(points.tasks) > 1 and sides[0] * sides[1] < 0)


def _side(estimate: Estimate) -> int:
    """1 or -1 if the interval lies on that side of 0, else 0."""
    return int(estimate.low > 0) - int(estimate.high < 0)


def reliability(
    design: Sequence[str],
    task: Sequence[str],
    values: Sequence[float] | Floats,
) -> float:
    """How much of what design means differ within tasks is no noise of seeds, 0 to 1; NaN with one seed a design.

    One less the variance of a mean over seeds, divided by the variance of the means over designs, averaged over
    tasks. A correlation of means is that of designs with endless seeds times the root of both reliabilities
    (Spearman 1904, American J. Psychology 15:72).
    """
    runs = pack(design, task, (values,), means=False)
    if not runs.tasks:
        return float("nan")
    x = runs.values[0].reshape(len(runs.tasks), len(runs.designs), -1)  # [T, D, S]
    count = np.isfinite(x).sum(axis=2)
    several = np.where(count > 1, count, np.nan)
    mean = np.nansum(x, axis=2) / np.where(count > 0, count, np.nan)
    noise = np.nansum((x - mean[..., None]) ** 2, axis=2) / (several - 1) / several
    found = []
    for of_means, own in zip(mean, noise, strict=True):
        if np.isfinite(own).any() and np.isfinite(of_means).sum() > 2 and np.nanvar(of_means, ddof=1) > 0:
            found.append(1 - np.nanmean(own) / np.nanvar(of_means, ddof=1))
    return float(np.clip(np.mean(found), 0, 1)) if found else float("nan")
