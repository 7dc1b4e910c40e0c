"""``toy/point-mass``: a pixel task in numpy whose optimum is known in closed form. For tests and benchmarks.

A point mass in the square [-1, 1] x [-1, 1] starts at rest and is pushed towards the goal in the centre::

    v' = DAMPING v + GAIN a        x' = x + v'        reward = 1 / (1 + |x'|^2 / WIDTH^2)^2

The axes are independent. Top speed is GAIN / (1 - DAMPING) = 2 GAIN, and one action stops it since
DAMPING * 2 GAIN = GAIN. So pushing each coordinate as near to zero as one step can is optimal: no policy
is nearer at any time, and none is needed that slows down earlier.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from harness.config.sections import EnvConfig
from harness.errors import UserError
from harness.registry import TASK_VERSIONS
from harness.tasks.spec import TaskSpec

NAME = "toy/point-mass"
TIME_LIMIT = 50
DAMPING = 0.5
GAIN = 0.05
WIDTH = 0.5
START = 0.9
"""Starts are uniform over the square of this half side."""

OPTIMAL_RETURN = 46.8
"""Mean return of `optimal_action` at action repeat 1 and the default time limit (20,000 starts: 46.77)."""
RANDOM_RETURN = 9.3
"""Mean return of uniformly random actions, likewise (9.27)."""

_BALL, _RADIUS = (235.0, 110.0, 30.0), 0.2
_GOAL, _GOAL_RADIUS = (60.0, 170.0, 90.0), 0.3
_FLOOR, _WALL = (38.0, 42.0, 54.0), (120.0, 124.0, 136.0)
_VIEW = 1.3
"""Half the side of the picture, in units of the state; the ball's rim stops at the walls' inner face."""


class PointMass:
    """The task ``toy/point-mass`` as configured."""

    version = TASK_VERSIONS["toy"]

    def __init__(self, env: EnvConfig) -> None:
        if env.camera > 0:
            raise UserError(f"{NAME} has one camera: env.camera is {env.camera}")
        repeat = env.action_repeat or 1
        self.spec = TaskSpec(
            name=NAME,
            action_dim=2,
            discrete=False,
            image_shape=(3, env.image_size, env.image_size),
            action_repeat=repeat,
            time_limit=env.time_limit or TIME_LIMIT,
            reward_range=(0.0, float(repeat)),
            restores_state=True,
            simulates=True,
            state_dim=4,
        )

    def make(self) -> gymnasium.Env[Any, Any]:
        """A new environment."""
        return PointMassEnv(self.spec)


class PointMassEnv(gymnasium.Env[NDArray[np.uint8], NDArray[np.float32]]):
    """The point mass; its state is x, y, and their velocities."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (Gymnasium's own declaration)

    def __init__(self, spec: TaskSpec) -> None:
        self.task_spec = spec
        self.render_mode = "rgb_array"
        self.observation_space = spaces.Box(0, 255, spec.image_shape, np.uint8)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._centres = _pixel_centres(spec.image_shape[1])
        self._background = _background(self._centres)
        self._state = np.zeros(4)
        self._steps = 0
        self._playing = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Starts at rest at a random place."""
        super().reset(seed=seed, options=options)
        self._state = np.concatenate([self.np_random.uniform(-START, START, 2), np.zeros(2)])
        self._steps, self._playing = 0, True
        return self.frame(), {"state": self.get_state()}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Holds an action for `action_repeat` simulator steps, fewer where the episode ends.

        Raises:
            ValueError: an action that is not two finite numbers, or no episode is running.
        """
        if not self._playing:
            raise ValueError("the episode is over: call reset first")
        reward, over = self.advance(action)
        return self.frame(), reward, False, over, {"state": self.get_state()}

    def advance(self, action: NDArray[np.float32]) -> tuple[float, bool]:
        """See `harness.tasks.spec.Simulator`; the same rewards as `step`."""
        push = np.asarray(action, np.float64)
        if push.shape != (2,) or not np.isfinite(push).all():
            raise ValueError(f"an action is 2 finite numbers, not {action!r}")
        reward = 0.0
        for _ in range(self.task_spec.action_repeat if self._playing else 0):
            self._state, gained = simulate(self._state, push)
            reward += gained
            self._steps += 1
            if self._steps >= self.task_spec.time_limit:
                self._playing = False
                break
        return reward, not self._playing

    def snapshot(self) -> tuple[NDArray[np.float64], int, bool]:
        """See `harness.tasks.spec.Simulator`."""
        return self._state.copy(), self._steps, self._playing

    def restore(self, snapshot: tuple[NDArray[np.float64], int, bool]) -> None:
        """See `harness.tasks.spec.Simulator`."""
        self._state, self._steps, self._playing = snapshot[0].copy(), *snapshot[1:]

    def get_state(self) -> NDArray[np.float64]:
        """x, y, and their velocities."""
        return self._state.copy()

    def set_state(self, state: NDArray[np.float64]) -> None:
        """Moves the point mass; the time limit counts on.

        Raises:
            ValueError: the wrong shape.
        """
        if state.shape != (4,):
            raise ValueError(f"a state of {NAME} has 4 numbers, not {state.shape}")
        self._state = state.astype(np.float64)

    def frame(self) -> NDArray[np.uint8]:
        """The picture of the present state, uint8 [3, h, w]: the ball over goal and floor; y points down."""
        picture = self._background.copy()
        reach = _RADIUS + self._centres[1] - self._centres[0]
        columns = slice(*np.searchsorted(self._centres, [self._state[0] - reach, self._state[0] + reach]))
        rows = slice(*np.searchsorted(self._centres, [self._state[1] - reach, self._state[1] + reach]))
        x, y = self._centres[columns] - self._state[0], self._centres[rows] - self._state[1]
        part = picture[:, rows, columns]
        part += _coverage(x, y, _RADIUS, self._centres) * (np.reshape(_BALL, (3, 1, 1)) - part)
        return np.rint(picture).astype(np.uint8)

    def render(self) -> NDArray[np.uint8]:
        """The picture of the present state as Gymnasium wants it, uint8 [h, w, 3]."""
        return np.ascontiguousarray(self.frame().transpose(1, 2, 0))


def simulate(state: NDArray[np.float64], action: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    """One simulator step: state [4] and action [2] to the next state [4] and the reward."""
    velocity = DAMPING * state[2:] + GAIN * np.asarray(action, np.float64).clip(-1.0, 1.0)
    free = state[:2] + velocity
    position = free.clip(-1.0, 1.0)
    velocity *= free == position  # a wall stops what runs into it
    reward = 1.0 / (1.0 + float(position @ position) / WIDTH**2) ** 2
    return np.concatenate([position, velocity]), reward


def optimal_action(state: NDArray[np.float64], action_repeat: int = 1) -> NDArray[np.float32]:
    """The action that brings each coordinate nearest to zero within one action.

    Optimal at action repeat 1 (see the head of this file), close to it otherwise.

    Args:
        state: x, y, and their velocities [4].
        action_repeat: simulator steps per action.

    Returns:
        The action [2] in [-1, 1].
    """
    glide = sum(DAMPING**k for k in range(1, action_repeat + 1))
    push = GAIN * sum(DAMPING**k * (action_repeat - k) for k in range(action_repeat))
    action = -(state[:2] + glide * state[2:]) / push
    return action.clip(-1.0, 1.0).astype(np.float32)


def _pixel_centres(size: int) -> NDArray[np.float64]:
    """Coordinates of the pixel centres along one axis [size]."""
    centres: NDArray[np.float64] = ((np.arange(size) + 0.5) / size * 2 - 1) * _VIEW
    return centres


def _coverage(
    x: NDArray[np.float64], y: NDArray[np.float64], radius: float, centres: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The part of each pixel [y, x] that a disc around zero covers, linear across its edge."""
    distance = np.sqrt(y[:, None] ** 2 + x**2)
    covered: NDArray[np.float64] = ((radius - distance) / (centres[1] - centres[0]) + 0.5).clip(0.0, 1.0)
    return covered


def _background(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Floor, walls and goal [3, size, size]."""
    wall = ((np.abs(centres) - 1.0 - _RADIUS) / (centres[1] - centres[0]) + 0.5).clip(0.0, 1.0)
    walls = np.maximum(wall[:, None], wall)
    goal = _coverage(centres, centres, _GOAL_RADIUS, centres)
    floor, wall_colour, goal_colour = (np.reshape(c, (3, 1, 1)) for c in (_FLOOR, _WALL, _GOAL))
    picture = floor + walls * (wall_colour - floor)
    return np.asarray(picture + goal * (goal_colour - picture))
