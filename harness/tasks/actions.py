"""Between the actions of a task, which are in [-1, 1] or choices from 0, and those of the environment behind it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

_HUGE = 1e6
"""Bounds beyond it say no more than that there are none."""


class Actions(Protocol):
    """The actions of an environment as a task offers them.

    Attributes:
        dim: numbers in [-1, 1], or choices.
        discrete: which of the two.
        space: Gymnasium's description of what the task takes.
    """

    dim: int
    discrete: bool
    space: spaces.Space[Any]

    def __call__(self, action: Any) -> Any:
        """The environment's own action.

        Raises:
            ValueError: it is none of the task's.
        """
        ...


class Choices:
    """One of `dim` choices, numbered from 0, for an environment that numbers them from `start`."""

    discrete = True

    def __init__(self, dim: int, start: int = 0) -> None:
        self.dim = dim
        self.start = start
        self.space: spaces.Space[Any] = spaces.Discrete(dim)

    def __call__(self, action: Any) -> int:
        """See `Actions`."""
        whole = isinstance(action, int | np.integer) or (
            isinstance(action, np.ndarray) and not action.ndim and action.dtype.kind in "iu"
        )
        if not whole or not 0 <= action < self.dim:
            raise ValueError(f"an action is a whole number from 0 to {self.dim - 1}, not {action!r}")
        return int(action) + self.start


class Intervals:
    """Numbers in [-1, 1], clipped, stretched to the bounds of a box [A].

    Where a bound is infinite, or beyond 10^6, -1 or 1 takes its place.

    Raises:
        ValueError: that leaves nothing between the bounds.
    """

    discrete = False

    def __init__(self, low: NDArray[Any], high: NDArray[Any], dtype: Any = np.float64) -> None:
        low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
        self.low, self.high = np.where(low < -_HUGE, -1.0, low), np.where(high > _HUGE, 1.0, high)
        if not (self.low < self.high).all():
            raise ValueError(f"bounds {low.tolist()} and {high.tolist()} leave nothing to rescale [-1, 1] to")
        self.dtype = dtype
        self.dim = len(low)
        self.space: spaces.Space[Any] = spaces.Box(-1.0, 1.0, (self.dim,), np.float32)

    def __call__(self, action: Any) -> NDArray[Any]:
        """See `Actions`."""
        values = np.asarray(action, np.float64)
        if values.shape != (self.dim,) or not np.isfinite(values).all():
            raise ValueError(f"an action is {self.dim} finite numbers, not {action!r}")
        inner = self.low + (self.high - self.low) * (values.clip(-1.0, 1.0) + 1) / 2
        scaled: NDArray[Any] = inner.clip(self.low, self.high).astype(self.dtype)
        return scaled


def actions_of(space: spaces.Space[Any]) -> Actions:
    """How a task offers the actions of an environment.

    Raises:
        ValueError: planners have no form for them; says which they have.
    """
    if isinstance(space, spaces.Discrete):
        return Choices(int(space.n), int(space.start))
    if isinstance(space, spaces.Box) and len(space.shape) == 1 and space.dtype.kind == "f":
        return Intervals(space.low, space.high, space.dtype)
    raise ValueError(
        f"its actions are {space}; a task has a vector of numbers (a Box of one dimension) or one choice (Discrete). "
        "A gymnasium.ActionWrapper in a task of your own can make one of them"
    )
