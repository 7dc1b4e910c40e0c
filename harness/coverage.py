"""Coverage: how widely the simulator states of a run's episodes are spread (hypothesis H8 of the study).

Differential entropy by the k-nearest-neighbour estimator of Kozachenko and Leonenko (1987), in the form of Kraskov,
Stögbauer and Grassberger (2004, equation 20) with Euclidean balls, in nats::

    H = psi(N) - psi(k) + log V_d + d/N * sum_i log(r_i)      r_i: distance of state i to its k-th nearest other one
                                                              V_d: volume of the unit ball in d dimensions

and the mean of r_i. States are first divided by the standard deviation that each dimension has in the task's probe
episodes, which no design has a say in; dimensions that stand still there are left out. So 0 nats is the spread of a
unit cube, and a value says nothing across tasks. A distance below `RESOLUTION` counts as that: states that repeat
would otherwise have an entropy of minus infinity.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.episodes import F64, Bools, Episode
from harness.replay import Replay

NEIGHBOUR = 3
"""k: 1 has the least bias and the most variance; 3 is the usual choice."""
STATES = 1000
"""States that are measured, drawn anew at every iteration, so that the cost does not grow with the replay."""
RESOLUTION = 1e-4
"""The least distance, in standard deviations of the probe."""
_STILL = 1e-6
"""A standard deviation below this part of a dimension's size is rounding."""


@dataclass(frozen=True)
class Coverage:
    """Of N states: `entropy` in nats, and the mean distance to the k-th neighbour; NaN for N of k or fewer."""

    entropy: float
    knn_distance: float


@dataclass(frozen=True)
class StateScale:
    """The unit of each dimension of a state.

    Attributes:
        std: f64[D].
        kept: bool[D], the dimensions that vary.
    """

    std: F64
    kept: Bools

    @classmethod
    def of(cls, episodes: Iterable[Episode]) -> StateScale | None:
        """Standard deviations over all columns of some episodes; None if one has no states or nothing varies."""
        states = [episode.state for episode in episodes]
        present = [state for state in states if state is not None and state.shape[1]]
        if not states or len(present) < len(states):
            return None
        every = np.concatenate(present)
        std = every.std(axis=0)
        kept = std > _STILL * np.maximum(1.0, np.abs(every).max(axis=0))
        return cls(std, kept) if kept.any() else None

    def apply(self, states: F64) -> F64:
        """f64[N, D] to f64[N, d], the dimensions that vary in their units."""
        return states[:, self.kept] / self.std[self.kept]


def coverage(points: F64, k: int = NEIGHBOUR) -> Coverage:
    """Entropy and neighbour distance of points f64[N, d]; see the head of this file.

    Args:
        points: in the units in which distances mean something.
        k: which neighbour.
    """
    count, dim = points.shape
    if count <= k:
        return Coverage(math.nan, math.nan)
    distance = np.maximum(_distances(points, k), RESOLUTION)
    from scipy.special import digamma

    log_ball = dim / 2 * math.log(math.pi) - math.lgamma(dim / 2 + 1)
    entropy = digamma(count) - digamma(k) + log_ball + dim * np.log(distance).mean()
    return Coverage(float(entropy), float(distance.mean()))


def _distances(points: F64, k: int) -> F64:
    """f64[N]: the distance of each point to its k-th nearest other one."""
    from scipy.spatial import cKDTree

    nearest = np.asarray(
        cKDTree(points).query(points, k=[k + 1])[0]
    )  # k + 1: each point is nearest to itself
    found: F64 = nearest[:, 0]
    return found


def replay_coverage(replay: Replay, scale: StateScale, rng: np.random.Generator) -> dict[str, Any]:
    """The fields of a line of kind `coverage`: entropy, knn_distance, states (measured), episodes (of the replay).

    Args:
        replay: with at least one episode, all with simulator states.
        scale: of the task.
        rng: draws which columns are measured, without replacement; nothing else is random.
    """
    chosen = sample_columns(replay.columns, rng)
    found = coverage(scale.apply(replay.states(chosen)))
    return {
        "entropy": found.entropy,
        "knn_distance": found.knn_distance,
        "states": len(chosen),
        "episodes": len(replay),
    }


def sample_columns(columns: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """At most `STATES` of so many columns, sorted."""
    if columns <= STATES:
        return np.arange(columns)
    return np.sort(rng.choice(columns, size=STATES, replace=False))
