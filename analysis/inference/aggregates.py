"""Aggregates of normalised scores over runs and tasks (Agarwal et al. 2021, "Deep RL at the edge of the statistical
precipice"), with intervals for the tasks at hand and other seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.inference.estimate import LEVEL, Estimate, Floats
from analysis.inference.strata import ByTask


@dataclass(frozen=True)
class Profile:
    """The share of runs that score above tau, each task counting the same, with pointwise intervals.

    Attributes:
        tau: num_tau thresholds of the score.
        share, low, high: num_tau.
        n: runs.
        tasks: tasks that have runs.
        level: of the intervals, at each tau for itself.
    """

    tau: Floats
    share: Floats
    low: Floats
    high: Floats
    n: int
    tasks: int
    level: float = LEVEL


def mean(scores: ByTask, *key: object, level: float = LEVEL) -> Estimate:
    """The mean over tasks of the means over seeds."""
    raise NotImplementedError


def median(scores: ByTask, *key: object, level: float = LEVEL) -> Estimate:
    """The median over tasks of the means over seeds."""
    raise NotImplementedError


def iqm(scores: ByTask, *key: object, level: float = LEVEL) -> Estimate:
    """The interquartile mean: of the middle half of all runs."""
    raise NotImplementedError


def optimality_gap(scores: ByTask, *key: object, gamma: float = 1.0, level: float = LEVEL) -> Estimate:
    """By how much scores fall short of gamma, on average; what lies above gamma counts as gamma."""
    raise NotImplementedError


AGGREGATES = {"mean": mean, "median": median, "iqm": iqm, "optimality_gap": optimality_gap}
"""By name, in the order of tables."""


def performance_profile(scores: ByTask, tau: Sequence[float] | Floats, *, level: float = LEVEL) -> Profile:
    """The run-score distribution at each tau."""
    raise NotImplementedError


def probability_of_improvement(first: ByTask, second: ByTask, *, level: float = LEVEL) -> Estimate:
    """P(a run of the first scores above one of the second), averaged over the tasks of both; ties count one half."""
    raise NotImplementedError
