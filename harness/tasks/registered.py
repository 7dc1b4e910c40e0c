"""``gym/<id>``: any environment that is registered with Gymnasium and draws ``rgb_array`` frames."""

from __future__ import annotations

import importlib
import importlib.util
import re
from typing import Any, NamedTuple

import gymnasium

from harness.config.sections import EnvConfig
from harness.errors import UserError
from harness.places import where_in
from harness.registry import TASK_VERSIONS, suggest
from harness.tasks.gym import FromGymnasium, Traits, no_frames, quiet
from harness.tasks.rendering import select_backend

_PYGAME = ("gymnasium.envs.classic_control", "gymnasium.envs.toy_text", "gymnasium.envs.box2d")
_EXTRAS = {"mujoco": "mujoco", "phys2d": "jax", "tabular": "jax"}
_VERSION = re.compile(r"-v\d+$")


class Known(NamedTuple):
    """What no registry says of an environment."""

    terminates: bool = True
    reward_range: tuple[float, float] | None = None


KNOWN = {
    "CartPole-v1": Known(reward_range=(0, 1)),
    "Acrobot-v1": Known(reward_range=(-1, 0)),
    "MountainCar-v0": Known(reward_range=(-1, 0)),
    "Pendulum-v1": Known(terminates=False, reward_range=(-16.2736044, 0)),
    **{
        f"{name}-v{version}": Known(terminates=False)
        for name in ("HalfCheetah", "HumanoidStandup", "Pusher", "Reacher", "Swimmer")
        for version in (4, 5)
    },
}
"""By id. Any other environment is taken to be able to end for good, with any rewards."""


class RegisteredTask(FromGymnasium):
    """The task ``gym/<id>`` as configured; ``gym/package.module:Id-v0`` imports a module that registers it first."""

    version = TASK_VERSIONS["gym"]

    def __init__(self, name: str, env: EnvConfig) -> None:
        self.name = name
        self.registered = _registered(name)
        known = KNOWN.get(self.registered.id, Known())
        self.terminates, self.reward_range = known.terminates, known.reward_range
        super().__init__(env)

    def environment(self) -> gymnasium.Env[Any, Any]:
        """See `FromGymnasium`; without the registered time limit, which the task keeps itself."""
        name, point = self.name, self.registered.entry_point
        _check_package(name, point)
        try:
            return gymnasium.make(
                self.registered.id, max_episode_steps=-1, disable_env_checker=True, render_mode="rgb_array"
            )
        except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
            raise UserError(
                f"the task {name} needs a package that is not installed: {_first(error)}{_hint(error, str(point))}"
            ) from error
        except Exception as error:
            if "render_mode" in str(error):
                raise UserError(no_frames(name)) from error
            place = where_in(error, [name.removeprefix("gym/")])
            raise UserError(f"the task {name} cannot be made: {place}") from error

    def make(self) -> gymnasium.Env[Any, Any]:
        """A new environment as runs see it.

        Raises:
            RunError: it draws with MuJoCo, and no OpenGL backend works.
        """
        if str(self.registered.entry_point).startswith("gymnasium.envs.mujoco"):
            select_backend()
        return super().make()

    def _look(self) -> Traits:
        limit = self.registered.max_episode_steps
        traits = super()._look()
        return traits._replace(time_limit=limit) if limit else traits


def check_registered(name: str) -> None:
    """Refuses a ``gym/<id>`` that is not registered, after importing the module that it names.

    Raises:
        UserError: with the nearest id, or what the import says.
    """
    _registered(name)


def _registered(name: str) -> Any:
    """Gymnasium's entry of ``gym/<id>``."""
    module, _, plain = name.removeprefix("gym/").rpartition(":")
    if module:
        _import(name, module)
    if plain in gymnasium.registry:
        return gymnasium.registry[plain]
    package = module.partition(".")[0]
    registry = [one for one, entry in gymnasium.registry.items() if package in str(entry.entry_point)]
    same = [one for one in registry if _VERSION.sub("", one) == _VERSION.sub("", plain)]
    prefix = name.removesuffix(plain)
    near = (
        f" (did you mean {prefix}{same[-1]}?)"
        if same
        else suggest(name, [f"{prefix}{one}" for one in registry])
    )
    hint = "" if module else "; gym/package.module:Id-v0 imports the module that registers an id"
    raise UserError(f"unknown task {name[:80]}{near}: Gymnasium has no such id{hint}")


def _import(name: str, module: str) -> None:
    """Imports the module that registers an id."""
    try:
        with quiet():
            importlib.import_module(module)
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{module}.".startswith(f"{missing}."):
            raise UserError(
                f"the task {name}: no module {missing}; is its package installed beside wm?"
            ) from error
        raise UserError(
            f"the task {name}: {module} cannot be imported: {where_in(error, [module])}"
        ) from error


def _check_package(name: str, point: Any) -> None:
    """Refuses early what would fail at the first picture."""
    if str(point).startswith(_PYGAME) and importlib.util.find_spec("pygame") is None:
        raise UserError(
            f"the task {name} draws with pygame, which is not installed: pip install 'world-models-study[gym]'"
        )


def _hint(error: Exception, point: str) -> str:
    """Which of Gymnasium's extras brings what an environment of its own imports in vain."""
    if isinstance(error, gymnasium.error.DependencyNotInstalled):
        return ""  # it says so itself
    extra = next((have for name, have in _EXTRAS.items() if point.startswith(f"gymnasium.envs.{name}")), "")
    return f" (pip install 'gymnasium[{extra}]')" if extra else ""


def _first(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
