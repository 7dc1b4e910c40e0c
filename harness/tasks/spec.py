"""What a task is, without building a simulator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # 0.1 s that the command line need not spend
    import gymnasium
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class TaskSpec:
    """A task as configured (image size, action repeat and time limit resolved).

    Attributes:
        name: ``dmc/cartpole-swingup``.
        action_dim: dimensions of a continuous action, each in [-1, 1]; number of choices of a discrete one.
        discrete: whether actions are discrete.
        image_shape: (3, h, w), uint8.
        action_repeat: simulator steps per action; rewards are summed over them.
        time_limit: simulator steps per episode.
        reward_range: smallest and largest reward of one action (after the action repeat); None if unbounded.
        terminates: whether an episode can end for good (truncation is not termination).
        restores_state: whether the environment can return and restore its simulator state.
        state_dim: length of the simulator state vector, 0 if it has none.
        simulates: whether the environment is a `Simulator`, so that the oracle can plan on it.

    Raises:
        ValueError: a number is none, or too small, or the smallest reward is not below the largest.
    """

    name: str
    action_dim: int
    discrete: bool
    image_shape: tuple[int, int, int]
    action_repeat: int
    time_limit: int
    reward_range: tuple[float, float] | None
    terminates: bool = False
    restores_state: bool = False
    state_dim: int = 0
    simulates: bool = False

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, Integral) or value < least:
                raise ValueError(f"{name} is {value!r}; expected a whole number of at least {least}")
        if self.reward_range is not None and not _is_range(self.reward_range):
            raise ValueError(
                f"reward_range is {self.reward_range!r}; expected (smallest, largest), the smallest below the largest, "
                "or None if rewards are unbounded or unknown"
            )

    @property
    def max_steps(self) -> int:
        """Actions per episode at most."""
        return -(-self.time_limit // self.action_repeat)


_LEAST = {"action_dim": 1, "action_repeat": 1, "time_limit": 1, "state_dim": 0}


def _is_range(bounds: Any) -> bool:
    """Whether something is two finite numbers, the first below the second."""
    numbers = isinstance(bounds, tuple | list) and len(bounds) == 2
    return (
        numbers
        and all(isinstance(each, Real) and math.isfinite(each) for each in bounds)
        and bool(bounds[0] < bounds[1])
    )


class Task(Protocol):
    """A task: a spec, and a factory of Gymnasium environments.

    Observations are ``uint8 [3, h, w]``; actions ``float32 [A]`` in [-1, 1], or an integer. ``info["state"]``
    of `reset` and `step` is the simulator state as float64 [state_dim] where the spec says so. Episodes start
    by ``reset(seed=key)``: the same key gives the same frames, bit for bit, whatever was played before.
    """

    version: int
    spec: TaskSpec

    def make(self) -> gymnasium.Env[Any, Any]: ...


class Simulator(Protocol):
    """What an environment offers, through ``env.unwrapped``, that the oracle can plan on: it can be left and entered
    anywhere in an episode, and stepped without drawing a frame. The task's spec then says `simulates`.

    Any two environments that one task makes understand each other's snapshots, also in another process.
    """

    def snapshot(self) -> Any:
        """All that decides what follows, as something that can be pickled; never changes afterwards."""
        ...

    def restore(self, snapshot: Any) -> None:
        """Puts the environment where a snapshot was taken: the same actions then give the same rewards, bit for bit."""
        ...

    def advance(self, action: Any) -> tuple[float, bool]:
        """As `step`, without a frame: the reward, and whether the episode is over. Then there is no more to gain:
        (0.0, True) of an episode that was over before.
        """
        ...


class Restorable(Protocol):
    """What an environment offers, beyond Gymnasium's interface, where its spec says `restores_state`.

    Reached through ``env.unwrapped``.
    """

    def set_state(self, state: NDArray[np.float64]) -> None:
        """Puts the simulator into a state that ``info["state"]`` held; needs no reset before.

        Raises:
            ValueError: the state has the wrong shape.
        """
        ...

    def frame(self) -> NDArray[np.uint8]:
        """The picture of the present state, uint8 [3, h, w]: bit for bit the one that came with the state."""
        ...
