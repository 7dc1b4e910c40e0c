"""A task from any Gymnasium environment that draws itself: the base of ``gym/<id>`` and of tasks of one's own."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from harness.config.sections import EnvConfig
from harness.errors import RunError, UserError
from harness.places import where_in
from harness.tasks import steps
from harness.tasks.actions import Actions, actions_of
from harness.tasks.frames import picture_complaint, square_frame
from harness.tasks.spec import TaskSpec

TIME_LIMIT = 1000
"""Simulator steps per episode of an environment that states no limit."""


class FromGymnasium:
    """A task of one's own from any Gymnasium environment that renders ``rgb_array`` frames: a class with an integer
    `version` and a method `environment`.

    Frames are the environment's rendering, the whole of it squeezed into a square of ``env.image_size`` pixels by
    area averaging. Continuous actions in [-1, 1] are rescaled to its bounds; an infinite bound counts as -1 or 1.
    ``info["state"]`` is its own observation where that is one vector. An episode that the environment truncates, or
    that reaches the time limit, has not ended for good.

    Attributes:
        version: part of a run's id; count it up when the task changes.
        action_repeat: environment steps per action, rewards summed, unless ``env.action_repeat`` says otherwise.
        time_limit: environment steps per episode unless ``env.time_limit`` says otherwise; None: what the environment
            was registered with, else 1000.
        reward_range: smallest and largest reward of one environment step; None if unknown or unbounded.
        terminates: whether an episode can end for good; models then predict whether it goes on.
        config: the section `env` of the run.
        name: in messages and run directories.
        spec: see `harness.tasks.TaskSpec`. Reading it makes the environment once, without drawing.

    Raises:
        UserError: the environment cannot be made, or is none that a task can be made of; says why.
    """

    version: int
    action_repeat: ClassVar[int] = 1
    time_limit: ClassVar[int | None] = None
    reward_range: tuple[float, float] | None = None
    terminates: bool = True

    def __init__(self, env: EnvConfig) -> None:
        self.config = env
        self.name = getattr(self, "name", f"{type(self).__module__}:{type(self).__qualname__}")
        if env.camera > 0:
            raise UserError(
                f"the task {self.name} has one view, that of its rendering: env.camera is {env.camera}"
            )
        key = (type(self), self.name, env)
        if key not in _TRAITS:
            _TRAITS[key] = self._look()
        traits = _TRAITS[key]
        repeat = env.action_repeat or self.action_repeat
        spec = TaskSpec(
            name=self.name,
            action_dim=traits.actions.dim,
            discrete=traits.actions.discrete,
            image_shape=(3, env.image_size, env.image_size),
            action_repeat=repeat,
            time_limit=env.time_limit or self.time_limit or traits.time_limit,
            reward_range=self.reward_range,
            terminates=self.terminates,
            state_dim=traits.state_dim,
        )
        self.spec = replace(spec, reward_range=_summed(spec.reward_range, repeat))

    def environment(self) -> gymnasium.Env[Any, Any]:
        """A new environment of one's own, made with ``render_mode="rgb_array"``."""
        raise NotImplementedError(
            f"{self.name} needs a method environment() that makes a Gymnasium environment"
        )

    def make(self) -> gymnasium.Env[Any, Any]:
        """A new environment as runs see it."""
        with quiet():
            return PixelEnv(self.environment(), self.spec)

    def _look(self) -> Traits:
        """What the spec says, from an environment made for it."""
        try:
            with quiet():
                env: Any = self.environment()
        except UserError:
            raise
        except Exception as error:
            place = where_in(error, [self.name])
            raise UserError(f"the task {self.name}: its environment() fails: {place}") from error
        if not isinstance(env, gymnasium.Env):
            made = type(env).__name__
            raise UserError(f"the task {self.name}: its environment is a {made}, not a gymnasium.Env")
        try:
            return _traits(env, self.name)
        finally:
            env.close()


class PixelEnv(gymnasium.Env[NDArray[np.uint8], Any]):
    """A Gymnasium environment seen as pixels: observations are ``uint8 [3, h, w]``, drawn once per action.

    Args:
        env: made with ``render_mode="rgb_array"``.
        spec: of the task.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}  # noqa: RUF012 (Gymnasium's own declaration)

    def __init__(self, env: gymnasium.Env[Any, Any], spec: TaskSpec) -> None:
        self.task_spec = spec
        self.render_mode = "rgb_array"
        self.observation_space = spaces.Box(0, 255, spec.image_shape, np.uint8)
        self._env = env
        self._actions = actions_of(env.action_space)
        self.action_space = self._actions.space
        self._steps = 0
        self._playing = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Starts an episode; the same seed gives the same frames if the environment keeps Gymnasium's rules."""
        super().reset(seed=seed, options=options)
        with quiet():
            observation, _ = steps.reset(self._env, seed, self.task_spec.name, options=options)
            frame = self.frame()
        self._steps, self._playing = 0, True
        return frame, self._info(observation)

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Holds an action for `action_repeat` environment steps, fewer where the episode ends.

        Raises:
            ValueError: an action that is none, or no episode is running.
            RunError: the episode ends for good in a task that says that it never does.
        """
        inner = self._actions(action)
        if not self._playing:
            raise ValueError("the episode is over: call reset first")
        reward, observation, terminated, truncated = 0.0, None, False, False
        for _ in range(self.task_spec.action_repeat):
            observation, gained, terminated, truncated, _ = steps.step(self._env, inner, self.task_spec.name)
            reward += gained
            self._steps += 1
            if terminated or truncated or self._steps >= self.task_spec.time_limit:
                self._playing = False
                break
        if terminated and not self.task_spec.terminates:
            raise RunError(
                "code",
                f"{self.task_spec.name} terminated after {self._steps} steps, but its task says that it never does.",
                "Set terminates = True in its class, and count its version up.",
            )
        over = not (terminated or self._playing)
        return self.frame(), reward, bool(terminated), over, self._info(observation)

    def frame(self) -> NDArray[np.uint8]:
        """The present picture, uint8 [3, h, w].

        Raises:
            RunError: the environment did not draw one.
        """
        picture = self._env.render()
        complaint = picture_complaint(picture)
        if complaint:
            raise RunError("code", f"{self.task_spec.name}: {complaint}.", _REMEDY)
        return square_frame(picture, self.task_spec.image_shape[1])  # type: ignore[arg-type]  # it is a picture

    def render(self) -> NDArray[np.uint8]:
        """The present picture as Gymnasium wants it, uint8 [h, w, 3]."""
        return np.ascontiguousarray(self.frame().transpose(1, 2, 0))

    def close(self) -> None:
        """Closes the environment behind it."""
        self._env.close()

    def _info(self, observation: Any) -> dict[str, Any]:
        return {"state": np.array(observation, np.float64)} if self.task_spec.state_dim else {}


_REMEDY = "A gymnasium.Wrapper in a task of your own can draw it."
_TRAITS: dict[Any, Traits] = {}


class Traits(NamedTuple):
    """What an environment says of itself; `time_limit` is resolved."""

    actions: Actions
    state_dim: int
    time_limit: int


def _traits(env: Any, name: str) -> Traits:
    """What a task says of an environment, or why there is no task of it."""
    modes = env.metadata.get("render_modes")  # empty where the environment does not say
    if env.render_mode != "rgb_array" or (modes and "rgb_array" not in modes):
        raise UserError(no_frames(name))
    try:
        actions = actions_of(env.action_space)
    except ValueError as error:
        raise UserError(f"the task {name}: {error}") from error
    box = env.observation_space
    vector = isinstance(box, spaces.Box) and len(box.shape) == 1
    limit = env.spec.max_episode_steps if env.spec is not None else None
    return Traits(actions, box.shape[0] if vector and box.shape else 0, limit or TIME_LIMIT)


def no_frames(name: str) -> str:
    return f"the task {name} draws no frames: its environment has no render_mode rgb_array"


def _summed(bounds: tuple[float, float] | None, repeat: int) -> tuple[float, float] | None:
    """The range of a sum of 1 to `repeat` rewards."""
    if bounds is None:
        return None
    low, high = bounds
    return float(min(low, low * repeat)), float(max(high, high * repeat))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences what Gymnasium and the packages behind it remark while an environment is made or begins; SDL, behind
    pygame, draws without a window.
    """
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
