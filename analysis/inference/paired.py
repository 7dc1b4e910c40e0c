"""Differences between designs on common seeds: their mean, equivalence within a margin, many tests at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.inference.estimate import LEVEL, Estimate, Floats
from analysis.inference.strata import ByTask


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests that a mean lies within (-margin, margin) (TOST; Schuirmann 1987).

    Attributes:
        difference: the mean with its interval at the level asked for, L.
        inner: the same with the interval at 1 - 2 (1 - L), such as 90 %, which decides on equivalence.
        lower: p of "the mean is at most -margin".
        upper: p of "the mean is at least margin".
        margin: of equivalence, in units of the difference.
    """

    difference: Estimate
    inner: Estimate
    lower: float
    upper: float
    margin: float

    @property
    def p(self) -> float:
        """Of the hypothesis that the designs are not equivalent: the larger of the two."""
        return float(np.maximum(self.lower, self.upper))

    @property
    def within(self) -> bool:
        """Equivalent: the inner interval lies inside (-margin, margin)."""
        return -self.margin < self.inner.low and self.inner.high < self.margin

    @property
    def outside(self) -> bool:
        """Different by more than the margin: the interval of `difference` lies beyond it on one side."""
        return self.difference.low >= self.margin or self.difference.high <= -self.margin


def stratified(differences: ByTask, *key: object, level: float = LEVEL) -> Estimate:
    """The mean over tasks of the means over seeds, with an interval for these tasks and other seeds.

    Args:
        differences: by task, one value a seed; any per-seed quantity will do.
        key: names the estimate, for the bootstrap's draws.
        level: of the two-sided interval.
    """
    raise NotImplementedError


def over_tasks(differences: ByTask, *key: object, level: float = LEVEL) -> Estimate:
    """The same mean with an interval that generalises to other tasks: the means of the tasks are the sample (n)."""
    raise NotImplementedError


def equivalence(differences: ByTask, margin: float, *key: object, level: float = LEVEL) -> Equivalence:
    """Whether the mean of `stratified` lies within (-margin, margin)."""
    raise NotImplementedError


def lone_tasks(differences: ByTask) -> list[str]:
    """Tasks with a single seed, whose variance `stratified` takes from the others: name them beside its interval."""
    raise NotImplementedError


def holm(p: Sequence[float] | Floats) -> Floats:
    """p values adjusted for their number (Holm 1979), in the order given; NaNs are no tests and stay NaN."""
    raise NotImplementedError


def paired_frame(frame: pd.DataFrame, first: str, second: str, value: str = "value") -> pd.DataFrame:
    """Differences first - second on common seeds: task, seed, difference; one row a task and seed, sorted.

    Args:
        frame: rows with design, task, seed and the value; NaNs are left out, several rows of a cell are averaged.
        first: a design.
        second: the design that is subtracted.
        value: the column that is compared.
    """
    raise NotImplementedError


def by_task(frame: pd.DataFrame, value: str = "difference") -> Mapping[str, Floats]:
    """A column of a frame with `task` as what `stratified` takes."""
    raise NotImplementedError
