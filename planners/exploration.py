"""What is done to a planned action while collecting. Actions are in [-1, 1], so noise is in half action ranges."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Actions = NDArray[np.float32]


class Exploration(Protocol):
    """Turns planned actions into taken ones.

    Attributes:
        needs_plan: False if the planned action is ignored, so that planning can be skipped. The agent's belief
            sees the frames all the same.
    """

    needs_plan: bool

    def __call__(self, action: Actions, rng: np.random.Generator) -> Actions:
        """One environment's action [A] and its stream of random numbers -> the action taken [A]."""
        ...


class Greedy:
    """The planned action as it is."""

    needs_plan = True

    def __call__(self, action: Actions, rng: np.random.Generator) -> Actions:
        del rng
        return action


class UniformRandom:
    """Uniformly random actions: the cold start, and the random agent."""

    needs_plan = False

    def __call__(self, action: Actions, rng: np.random.Generator) -> Actions:
        return rng.uniform(-1, 1, action.shape).astype(np.float32)


class GaussianNoise:
    """Adds independent Gaussian noise of the given standard deviation and clips to the range."""

    needs_plan = True

    def __init__(self, std: float) -> None:
        self.std = std

    def __call__(self, action: Actions, rng: np.random.Generator) -> Actions:
        noisy = action + self.std * rng.standard_normal(action.shape)
        return np.clip(noisy, -1, 1).astype(np.float32)
