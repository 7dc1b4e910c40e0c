"""What is done to a planned action while collecting. Actions are in [-1, 1], so noise is in half action ranges;
discrete ones are one-hot.

The pieces wrap one another: ``EpsilonGreedy(0.1, GaussianNoise(0.3))`` plays a uniformly random action in a tenth of
the steps and a noisy plan in the others. The agent's belief sees every frame, whatever led to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from planners.types import ActionSpace

Actions = NDArray[np.float32]
Explorer = Callable[[Actions], Actions]
"""One episode's: the planned action of a step [A] -> the action taken [A]. It may remember earlier steps."""


class Exploration(Protocol):
    """Turns planned actions into taken ones.

    Attributes:
        needs_plan: False if the planned action is ignored, so that planning can be skipped.
    """

    needs_plan: bool

    def begin(self, space: ActionSpace, steps: int, rng: np.random.Generator) -> Explorer:
        """The explorer of one episode.

        Args:
            space: of the actions.
            steps: that the episode has at most.
            rng: the episode's own stream of random numbers, read by nobody else.

        Raises:
            ValueError: it makes no sense for these actions.
        """
        ...


class Greedy:
    """The planned action as it is."""

    needs_plan = True

    def begin(self, space: ActionSpace, steps: int, rng: np.random.Generator) -> Explorer:
        """See `Exploration.begin`."""
        del space, steps, rng
        return lambda action: action


class UniformRandom:
    """Uniformly random actions: the cold start, and the random agent."""

    needs_plan = False

    def begin(self, space: ActionSpace, steps: int, rng: np.random.Generator) -> Explorer:
        """See `Exploration.begin`."""
        del steps
        return lambda _: uniform_action(space, rng)


class EpsilonGreedy:
    """A uniformly random action with probability epsilon, else what `base` makes of the plan.

    The reference's "randomizer" is the same thing. There, a random step hides its frame from the belief; here not.
    """

    def __init__(self, epsilon: float, base: Exploration | None = None) -> None:
        self.epsilon = epsilon
        self.base = base or Greedy()
        self.needs_plan = self.base.needs_plan

    def begin(self, space: ActionSpace, steps: int, rng: np.random.Generator) -> Explorer:
        """See `Exploration.begin`."""
        otherwise = self.base.begin(space, steps, rng)

        def explore(action: Actions) -> Actions:
            usual = otherwise(action)  # coloured noise goes on while a random action is played
            return uniform_action(space, rng) if rng.random() < self.epsilon else usual

        return explore


class GaussianNoise:
    """Adds Gaussian noise and clips to the range.

    Args:
        std: standard deviation, in half action ranges.
        exponent: beta of the power spectrum 1 / f^beta over the steps of an episode: 0 is white noise, 1 pink, 2 red
            (Eberhard et al. 2023, "Pink noise is all you need").
        base: what is done to the plan before.
    """

    def __init__(self, std: float, exponent: float = 0.0, base: Exploration | None = None) -> None:
        self.std = std
        self.exponent = exponent
        self.base = base or Greedy()
        self.needs_plan = self.base.needs_plan

    def begin(self, space: ActionSpace, steps: int, rng: np.random.Generator) -> Explorer:
        """See `Exploration.begin`."""
        if space.discrete:
            raise ValueError("Gaussian noise is for continuous actions; explore discrete ones with epsilon")
        planned = self.base.begin(space, steps, rng)
        coloured = iter(coloured_noise(self.exponent, steps, space.dim, rng)) if self.exponent else None

        def explore(action: Actions) -> Actions:
            noise = rng.standard_normal(action.shape) if coloured is None else next(coloured)
            return np.clip(planned(action) + self.std * noise, -1, 1).astype(np.float32)

        return explore


def uniform_action(space: ActionSpace, rng: np.random.Generator) -> Actions:
    """A uniformly random action [A]; one-hot where discrete."""
    if space.discrete:
        choice: Actions = np.eye(space.dim, dtype=np.float32)[rng.integers(space.dim)]
        return choice
    return rng.uniform(-1, 1, space.dim).astype(np.float32)


def coloured_noise(exponent: float, steps: int, dim: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Gaussian noise [steps, dim] with the power spectrum 1 / f^exponent and unit variance, independent dimensions.

    By random Fourier coefficients (Timmer and Koenig 1995, "On generating power law noise"); the zero frequency has
    the power of the lowest other one.
    """
    length = max(2, steps)
    frequencies = np.fft.rfftfreq(length)
    frequencies[0] = frequencies[1]
    amplitude = frequencies ** (-exponent / 2)
    parts = rng.standard_normal((2, len(amplitude), dim)) * amplitude[:, None]
    parts[1, 0] = 0  # the mean is real,
    parts[0, 0] *= np.sqrt(2)
    if length % 2 == 0:  # and so is the highest frequency of an even number of steps
        parts[1, -1] = 0
        parts[0, -1] *= np.sqrt(2)
    noise = np.fft.irfft(parts[0] + 1j * parts[1], n=length, axis=0)
    weights = np.full(len(amplitude), 2.0)
    weights[0] = 1
    if length % 2 == 0:
        weights[-1] = 1
    power = 2 * amplitude**2 * weights  # of the coefficients with their conjugates
    result: NDArray[np.float64] = noise[:steps] * (length / np.sqrt(power.sum()))
    return result
