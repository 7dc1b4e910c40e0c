"""Whether designs rank alike under two conditions, given how well ranks can agree with the seeds there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.inference.estimate import LEVEL, Estimate

MIN_SEEDS = 4
MIN_DESIGNS = 4


@dataclass(frozen=True)
class TaskRanks:
    """One task's ranks under two conditions.

    Attributes:
        tau: Kendall's tau-b of the designs' means over all seeds; its interval takes the designs as the sample.
        first, second: tau between disjoint sets of seeds within either condition.
        ceiling: what tau could be expected to be at as many seeds, if the true ranks were equal.
        across: tau between the conditions, at as many seeds.
        designs, seeds: that both conditions have complete.
    """

    task: str
    tau: Estimate
    first: float
    second: float
    ceiling: float
    across: float
    designs: int
    seeds: int


@dataclass(frozen=True)
class RankMismatch:
    """By how much the ranks of two conditions agree less than they could.

    Attributes:
        mismatch: ceiling - across, averaged over the tasks of `tasks`; n counts seeds.
        ceiling, across: averaged over the tasks.
        tasks: those with at least 4 designs and 4 seeds under both conditions.
        missing: tasks left out, with what they lack, a sentence each.
    """

    mismatch: Estimate
    ceiling: float
    across: float
    tasks: Sequence[TaskRanks]
    missing: Sequence[str] = ()


def rank_mismatch(
    first: pd.DataFrame, second: pd.DataFrame, value: str = "value", *key: object, level: float = LEVEL
) -> RankMismatch:
    """Compares the ranks of designs under two conditions, such as online and offline.

    Args:
        first: rows with design, task, seed and the value, one a run, of the first condition.
        second: of the second, with the same names of designs.
        value: the column by which designs are ranked.
    """
    raise NotImplementedError
