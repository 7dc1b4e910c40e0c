"""Which task a name means. Names are checked, and built-in specs read, without a simulator."""

from __future__ import annotations

import re

from harness.config.sections import EnvConfig
from harness.errors import UserError
from harness.registry import load, suggest
from harness.tasks.spec import Task, TaskSpec
from harness.tasks.suite_table import SUITE

_OWN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_TOY = ("toy/point-mass",)
_BUILT_IN = frozenset((*(f"dmc/{name}" for name in SUITE), *_TOY))


def task_names() -> list[str]:
    """The names of the built-in tasks, sorted."""
    return sorted(_BUILT_IN)


def task_exists(name: str) -> bool:
    """Whether a name is a built-in task, or has the form ``package.module:Name``; nothing is imported."""
    return name in _BUILT_IN or _OWN.fullmatch(name) is not None


def check_task(name: str) -> None:
    """Refuses a name that `task_exists` does not know; fast enough for every cell of a large grid.

    Raises:
        UserError: with the nearest known name.
    """
    if task_exists(name):
        return
    if ":" in name:
        raise UserError(f"task {name}: a task of your own is named package.module:Name")
    known = sorted(_BUILT_IN)
    hint = suggest(name, known) or suggest(f"dmc/{name}", known)
    raise UserError(f"unknown task {name}{hint}; `wm list tasks` names all, or give package.module:Name")


def find_task(name: str, env: EnvConfig) -> Task:
    """The task of a name, configured. A simulator loads only in its `make`.

    A task of the user's own, ``package.module:Name``, is a class made as ``Name(env)`` with attributes `spec`
    and integer `version` and a method `make`.

    Raises:
        UserError: no such task, or the configuration does not fit it.
    """
    check_task(name)
    if name in _TOY:
        from harness.tasks.toy import PointMass

        return PointMass(env)
    if name in _BUILT_IN:
        from harness.tasks.dmc import SuiteEnvironments

        return SuiteEnvironments(name, env)
    return _own_task(name, env)


def _own_task(name: str, env: EnvConfig) -> Task:
    """A task from an installed package, with its attributes checked."""
    try:
        task = load(name)(env)
    except TypeError as error:
        raise UserError(f"{name} cannot be made as {name.partition(':')[2]}(env): {error}") from error
    if not isinstance(getattr(task, "spec", None), TaskSpec):
        raise UserError(f"{name} needs an attribute `spec`, a harness.tasks.TaskSpec")
    if not isinstance(getattr(task, "version", None), int):
        raise UserError(
            f"{name} needs an integer attribute `version`, so that results of two versions never mix"
        )
    if not callable(getattr(task, "make", None)):
        raise UserError(f"{name} needs a method `make()` that returns a Gymnasium environment")
    found: Task = task
    return found
