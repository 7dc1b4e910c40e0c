"""Correlations over designs, with intervals from a bootstrap of tasks and designs, then seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from analysis.inference.estimate import LEVEL, RESAMPLES, Floats, generator

MIN_DESIGNS = 3
"""Below this many designs their means have no correlation: two points always lie on a line."""
FEW_TASKS = 3
"""An interval over tasks of up to this many is crude: resampling so few says little of how tasks differ."""
MIN_CLUSTERS = 5
"""Below this many designs a clustered bootstrap has next to nothing to resample: no interval is given."""
_LARGEST = 0.9999  # the largest correlation that Fisher's z is taken of


@dataclass(frozen=True)
class Correlation:
    """Pearson's and Spearman's correlation of paired values; NaN below 3 points or without variation.

    Attributes:
        r, rho: the coefficients, over points standardised within their task where there are several tasks.
        points: pairs that entered: design means per task, or runs.
        designs, runs: what they come from.
        pearson, spearman: 95 % intervals from a bootstrap of tasks and designs, then seeds; NaN under 5 designs.
    """

    r: float
    rho: float
    points: int
    designs: int
    tasks: int
    runs: int
    pearson: tuple[float, float]
    spearman: tuple[float, float]


def correlate(
    design: Sequence[str],
    task: Sequence[str],
    x: Sequence[float],
    y: Sequence[float],
    *key: object,
    level: Literal["designs", "runs"],
    resamples: int = RESAMPLES,
) -> Correlation:
    """Correlates x with y, a value of each per run; pairs with a NaN are left out.

    Args:
        design: of each run.
        task: of each run.
        x: num_runs, such as an error.
        y: num_runs, such as a score.
        level: `designs` correlates the means of each (design, task) over its seeds, `runs` the runs themselves.
        resamples: number of bootstrap draws.
        key: names the estimate, for the bootstrap's draws.
    """
    cells = _Cells.of(design, task, x, y)
    designs, tasks, runs = cells.shape_used()
    r, rho = _coefficients(*cells.points(level))
    points = runs if level == "runs" else int((cells.count > 0).sum())
    nothing = (np.nan, np.nan)
    if designs < MIN_CLUSTERS or not np.isfinite(r[0]):
        return Correlation(float(r[0]), float(rho[0]), points, designs, tasks, runs, nothing, nothing)
    rs, rhos = [], []
    rng = generator("correlation", level, *key)
    for start in range(0, resamples, 500):
        drawn = cells.resample(rng, min(500, resamples - start))
        r_drawn, rho_drawn = _coefficients(*drawn.points(level))
        rs.append(r_drawn)
        rhos.append(rho_drawn)
    return Correlation(
        float(r[0]),
        float(rho[0]),
        points,
        designs,
        tasks,
        runs,
        _interval(float(r[0]), np.concatenate(rs), designs),
        _interval(float(rho[0]), np.concatenate(rhos), designs),
    )


@dataclass(frozen=True)
class _Cells:
    """Paired values packed by cell: x, y [R, D, T, S], the first `count` [R, D, T] of each cell, NaN behind."""

    x: Floats
    y: Floats
    count: npt.NDArray[np.int64]

    @classmethod
    def of(cls, design: Sequence[str], task: Sequence[str], x: Sequence[float], y: Sequence[float]) -> _Cells:
        pairs = [
            (d, t, float(a), float(b))
            for d, t, a, b in zip(design, task, x, y, strict=True)
            if np.isfinite(a) and np.isfinite(b)
        ]
        designs = {d: i for i, d in enumerate(dict.fromkeys(pair[0] for pair in pairs))}
        tasks = {t: i for i, t in enumerate(dict.fromkeys(pair[1] for pair in pairs))}
        count = np.zeros((len(designs), len(tasks)), dtype=np.int64)
        for d, t, _, _ in pairs:
            count[designs[d], tasks[t]] += 1
        values = np.full((2, len(designs), len(tasks), int(count.max(initial=0))), np.nan)
        filled = np.zeros_like(count)
        for d, t, a, b in pairs:
            at = designs[d], tasks[t]
            values[:, *at, filled[at]] = a, b
            filled[at] += 1
        return cls(values[0][None], values[1][None], count[None])

    def shape_used(self) -> tuple[int, int, int]:
        """Designs, tasks and runs with data."""
        _, designs, tasks = self.count.shape
        return designs, tasks, int(self.count.sum())

    def resample(self, rng: np.random.Generator, resamples: int) -> _Cells:
        """Draws designs and tasks with replacement, and in each of their cells seeds with replacement."""
        _, D, T = self.count.shape
        S = self.x.shape[-1]
        designs = rng.integers(D, size=(resamples, D))[:, :, None]
        tasks = rng.integers(T, size=(resamples, T))[:, None, :] if T > 1 else np.zeros((1, 1, 1), np.int64)
        count = self.count[0][designs, tasks]
        seeds = np.floor(rng.random((resamples, D, T, S)) * count[..., None]).astype(np.int64)
        behind = np.arange(S) >= count[..., None]
        index = (designs[..., None], tasks[..., None], seeds)
        x, y = (np.where(behind, np.nan, values[0][index]) for values in (self.x, self.y))
        return _Cells(x, y, count)

    def points(self, level: Literal["designs", "runs"]) -> tuple[Floats, Floats]:
        """What is correlated, [R, points], each task standardised if there are several."""
        x, y = self.x, self.y
        if self.count.shape[2] > 1:
            x, y = _standardise(x), _standardise(y)
        if level == "designs":  # two designs always lie on a line: such a task says nothing
            enough = (self.count > 0).sum(axis=1)[:, None, :, None] >= MIN_DESIGNS
            x, y = (np.where(enough, _mean_seeds(v), np.nan) for v in (x, y))
        return x.reshape(len(x), -1), y.reshape(len(y), -1)


def _mean_seeds(values: Floats) -> Floats:
    """[R, D, T, S] to [R, D, T, 1]; NaN for an empty cell."""
    count = np.isfinite(values).sum(axis=3, keepdims=True)
    total = np.nansum(values, axis=3, keepdims=True)
    return np.asarray(
        np.round(np.where(count > 0, total / np.maximum(count, 1), np.nan), 12), dtype=np.float64
    )


def _standardise(values: Floats) -> Floats:
    """Zero mean and unit variance within each task (over designs and seeds); NaN where nothing varies."""
    present = np.isfinite(values)
    count = np.maximum(present.sum(axis=(1, 3), keepdims=True), 1)
    centred = values - np.nansum(values, axis=(1, 3), keepdims=True) / count
    scale = np.sqrt(np.nansum(centred**2, axis=(1, 3), keepdims=True) / count)
    scaled = np.divide(centred, scale, out=np.full_like(values, np.nan), where=present & (scale > 0))
    return np.asarray(np.round(scaled, 12), dtype=np.float64)  # so that ties stay ties


def _coefficients(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Pearson and Spearman of each row of [R, points]."""
    from scipy import stats

    paired = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(paired, x, np.nan), np.where(paired, y, np.nan)
    if x.shape[1] == 0:
        return np.full(len(x), np.nan), np.full(len(x), np.nan)
    r = _pearson(x, y)
    ranks = [np.asarray(stats.rankdata(v, axis=1, nan_policy="omit"), dtype=np.float64) for v in (x, y)]
    return r, _pearson(*ranks)


def _pearson(x: Floats, y: Floats) -> Floats:
    """Row-wise correlation of [R, points] with NaNs at the same places; NaN below 3 pairs or without variation."""
    points = np.isfinite(x).sum(axis=1, keepdims=True)
    dx, dy = (v - np.nansum(v, axis=1, keepdims=True) / np.maximum(points, 1) for v in (x, y))
    xx, yy, xy = (np.nansum(v, axis=1) for v in (dx * dx, dy * dy, dx * dy))
    tiny = 1e-24 * np.maximum(points[:, 0], 1)
    varies = (xx > tiny * np.nanmax(np.abs(x), axis=1, initial=0) ** 2) & (
        yy > tiny * np.nanmax(np.abs(y), axis=1, initial=0) ** 2
    )
    valid = (points[:, 0] > 2) & varies
    result = np.full(len(x), np.nan)
    result[valid] = np.clip(xy[valid] / np.sqrt(xx[valid] * yy[valid]), -1, 1)
    return result


def _interval(found: float, draws: Floats, designs: int) -> tuple[float, float]:
    """Student's interval on Fisher's z scale, with designs - 2 degrees of freedom; NaN if half the draws are undefined.

    Its spread is the bootstrap's (half the distance of the 16th and 84th percentile). The draws' own percentiles
    lie too near zero, since drawing seeds again adds their noise a second time, and may even leave the estimate
    out; in simulations (5 to 16 designs, 2 to 5 seeds) this interval covers 95 to 99 %. Where correlations of 1
    put z out of reach (ranks of few designs), it is the percentiles, widened to the estimate.
    """
    from scipy import stats

    defined = draws[np.isfinite(draws)]
    if 2 * len(defined) < len(draws):
        return float("nan"), float("nan")
    low, high = (float(np.quantile(defined, stats.norm.cdf(side))) for side in (-1, 1))
    if max(abs(low), abs(high), abs(found)) > _LARGEST:
        low, high = (float(np.quantile(defined, (1 + side * LEVEL) / 2)) for side in (-1, 1))
        return min(low, found), max(high, found)
    half = stats.t.ppf(0.5 + LEVEL / 2, designs - 2) * (np.arctanh(high) - np.arctanh(low)) / 2
    return float(np.tanh(np.arctanh(found) - half)), float(np.tanh(np.arctanh(found) + half))
