"""Coefficients within tasks and what becomes of them as designs are left out: the arithmetic below correlations.

All three coefficients are sums over pairs of points (Daniels 1944, Biometrika 33:129): of differences for Pearson, of
signs for Kendall, of differences of ranks for Spearman, so that leaving designs out is a product with a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.inference.estimate import Floats

_TIE = 1e-12  # of the largest value: closer ones are equal


@dataclass(frozen=True)
class Points:
    """What is correlated: the means of designs, or runs, within tasks.

    Attributes:
        designs, tasks: names; T tasks.
        owner: [P], the design of a point.
        values: a variable each, [T, P], NaN where there is no such point.
        weight: [T, P], runs of a point.
    """

    designs: list[str]
    tasks: list[str]
    owner: npt.NDArray[np.int64]
    values: tuple[Floats, ...]
    weight: npt.NDArray[np.int64]

    @property
    def count(self) -> int:
        """How many there are."""
        return int((self.weight > 0).sum())

    @property
    def runs(self) -> int:
        """The runs behind them."""
        return int(self.weight.sum())

    def of_tasks(self, used: npt.NDArray[np.bool_]) -> Points:
        """Those of some tasks, [T], and of designs that are in them."""
        here = np.unique(self.owner[(self.weight[used] > 0).any(axis=0)])
        kept = np.isin(self.owner, here)
        return Points(
            [self.designs[i] for i in here],
            [name for name, use in zip(self.tasks, used, strict=True) if use],
            np.searchsorted(here, self.owner[kept]),
            tuple(value[used][:, kept] for value in self.values),
            self.weight[used][:, kept],
        )


def pack(
    design: Sequence[str], task: Sequence[str], values: Sequence[Sequence[float] | Floats], *, means: bool
) -> Points:
    """Runs as points within tasks; those with a NaN in any of the values are left out.

    Args:
        design: of each run.
        task: of each run.
        values: arrays of num_runs.
        means: whether points are means over the seeds of a design, or runs.
    """
    columns = np.array([np.asarray(value, dtype=np.float64) for value in values]).reshape(len(values), -1)
    kept = np.isfinite(columns).all(axis=0)
    designs, d = _codes([name for name, keep in zip(design, kept, strict=True) if keep])
    tasks, t = _codes([name for name, keep in zip(task, kept, strict=True) if keep])
    columns, D, T = columns[:, kept], len(designs), len(tasks)
    cell = t * D + d
    count = np.bincount(cell, minlength=D * T)
    if means:
        divisor = np.where(count > 0, count, np.nan)
        found = [np.bincount(cell, column, D * T).reshape(T, D) / divisor.reshape(T, D) for column in columns]
        return Points(designs, tasks, np.arange(D), tuple(found), count.reshape(T, D))
    most = int(count.max(initial=0))
    order = np.argsort(cell, kind="stable")
    place = np.arange(len(cell)) - np.repeat(np.cumsum(count) - count, count)
    packed = np.full((len(columns), D * T, most), np.nan)
    packed[:, cell[order], place] = columns[:, order]
    packed = packed.reshape(len(columns), T, D * most)
    there = np.isfinite(packed[0]).astype(np.int64)
    return Points(designs, tasks, np.repeat(np.arange(D), most), tuple(packed), there)


def _codes(names: Sequence[str]) -> tuple[list[str], npt.NDArray[np.int64]]:
    index = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return [str(name) for name in index], np.array([index[name] for name in names], dtype=np.int64)


@dataclass(frozen=True)
class Sums:
    """Sums within tasks [..., T, K + 1]: with each of K designs left out, and last with none.

    Attributes:
        xy, xx, yy: sums of products; per point for Pearson (sums of squares about the mean).
        count: points.
        designs: designs with a point.
    """

    xy: Floats
    xx: Floats
    yy: Floats
    count: Floats
    designs: Floats


def sums(x: Floats, y: Floats, owner: npt.NDArray[np.int64], method: str) -> Sums:
    """The sums of two variables.

    Args:
        x: [..., T, P].
        y: likewise, NaN at the same places.
        owner: [P], the design of a point, 0..K-1.
        method: `pearson`, `spearman` or `kendall`.
    """
    designs = int(owner.max(initial=-1)) + 1
    member = (owner[None, :] == np.arange(designs)[:, None]).astype(np.float64)  # [K, P]
    masks = np.concatenate([1 - member, np.ones((1, len(owner)))])  # [K + 1, P]
    present = np.isfinite(x).astype(np.float64)
    count = present @ masks.T
    holds = ((present @ member.T) > 0).astype(np.float64)  # [..., T, K]
    total = holds.sum(axis=-1, keepdims=True)
    number = np.concatenate([total - holds, total], axis=-1)
    a, b = (_pairs(value, signs=method != "pearson") for value in (x, y))
    if method == "spearman":
        a, b = (_masked(value, masks) for value in (a, b))
        xy, xx, yy = ((u * v).sum(axis=-1) for u, v in ((a, b), (a, a), (b, b)))
        return Sums(xy, xx, yy, count, number)
    xy, xx, yy = ((_masked(u * v, masks)).sum(axis=-1) for u, v in ((a, b), (a, a), (b, b)))
    if method == "pearson":
        xy, xx, yy = (value / np.maximum(2 * count, 1) for value in (xy, xx, yy))
    return Sums(xy, xx, yy, count, number)


def in_one_order(x: Floats, y: Floats) -> npt.NDArray[np.bool_]:
    """Whether all pairs of points that are not tied go the same way, both up or one up and one down, [...].

    Args:
        x: [..., T, P].
        y: likewise, NaN at the same places.
    """
    products = _pairs(x, signs=True) * _pairs(y, signs=True)
    every = (-3, -2, -1)
    return np.asarray(~((products > 0).any(axis=every) & (products < 0).any(axis=every)))


def _pairs(values: Floats, *, signs: bool) -> Floats:
    """[..., P, P] differences of the points, or their signs; 0 where one is missing, or where they are equal."""
    present = np.isfinite(values)
    full = np.where(present, values, 0)
    size = np.max(np.abs(full), axis=-1, keepdims=True, initial=0)
    difference = full[..., :, None] - full[..., None, :]
    both = present[..., :, None] & present[..., None, :]
    difference = np.where(both & (np.abs(difference) > _TIE * size[..., None]), difference, 0)
    return np.asarray(np.sign(difference) if signs else difference)


def _masked(pairs: Floats, masks: Floats) -> Floats:
    """Sums over the partners of each point that are not left out: [..., P, P], [K, P] -> [..., K, P]."""
    return (masks @ np.swapaxes(pairs, -1, -2)) * masks


@dataclass(frozen=True)
class LeftOut:
    """A statistic over tasks and designs [...], and with parts left out.

    Attributes:
        full: with everything.
        design: [..., K], without each design.
        task: [..., T], without each task; NaN of a single one.
        cell: [..., T, K], without each design on one task.
    """

    full: Floats
    design: Floats
    task: Floats
    cell: Floats

    def map(self, function: Callable[[Floats], Floats]) -> LeftOut:
        """The function of every value."""
        return LeftOut(*(function(value) for value in (self.full, self.design, self.task, self.cell)))

    def minus(self, other: LeftOut) -> LeftOut:
        """The difference of two statistics of the same designs and tasks."""
        return LeftOut(
            self.full - other.full,
            self.design - other.design,
            self.task - other.task,
            self.cell - other.cell,
        )


def leave_out(parts: Sequence[Floats], statistic: Callable[..., Floats]) -> LeftOut:
    """A statistic of sums over tasks.

    Args:
        parts: arrays [..., T, K + 1] as `Sums` has them.
        statistic: of their sums over the tasks.
    """
    whole = [part.sum(axis=-2) for part in parts]
    own = [part[..., -1] for part in parts]
    return LeftOut(
        statistic(*(value[..., -1] for value in whole)),
        statistic(*(value[..., :-1] for value in whole)),
        statistic(*(value[..., -1:] - of for value, of in zip(whole, own, strict=True))),
        statistic(
            *(
                value[..., -1:, None] - of[..., None] + part[..., :-1]
                for value, of, part in zip(whole, own, parts, strict=True)
            )
        ),
    )


@dataclass(frozen=True)
class Spread:
    """How much a statistic varies from sample to sample, [...], in two parts.

    Attributes:
        designs: its variance as designs (and the seeds in them) vary, of K - 1 degrees of freedom.
        tasks: what it varies more as tasks vary too, of T - 1; 0 of a single task.
    """

    designs: Floats
    tasks: Floats
    df: tuple[int, int]

    @property
    def error(self) -> Floats:
        """The standard error."""
        return np.asarray(np.sqrt(self.designs + self.tasks))

    def of_designs(self) -> Spread:
        """With the tasks taken as they are."""
        return Spread(self.designs, np.zeros_like(self.tasks), self.df)

    def half(self, level: float) -> Floats:
        """Half the length of the two-sided interval: each part with its own quantile of Student's t."""
        from scipy import stats

        own, other = (float(stats.t.ppf(0.5 + level / 2, df)) if df > 0 else 0.0 for df in self.df)
        return np.asarray(np.sqrt(own**2 * self.designs + other**2 * self.tasks))


def spread(left: LeftOut, shrink: float, given: int = 0) -> Spread:
    """The jackknife over two crossed samples, designs and tasks.

    With v_D, v_T the variance of the statistic by leaving out one design, one task, and v_DT that of their
    interaction (the residual of a two-way layout of the cells left out), designs and tasks drawn at random give
    v_D + v_T - v_DT (Cameron, Gelbach & Miller 2011, J. Business & Economic Statistics 29:238), here never less than
    v_D. The noise of seeds is a part of how designs differ, so it is in v_D and is not added again.

    Args:
        left: on a scale on which the statistic is about normal.
        shrink: designs by which the jackknife of few designs is too large: its variances are times (K - shrink) / K.
        given: variables held constant.
    """
    K, T = left.design.shape[-1], left.task.shape[-1]
    factor = (K - shrink) / K
    v_d = factor * _jackknife(left.design)
    if T < 2:
        return Spread(v_d, np.zeros_like(v_d), (K - 1 - given, 0))
    cell = left.cell * (K * T - 1)
    residual = cell - cell.mean(axis=-1, keepdims=True) - cell.mean(axis=-2, keepdims=True)
    residual = residual + cell.mean(axis=(-1, -2), keepdims=True)
    v_dt = factor * (residual**2).sum(axis=(-1, -2)) / ((K - 1) * (T - 1) * K * T)
    more = np.maximum(_jackknife(left.task) - v_dt, 0)
    return Spread(v_d, np.asarray(more), (K - 1 - given, T - 1))


def _jackknife(values: Floats) -> Floats:
    """Variance of a statistic from its values with each of n units left out, on the last axis."""
    return np.asarray((values.shape[-1] - 1) * values.var(axis=-1))
