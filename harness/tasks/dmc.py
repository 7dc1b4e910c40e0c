"""``dmc/<domain>-<task>``: the dm_control suite seen as pixels, through Gymnasium."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

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
            simulates=row.restores_state,
            state_dim=row.state_dim,
        )

    def make(self) -> gymnasium.Env[Any, Any]:
        """A new environment; its OpenGL context opens with its first picture.

        Raises:
            RunError: no OpenGL backend works.
        """
        select_backend()
        return SuiteEnv(self.spec, self.config)


class SuiteSnapshot(NamedTuple):
    """All that decides how an episode goes on.

    Attributes:
        physics: MuJoCo's integration state: time, positions, velocities, activations, controls, forces, mocap bodies,
            and the solver's warm start.
        fields: the model fields that a reset draws anew.
        steps: simulator steps played.
        playing: whether the episode still goes on.
    """

    physics: NDArray[np.float64]
    fields: tuple[NDArray[Any], ...]
    steps: int
    playing: bool


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
        # LQR draws its model here, at construction: seeded, so that every instance is the same task.
        self._random = np.random.RandomState(0)
        self._env = _load(spec.name, self._random)
        self._physics = self._env.physics
        quality, buffer = self._physics.model.vis.quality, self._physics.model.vis.global_
        quality.shadowsize, quality.offsamples = config.shadow_size, config.antialiasing
        buffer.offwidth = buffer.offheight = config.image_size
        self._half, self._centre = _action_range(self._env.action_spec())
        self._extra = [
            _model_rows(self._physics, field) for field in SUITE[spec.name.removeprefix("dmc/")].extra
        ]
        self._runge_kutta = _runge_kutta(self._physics)
        self._substeps = round(self._env.control_timestep() / self._physics.timestep())
        self._steps = 0
        self._playing = False
        self._fresh = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Starts an episode; the same seed gives the same frames whatever was played before."""
        super().reset(seed=seed, options=options)
        self._begin(int(self.np_random.integers(2**63)))
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
        reward, terminated, error = self._hold(control)
        info = {"error": error} if error else {}
        return (
            self.frame(),
            reward,
            terminated,
            not (terminated or self._playing),
            info | {"state": self.get_state()},
        )

    def advance(self, action: NDArray[np.float32]) -> tuple[float, bool]:
        """See `harness.tasks.spec.Simulator`; the same rewards as `step`."""
        if not self._playing:
            return 0.0, True
        reward, _, _ = self._hold(self._to_control(action))
        return reward, not self._playing

    def snapshot(self) -> SuiteSnapshot:
        """See `harness.tasks.spec.Simulator`.

        Raises:
            ValueError: a task whose spec says that it does not simulate.
        """
        import mujoco

        self._require_whole_state()
        model, data = self._physics.model.ptr, self._physics.data.ptr
        physics = np.empty(mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_INTEGRATION))
        mujoco.mj_getState(model, data, physics, mujoco.mjtState.mjSTATE_INTEGRATION)
        fields = tuple(rows.copy() for rows in self._extra)
        return SuiteSnapshot(physics, fields, self._steps, self._playing)

    def restore(self, snapshot: SuiteSnapshot) -> None:
        """See `harness.tasks.spec.Simulator`."""
        import mujoco

        if self._fresh:
            self._begin(0)  # some tasks complete their model at the first reset
        for rows, values in zip(self._extra, snapshot.fields, strict=True):
            rows[:] = values
        model, data = self._physics.model.ptr, self._physics.data.ptr
        mujoco.mj_setState(model, data, snapshot.physics, mujoco.mjtState.mjSTATE_INTEGRATION)
        mujoco.mj_step1(model, data)  # what dm_control leaves behind a step
        self._steps, self._playing = snapshot.steps, snapshot.playing

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
        self._require_whole_state()
        if state.shape != (self.task_spec.state_dim,):
            raise ValueError(
                f"a state of {self.task_spec.name} has {self.task_spec.state_dim} numbers, not {state.shape}"
            )
        if self._fresh:
            self._begin(0)  # some tasks complete their model at the first reset
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

    def _begin(self, key: int) -> None:
        """Starts the episode of a key, without a picture."""
        bits: Any = np.random.MT19937(np.random.SeedSequence(key)).state
        self._random.set_state(bits)
        self._env.reset()
        self._steps, self._playing, self._fresh = 0, True, False

    def _require_whole_state(self) -> None:
        if not self.task_spec.restores_state:
            raise ValueError(f"{self.task_spec.name} cannot restore a state: its terrain is not part of it")

    def _hold(self, control: NDArray[np.float64]) -> tuple[float, bool, str]:
        """Plays `action_repeat` simulator steps, fewer where the episode ends: the rewards of dm_control's own `step`.

        Returns:
            The summed reward, whether the episode ended for good, and what is wrong if the simulation blew up.
        """
        task, physics = self._env.task, self._physics
        reward = 0.0
        for _ in range(self.task_spec.action_repeat):
            task.before_step(control, physics)
            error = _step(physics, self._substeps, runge_kutta=self._runge_kutta)
            if error:
                self._playing = False
                return reward, False, error
            task.after_step(physics)
            reward += float(task.get_reward(physics))
            self._steps += 1
            terminated = task.get_termination(physics) == 0
            if terminated or self._steps >= self.task_spec.time_limit:
                self._playing = False
                return reward, terminated, ""
        return reward, False, ""

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


def _runge_kutta(physics: Any) -> bool:
    """Whether the model is integrated by RK4, whose step has no halves."""
    import mujoco

    return bool(physics.model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4)


def _step(physics: Any, count: int, *, runge_kutta: bool) -> str:
    """dm_control's ``physics.step(count)`` without its bookkeeping, which takes longer than a small model's step.

    Positions and velocities are stepped before what depends on them is computed, so that the simulation's readings
    are those of the new state.

    Returns:
        What is wrong with the new state, if anything.
    """
    import mujoco

    model, data, warnings = physics.model.ptr, physics.data.ptr, physics.data.warning.number
    before = warnings.tobytes()
    if runge_kutta:
        mujoco.mj_step(model, data, count)
    else:
        mujoco.mj_step2(model, data)
        if count > 1:
            mujoco.mj_step(model, data, count - 1)
    mujoco.mj_step1(model, data)
    if warnings.tobytes() == before:
        return ""
    new = np.flatnonzero(warnings > np.frombuffer(before, warnings.dtype))
    return f"the state is invalid: {', '.join(mujoco.mjtWarning(int(i)).name for i in new)}"
