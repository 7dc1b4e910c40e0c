"""A number with its interval. Every draw comes from a generator keyed by what is estimated, so equal data give equal
numbers, whatever else the report holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
IntervalKind = Literal["none", "t", "bootstrap", "clusters", "score"]

LEVEL = 0.95
RESAMPLES = 4000
FEW_SEEDS = 5
"""Below this many values an interval is marked: it is wide, and rests on the values being normal."""
BOOTSTRAP_SEEDS = 20
"""From this many values on the interval is a bootstrap. Of fewer it is too short: in simulations with normal values
BCa covers 83 % of 5, 88 % of 8 and 91 % of 10, where Student's t covers 94 to 96 %.
"""


@dataclass(frozen=True)
class Estimate:
    """An estimate with its interval; NaN where there is none.

    Attributes:
        n: the independent values that entered.
        kind: `t` (Student), `bootstrap` (of seeds: BCa of a mean, else as the function says), `clusters` (of designs or
            tasks), `score` (of a share, after Wilson), or `none` (too few values).
        level: the part of samples whose interval holds the truth.
    """

    value: float
    low: float
    high: float
    n: int
    kind: IntervalKind
    level: float = LEVEL


def generator(*key: object) -> np.random.Generator:
    """A generator that depends on the key alone."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return np.random.default_rng(list(digest[:16]))


def estimate(values: Sequence[float] | Floats, *key: object) -> Estimate:
    """The mean and its 95 % interval over independent values (seeds); NaNs are left out and not counted.

    The interval is Student's t below `BOOTSTRAP_SEEDS` values and BCa from there on.

    Args:
        values: num_seeds.
        key: names the estimate, for the bootstrap's draws.
    """
    x = np.asarray(values, dtype=np.float64)
    x = x[np.isfinite(x)]
    n = len(x)
    if n == 0:
        return Estimate(np.nan, np.nan, np.nan, 0, "none")
    mean = float(x.mean())
    if n == 1:
        return Estimate(mean, np.nan, np.nan, 1, "none")
    if n < BOOTSTRAP_SEEDS:
        from scipy import stats

        half = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1) * x.std(ddof=1) / np.sqrt(n))
        return Estimate(mean, mean - half, mean + half, n, "t")
    low, high = bca_interval(x, generator("mean", *key))
    return Estimate(mean, low, high, n, "bootstrap")


def estimates(frame: pd.DataFrame, by: Sequence[str], column: str, *key: object) -> pd.DataFrame:
    """`estimate` of each group of rows at once: a row a group, in order of appearance.

    Columns: `by`, value, low, high, n, interval (its kind). Groups without a finite value have NaN and n = 0.

    Args:
        frame: rows, one a seed.
        by: columns that name a group.
        column: of the values.
        key: names the estimates, for the bootstrap's draws; the group is added to it.
    """
    from scipy import stats

    values = frame[column].astype(float).where(np.isfinite(frame[column].astype(float)))
    grouped = values.groupby([frame[name] for name in by], sort=False, dropna=False, observed=True)
    found = grouped.agg(value="mean", sd="std", n="count").reset_index()
    n = found["n"].to_numpy()
    several = (n > 1) & (n < BOOTSTRAP_SEEDS)
    half = stats.t.ppf(0.5 + LEVEL / 2, np.maximum(n - 1, 1)) * found["sd"] / np.sqrt(np.maximum(n, 1))
    half = half.where(several)
    found["low"], found["high"] = found["value"] - half, found["value"] + half
    found["interval"] = np.where(several, "t", np.where(n > 1, "bootstrap", "none"))
    if (n >= BOOTSTRAP_SEEDS).any():
        groups = list(grouped)
        for at in np.flatnonzero(n >= BOOTSTRAP_SEEDS):
            name, every = groups[at]
            one = estimate(every.tolist(), *key, *(name if isinstance(name, tuple) else (name,)))
            found.loc[at, ["low", "high"]] = one.low, one.high
    return found[[*by, "value", "low", "high", "n", "interval"]]


def bca_interval(x: Floats, rng: np.random.Generator, resamples: int = RESAMPLES) -> tuple[float, float]:
    """The bias-corrected and accelerated bootstrap interval of the mean (Efron 1987).

    Args:
        x: num_values, finite, at least 2.
        rng: where the draws come from.
        resamples: number of draws.
    """
    from scipy import stats

    if np.ptp(x) == 0:
        return float(x[0]), float(x[0])
    draws = x[rng.integers(len(x), size=(resamples, len(x)))].mean(axis=1)
    below = (np.sum(draws < x.mean()) + 0.5 * np.sum(draws == x.mean())) / resamples
    bias = stats.norm.ppf(np.clip(below, 1 / resamples, 1 - 1 / resamples))
    jackknife = (x.sum() - x) / (len(x) - 1)
    centred = jackknife.mean() - jackknife
    acceleration = float(np.sum(centred**3) / (6 * np.sum(centred**2) ** 1.5))
    z = bias + stats.norm.ppf([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low, high = np.quantile(draws, stats.norm.cdf(bias + z / (1 - acceleration * z)))
    return float(low), float(high)
