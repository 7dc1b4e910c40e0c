"""``toy/catch``: a game in numpy with three choices that ends for good. For tests, examples and benchmarks.

A ball falls through a grid of 10 rows and 5 columns, one row a step, and a paddle on the lowest row moves one column
to the left, stays, or moves to the right. When the ball reaches the lowest row, the reward is 1 if the paddle is
there and -1 if it is not, and the episode is over. After Catch of bsuite (Osband et al. 2020, arXiv 1908.03568),
itself after Mnih et al. 2014 (arXiv 1406.6247); the same grid, start and rewards.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from harness.config.sections import EnvConfig
from harness.errors import UserError
from harness.registry import TASK_VERSIONS
from harness.tasks.actions import Choices
from harness.tasks.spec import TaskSpec

NAME = "toy/catch"
ROWS, COLUMNS = 10, 5
TIME_LIMIT = ROWS - 1
"""Simulator steps until the ball is down, unless the configured limit cuts the episode off before."""

OPTIMAL_RETURN = 1.0
"""Of any policy that goes below the ball: no column is further than 2 from the start, and there are 9 steps."""
RANDOM_RETURN = 2 / COLUMNS - 1
"""Mean of every policy that does not look, random actions among them: the ball's column is uniform, whatever the
paddle does, so it is caught with probability 1/5."""

_FLOOR, _BALL, _PADDLE = (38.0, 42.0, 54.0), (235.0, 110.0, 30.0), (60.0, 170.0, 220.0)


class Catch:
    """The task ``toy/catch`` as configured."""

    version = TASK_VERSIONS["toy"]

    def __init__(self, env: EnvConfig) -> None:
        if env.camera > 0:
            raise UserError(f"{NAME} has one camera: env.camera is {env.camera}")
        self.spec = TaskSpec(
            name=NAME,
            action_dim=3,
            discrete=True,
            image_shape=(3, env.image_size, env.image_size),
            action_repeat=env.action_repeat or 1,
            time_limit=env.time_limit or TIME_LIMIT,
            reward_range=(-1.0, 1.0),
            terminates=True,
            restores_state=True,
            simulates=True,
            state_dim=3,
        )

    def make(self) -> gymnasium.Env[Any, Any]:
        """A new environment."""
        return CatchEnv(self.spec)


class CatchSnapshot(NamedTuple):
    """All that decides how an episode goes on."""

    ball: tuple[int, int]
    paddle: int
    steps: int
    playing: bool


class CatchEnv(gymnasium.Env[NDArray[np.uint8], int]):
    """The game; its state is the ball's row and column, and the paddle's column."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (Gymnasium's own declaration)

    def __init__(self, spec: TaskSpec) -> None:
        self.task_spec = spec
        self.render_mode = "rgb_array"
        self.observation_space = spaces.Box(0, 255, spec.image_shape, np.uint8)
        self._choices = Choices(3)
        self.action_space = self._choices.space
        self._rows = _coverage(ROWS, spec.image_shape[1])
        self._columns = _coverage(COLUMNS, spec.image_shape[2])
        self._row, self._column, self._paddle = 0, 0, COLUMNS // 2
        self._steps = 0
        self._playing = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """The ball starts at a random column of the highest row, the paddle in the middle."""
        super().reset(seed=seed, options=options)
        self._row, self._column = 0, int(self.np_random.integers(COLUMNS))
        self._paddle, self._steps, self._playing = COLUMNS // 2, 0, True
        return self.frame(), {"state": self.get_state()}

    def step(self, action: int) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Holds an action (0 left, 1 stay, 2 right) for `action_repeat` simulator steps, fewer where the episode ends.

        Raises:
            ValueError: an action that is none, or no episode is running.
        """
        move = self._choices(action) - 1
        if not self._playing:
            raise ValueError("the episode is over: call reset first")
        reward = self._hold(move)
        terminated = self._row == ROWS - 1
        truncated = not (terminated or self._playing)
        return self.frame(), reward, terminated, truncated, {"state": self.get_state()}

    def snapshot(self) -> CatchSnapshot:
        """See `harness.tasks.spec.Simulator`."""
        return CatchSnapshot((self._row, self._column), self._paddle, self._steps, self._playing)

    def restore(self, snapshot: CatchSnapshot) -> None:
        """See `harness.tasks.spec.Simulator`."""
        (self._row, self._column), self._paddle, self._steps, self._playing = snapshot

    def advance(self, action: int) -> tuple[float, bool]:
        """See `harness.tasks.spec.Simulator`; the same rewards as `step`."""
        reward = self._hold(self._choices(action) - 1) if self._playing else 0.0
        return reward, not self._playing

    def _hold(self, move: int) -> float:
        reward = 0.0
        for _ in range(self.task_spec.action_repeat):
            self._paddle = min(max(self._paddle + move, 0), COLUMNS - 1)
            self._row += 1
            self._steps += 1
            if self._row == ROWS - 1:
                reward = 1.0 if self._paddle == self._column else -1.0
            if self._row == ROWS - 1 or self._steps >= self.task_spec.time_limit:
                self._playing = False
                break
        return reward

    def get_state(self) -> NDArray[np.float64]:
        """The ball's row and column, and the paddle's column."""
        return np.array([self._row, self._column, self._paddle], np.float64)

    def set_state(self, state: NDArray[np.float64]) -> None:
        """Moves ball and paddle; the time limit counts on.

        Raises:
            ValueError: the wrong shape, or no place in the grid.
        """
        if state.shape != (3,):
            raise ValueError(f"a state of {NAME} has 3 numbers, not {state.shape}")
        row, column, paddle = (int(number) for number in state)
        if not (0 <= row < ROWS and 0 <= column < COLUMNS and 0 <= paddle < COLUMNS):
            raise ValueError(f"{state.tolist()} is no place in a grid of {ROWS} rows and {COLUMNS} columns")
        self._row, self._column, self._paddle = row, column, paddle

    def frame(self) -> NDArray[np.uint8]:
        """The picture of the present state, uint8 [3, h, w]; where they meet, the ball is on top of the paddle."""
        picture = np.empty(self.task_spec.image_shape)
        picture[:] = np.reshape(_FLOOR, (3, 1, 1))
        for row, column, colour in ((ROWS - 1, self._paddle, _PADDLE), (self._row, self._column, _BALL)):
            covered = self._rows[row][:, None] * self._columns[column]
            picture += covered * (np.reshape(colour, (3, 1, 1)) - picture)
        return np.rint(picture).astype(np.uint8)

    def render(self) -> NDArray[np.uint8]:
        """The picture of the present state as Gymnasium wants it, uint8 [h, w, 3]."""
        return np.ascontiguousarray(self.frame().transpose(1, 2, 0))


def _coverage(cells: int, size: int) -> NDArray[np.float64]:
    """The part of each of `size` pixels along an axis that each of the cells covers [cells, size]."""
    edges = np.arange(cells + 1)[:, None] * size / cells
    pixels = np.arange(size)
    overlap = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    covered: NDArray[np.float64] = overlap.clip(0.0, 1.0)
    return covered
