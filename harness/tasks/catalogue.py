"""Which task a name means. Names are checked, and built-in specs read, without a simulator."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from harness.config.sections import EnvConfig
from harness.errors import UserError
from harness.places import where_in
from harness.registry import load, suggest
from harness.tasks.atari_table import GAMES
from harness.tasks.spec import Task, TaskSpec
from harness.tasks.suite_table import SUITE

_OWN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_GYM = re.compile(r"gym/([A-Za-z_]\w*(\.[A-Za-z_]\w*)*:)?([\w-]+/)?[\w.-]+")
_VERSIONED = re.compile(r"[A-Za-z]\w*-v\d+")
_TOY = ("toy/catch", "toy/point-mass")
_BUILT_IN = frozenset((*(f"dmc/{name}" for name in SUITE), *(f"atari/{name}" for name in GAMES), *_TOY))


def task_names() -> list[str]:
    """The names of the built-in tasks, sorted; any ``gym/<id>`` is one too, see `harness.tasks.registered`."""
    return sorted(_BUILT_IN)


def task_exists(name: str) -> bool:
    """Whether a name is a built-in task, or has the form ``gym/<id>`` or ``package.module:Name``; nothing is
    imported.
    """
    return name in _BUILT_IN or _OWN.fullmatch(name) is not None or _GYM.fullmatch(name) is not None


def check_task(name: str) -> None:
    """Refuses a name that `task_exists` does not know, and an id that Gymnasium does not know; fast enough for every
    cell of a large grid.

    Raises:
        UserError: with the nearest known name.
    """
    if task_exists(name):
        if name.startswith("gym/"):
            from harness.tasks.registered import check_registered

            check_registered(name)
        return
    if name.startswith("gym/"):
        raise UserError(
            f"task {name[:80]}: write gym/<id>, such as gym/CartPole-v1 or gym/package.module:Id-v0"
        )
    if ":" in name:
        raise UserError(f"task {name[:80]}: a task of your own is named package.module:Name")
    hint = suggest_task(name, task_names())
    raise UserError(
        f"unknown task {name[:80]}{hint}; `wm list tasks` names all, or give gym/<id> or package.module:Name"
    )


def suggest_task(name: str, known: Iterable[str]) -> str:
    """` (did you mean X?)` for the nearest known name, in its family or out of it, or the empty string. What ends in a
    version, as Gymnasium's ids do, is looked for among these first.
    """
    if _VERSIONED.fullmatch(name):
        from gymnasium import registry

        if near := get_close_matches(name, list(registry), n=1, cutoff=0.8):
            return f" (did you mean gym/{near[0]}?)"
    names = list(known)
    guesses = [name, *(f"{family}/{name}" for family in ("dmc", "atari", "toy"))]
    return next((found for guess in guesses if (found := suggest(guess, names))), "")


def find_task(name: str, env: EnvConfig) -> Task:
    """The task of a name, configured. A simulator loads only in its `make`; to read the spec of a ``gym/<id>``, its
    environment is made once, without drawing.

    A task of the user's own, ``package.module:Name``, is a class made as ``Name(env)`` with attributes `spec`
    and integer `version` and a method `make`.

    Raises:
        UserError: no such task, or the configuration does not fit it.
    """
    check_task(name)
    family = name.partition("/")[0] if "/" in name else "own"
    if env.sticky is not None and family not in {"atari", "own"}:
        raise UserError(
            f"env.sticky ({env.sticky:g}) is for Atari games; the task {name} has no sticky actions"
        )
    return _FAMILIES[family](name, env)


def _suite(name: str, env: EnvConfig) -> Task:
    from harness.tasks.dmc import SuiteEnvironments

    return SuiteEnvironments(name, env)


def _toy(name: str, env: EnvConfig) -> Task:
    from harness.tasks.catch import Catch
    from harness.tasks.toy import PointMass

    return Catch(env) if name == "toy/catch" else PointMass(env)


def _atari(name: str, env: EnvConfig) -> Task:
    from harness.tasks.atari import AtariGame

    return AtariGame(name, env)


def _gym(name: str, env: EnvConfig) -> Task:
    from harness.tasks.registered import RegisteredTask

    return RegisteredTask(name, env)


def _own_task(name: str, env: EnvConfig) -> Task:
    """A task from an installed package, with its attributes checked."""
    try:
        task = load(name)(env)
        spec = getattr(task, "spec", None)
    except UserError:
        raise
    except Exception as error:
        made = f"{name} cannot be made as {name.partition(':')[2]}(env)"
        raise UserError(f"{made}: {where_in(error, [name])}") from error
    if not isinstance(spec, TaskSpec):
        raise UserError(f"{name} needs an attribute `spec`, a harness.tasks.TaskSpec")
    if not isinstance(getattr(task, "version", None), int):
        raise UserError(
            f"{name} needs an integer attribute `version`, so that results of two versions never mix"
        )
    if not callable(getattr(task, "make", None)):
        raise UserError(f"{name} needs a method `make()` that returns a Gymnasium environment")
    found: Task = task
    return found


_FAMILIES = {"dmc": _suite, "toy": _toy, "atari": _atari, "gym": _gym, "own": _own_task}
