"""``dmc/<domain>-<task>``: the dm_control suite seen as pixels, through Gymnasium."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from harness.config.sections import EnvConfig
from harness.errors import RunError, UserError
from harness.registry import TASK_VERSIONS
from harness.tasks.rendering import REMEDY, select_backend
from harness.tasks.spec import TaskSpec
from harness.tasks.suite_table import SUITE, TIME_LIMIT


class SuiteEnvironments:
    """The task ``dmc/<domain>-<task>`` as configured; dm_control loads in `make`."""

    version = TASK_VERSIONS["dmc"]

    def __init__(self, name: str, env: EnvConfig) -> None:
        row = SUITE[name.removeprefix("dmc/")]
        if env.camera >= row.cameras:
            raise UserError(
                f"{name} has cameras 0 to {row.cameras - 1} (and -1, free): env.camera is {env.camera}"
            )
        repeat = env.action_repeat or row.action_repeat
        self.config = env
        self.spec = TaskSpec(
            name=name,
            action_dim=row.action_dim,
            discrete=False,
            image_shape=(3, env.image_size, env.image_size),
            action_repeat=repeat,
            time_limit=env.time_limit or TIME_LIMIT,
            reward_range=(0.0, float(repeat)) if row.bounded_reward else None,
            terminates=row.terminates,
            restores_state=row.restores_state,
            state_dim=row.state_dim,
        )

    def make(self) -> gymnasium.Env[Any, Any]:
        """A new environment.

        Raises:
            RunError: no OpenGL backend works.
        """
        select_backend()
        return SuiteEnv(self.spec, self.config)


class SuiteEnv(gymnasium.Env[NDArray[np.uint8], NDArray[np.float32]]):
    """One dm_control environment; use `SuiteEnvironments.make`.

    Observations are ``uint8 [3, h, w]``, rendered once per action at their own size. Actions in [-1, 1] are
    clipped, mapped to the actuators' range and held for `action_repeat` simulator steps, rewards summed.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}  # noqa: RUF012 (Gymnasium's own declaration)

    def __init__(self, spec: TaskSpec, config: EnvConfig) -> None:
        self.task_spec = spec
        self.render_mode = "rgb_array"
        self.observation_space = spaces.Box(0, 255, spec.image_shape, np.uint8)
        self.action_space = spaces.Box(-1.0, 1.0, (spec.action_dim,), np.float32)
        self._camera_id = config.camera
        self._camera: Any = None
        self._extra_fields = SUITE[spec.name.removeprefix("dmc/")].extra
        # LQR draws its model here, at construction: seeded, so that every instance is the same task.
        self._random = np.random.RandomState(0)
        self._env = _load(spec.name, self._random)
        self._physics = self._env.physics
        quality, buffer = self._physics.model.vis.quality, self._physics.model.vis.global_
        quality.shadowsize, quality.offsamples = config.shadow_size, config.antialiasing
        buffer.offwidth = buffer.offheight = config.image_size
        self._half, self._centre = _action_range(self._env.action_spec())
        self._extra = [_model_rows(self._physics, field) for field in self._extra_fields]
        self._steps = 0
        self._playing = False
        self._fresh = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Starts an episode; the same seed gives the same frames whatever was played before."""
        super().reset(seed=seed, options=options)
        key = int(self.np_random.integers(2**63))
        bits: Any = np.random.MT19937(np.random.SeedSequence(key)).state
        self._random.set_state(bits)
        self._env.reset()
        self._steps, self._playing, self._fresh = 0, True, False
        return self.frame(), {"state": self.get_state()}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Holds an action for `action_repeat` simulator steps, fewer where the episode ends.

        A simulation that blows up ends the episode as truncated, with ``info["error"]``.

        Raises:
            ValueError: an action that is not a finite vector of A numbers, or no episode is running.
        """
        control = self._to_control(action)
        if not self._playing:
            raise ValueError("the episode is over: call reset first")
        reward, terminated, info = 0.0, False, {}
        try:
            for _ in range(self.task_spec.action_repeat):
                result = self._env.step(control)
                reward += float(result.reward)
                self._steps += 1
                terminated = bool(result.last() and result.discount == 0)
                if terminated or self._steps >= self.task_spec.time_limit:
                    break
        except _physics_error() as error:
            info["error"] = str(error)
        truncated = not terminated and (self._steps >= self.task_spec.time_limit or "error" in info)
        self._playing = not (terminated or truncated)
        return self.frame(), reward, terminated, truncated, {**info, "state": self.get_state()}

    def get_state(self) -> NDArray[np.float64]:
        """The simulator's state [state_dim]: positions, velocities, activations, what a reset drew anew."""
        parts = [self._physics.get_state(), *(rows.ravel() for rows in self._extra)]
        return np.concatenate(parts, dtype=np.float64)

    def set_state(self, state: NDArray[np.float64]) -> None:
        """Puts the simulator into a state, to look at it with `frame`.

        Stepping on from it follows the same physics, but not to the last bit: the solver's warm start is not
        part of the state. The time limit counts on.

        Raises:
            ValueError: the wrong shape, or a task whose spec says that it restores no state.
        """
        if not self.task_spec.restores_state:
            raise ValueError(f"{self.task_spec.name} cannot restore a state: its terrain is not part of it")
        if state.shape != (self.task_spec.state_dim,):
            raise ValueError(
                f"a state of {self.task_spec.name} has {self.task_spec.state_dim} numbers, not {state.shape}"
            )
        if self._fresh:
            self.reset(seed=0)  # some tasks complete their model at the first reset
        end = len(state) - sum(rows.size for rows in self._extra)
        self._physics.set_state(state[:end])
        for rows in self._extra:
            rows[:] = state[end : end + rows.size].reshape(rows.shape)
            end += rows.size
        with self._physics.suppress_physics_errors():
            self._physics.forward()

    def frame(self) -> NDArray[np.uint8]:
        """The picture of the present state, uint8 [3, h, w].

        Raises:
            RunError: OpenGL failed.
        """
        return np.ascontiguousarray(self.render().transpose(2, 0, 1))

    def render(self) -> NDArray[np.uint8]:
        """The picture of the present state as Gymnasium wants it, uint8 [h, w, 3]."""
        try:
            if self._camera is None:
                from dm_control.mujoco import Camera

                size = self.task_spec.image_shape[1]
                self._camera = Camera(self._physics, size, size, self._camera_id)
            picture: NDArray[np.uint8] = self._camera.render()
        except Exception as error:
            raise RunError(
                "rendering", f"OpenGL failed ({type(error).__name__}: {error}).", REMEDY
            ) from error
        return picture

    def close(self) -> None:
        """Frees the simulator and its OpenGL context."""
        self._camera = None
        if self._physics is not None:
            self._physics.free()
            self._physics = None

    def _to_control(self, action: NDArray[np.float32]) -> NDArray[np.float64]:
        """[-1, 1] to the actuators' own range."""
        values = np.asarray(action, np.float64)
        if values.shape != self._half.shape or not np.isfinite(values).all():
            raise ValueError(f"an action is {self._half.size} finite numbers, not {action!r}")
        control: NDArray[np.float64] = self._centre + self._half * values.clip(-1.0, 1.0)
        return control


def _load(name: str, random: np.random.RandomState) -> Any:
    """The dm_control environment of ``dmc/<domain>-<task>``, without a time limit of its own."""
    from dm_control import suite

    domain, _, task = name.removeprefix("dmc/").partition("-")
    with _quiet():
        return suite.load(domain, task, task_kwargs={"random": random, "time_limit": float("inf")})


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences MuJoCo's remarks on the suite's own model files."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _action_range(spec: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Half the width and the centre of an action spec [A]; an unbounded actuator (LQR) gets [-1, 1]."""
    low, high = np.broadcast_to(spec.minimum, spec.shape), np.broadcast_to(spec.maximum, spec.shape)
    bounded = np.abs(np.stack([low, high])).max(axis=0) < 1e6
    low, high = np.where(bounded, low, -1.0), np.where(bounded, high, 1.0)
    return (high - low) / 2, (high + low) / 2


def _model_rows(physics: Any, field: str) -> NDArray[np.float64]:
    """A writable view of one object's row of a model field; ``wrap_prm:`` is the whole field."""
    name, _, thing = field.partition(":")
    rows: NDArray[np.float64] = getattr(physics.model, name)
    return rows[physics.model.name2id(thing, name.partition("_")[0])] if thing else rows


def _physics_error() -> type[Exception]:
    from dm_control.rl.control import PhysicsError

    error: type[Exception] = PhysicsError
    return error
