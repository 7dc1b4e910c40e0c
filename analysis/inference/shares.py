"""Intervals of shares, such as of runs above a score: they hold more than one point also where all runs agree."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import special

from analysis.inference.estimate import Floats

_PULL = 2  # runs' worth by which a task's share is drawn to the mean of all, where its variance is computed
_HALVINGS = 40
_TINY = 1e-15


def score_interval(
    shares: Floats,
    count: npt.NDArray[np.int64] | Floats,
    variance: Callable[[Floats], Floats],
    level: float,
    observed: Floats | None = None,
) -> tuple[Floats, Floats]:
    """The interval of a mean of shares over tasks, after Wilson (1927): low and high, [...].

    It holds each share p that lies within z standard errors of the one found, the standard error being that at p. This
    takes all tasks for equal; where they differ the variance is smaller, and is scaled by the ratio of the sum over
    tasks of their own variances to that at the common share. A task's own share is drawn towards the common one by two
    runs' worth for this: 3 of 3 runs do not mean that the fourth is certain.

    Args:
        shares: [..., T] found.
        count: [T] runs behind each.
        variance: of each task's share, were a share the truth: [..., T] or [..., 1] to [..., T].
        level: of the two-sided interval.
        observed: [..., T] further estimates of the tasks' variances, which are averaged with the first ones.
    """
    found = shares.mean(axis=-1)
    pulled = (count * shares + _PULL * found[..., None]) / (count + _PULL)
    own = variance(pulled) if observed is None else (variance(pulled) + observed) / 2
    common = variance(found[..., None]).sum(axis=-1)
    ratio = np.divide(own.sum(axis=-1), common, out=np.ones_like(common), where=common > _TINY)
    squared = ratio * (special.ndtri((1 + level) / 2) / shares.shape[-1]) ** 2

    inner = np.stack([found, found])
    outer = np.stack([np.zeros_like(found), np.ones_like(found)])
    for _ in range(_HALVINGS):
        middle = (inner + outer) / 2
        inside = (middle - found) ** 2 <= squared * variance(middle[..., None]).sum(axis=-1)
        inner, outer = np.where(inside, middle, inner), np.where(inside, outer, middle)
    return outer[0], outer[1]


def binomial(count: npt.NDArray[np.int64]) -> Callable[[Floats], Floats]:
    """The variance of a share of [T] independent runs."""
    return lambda share: share * (1 - share) / count


def ordering(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> Callable[[Floats], Floats]:
    """The variance of the share of pairs in which the first is larger, were both exponential (Hanley and McNeil 1982),
    with the mean number of runs in place of either (Newcombe 2006, method 5).

    Args:
        first: [T] runs of the first.
        second: [T] runs of the second.
    """
    runs = (first + second) / 2

    def variance(share: Floats) -> Floats:
        two = (1 - share) / (2 - share) + share / (1 + share)
        found: Floats = share * (1 - share) * (1 + (runs - 1) * two) / (first * second)
        return found

    return variance
