"""Intervals of (estimate - truth) / standard error: Student's t, or a studentised bootstrap of many seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import special

from analysis.inference.estimate import BOOTSTRAP_SEEDS, RESAMPLES, Estimate, Floats, generator
from analysis.inference.strata import Strata, moments

Statistic = Callable[[Floats, npt.NDArray[np.int64]], tuple[Floats, Floats, Floats]]
"""Of packed values [..., T, S] and their count [T]: an estimate, its standard error and degrees of freedom, [...]."""
_DEFINED = 0.99  # the part of the draws that must have a standard error


@dataclass(frozen=True)
class Pivot:
    """An estimate with the distribution of (estimate - truth) / error.

    Attributes:
        value, error: there is no interval where the error is NaN (no variance to learn it from) or 0 (nothing varies:
            few seeds that agree, such as zeros of a sparse task, do not show that others would).
        df: of Student's t.
        n: values that entered.
        draws: in place of Student's t, the sorted ratios of a bootstrap.
    """

    value: float
    error: float
    df: float
    n: int
    draws: Floats | None = None

    def estimate(self, level: float) -> Estimate:
        """With a two-sided interval at a level."""
        if not self.error > 0:
            return Estimate(self.value, np.nan, np.nan, self.n, "none", level)
        sides = np.array([(1 + level) / 2, (1 - level) / 2])
        student, draws = special.stdtrit(self.df, sides), self.draws
        quantiles = student if draws is None else np.quantile(draws, sides)
        low, high = (float(end) for end in self.value - quantiles * self.error)
        return Estimate(self.value, low, high, self.n, "t" if draws is None else "bootstrap", level)

    def tail(self, distance: float, *, above: bool) -> float:
        """The p of an estimate at least this far above (below) the truth; NaN without an interval.

        Args:
            distance: of the estimate from the truth that is tested.
            above: which side speaks against it.
        """
        if not self.error > 0:
            return float("nan")
        ratio = distance / self.error * (1 if above else -1)
        if self.draws is None:
            return float(special.stdtr(self.df, -ratio))
        beyond = np.sum(self.draws >= ratio) if above else np.sum(self.draws <= -ratio)
        return float((1 + beyond) / (1 + len(self.draws)))


def studentised(strata: Strata, statistic: Statistic, *key: object) -> Pivot:
    """Student's t below `BOOTSTRAP_SEEDS` seeds in some task, else a bootstrap of the ratio itself (bootstrap-t; Efron
    and Tibshirani 1993, section 12.5).

    Where hardly a value differs, so that some draws have no standard error, it stays Student's t.

    Args:
        strata: seeds of each task, of which seeds are drawn.
        statistic: with its standard error.
        key: names the estimate.
    """
    if not strata.tasks:
        return Pivot(np.nan, np.nan, np.nan, 0)
    value, error, df = (float(number) for number in statistic(strata.values, strata.count))
    student = Pivot(value, error, df, strata.n)
    if strata.fewest < BOOTSTRAP_SEEDS or not error > 0:
        return student

    def ratios(drawn: Floats) -> Floats:
        values, errors, _ = statistic(drawn, strata.count)
        found: Floats = np.divide(values - value, errors, out=np.full_like(errors, np.nan), where=errors > 0)
        return found

    draws = strata.bootstrap(ratios, generator(*key))
    draws = np.sort(draws[np.isfinite(draws)])
    return replace(student, draws=draws) if len(draws) >= _DEFINED * RESAMPLES else student


def mean_and_error(values: Floats, count: npt.NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """The mean over tasks of the means over seeds, as a `Statistic`; seeds that agree show no variance."""
    means, spread = moments(values, count)
    error, df = welch(np.where(spread > 0, spread, np.nan), count)
    return np.asarray(means.mean(axis=-1)), error, df


def welch(spread: Floats, count: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The standard error of a mean of task means, and its degrees of freedom (Welch 1938, Satterthwaite 1946).

    Args:
        spread: [..., T] sample variances; where one is NaN, or the count is 1, the task takes the pooled variance of
            the others.
        count: [T] seeds.

    Returns:
        Both [...]: NaN where no task has a variance; the degrees of freedom are NaN where nothing varies.
    """
    own = np.isfinite(spread) & (count > 1)
    df = np.where(own, count - 1, 0)
    degrees = df.sum(axis=-1, keepdims=True)
    lent = np.sum(np.where(own, 0, 1 / count), axis=-1, keepdims=True) * df / np.maximum(degrees, 1)
    parts = np.where(own, spread, 0) * (own / count + lent) / len(count) ** 2
    squared = parts.sum(axis=-1)
    below = np.sum(parts**2 / np.maximum(df, 1), axis=-1)
    freedom = np.divide(squared**2, below, out=np.full_like(squared, np.nan), where=below > 0)
    return np.where(degrees[..., 0] > 0, np.sqrt(squared), np.nan), freedom
