"""In which environments returns can be compared: the settings of `env` that decide them, and how large they get."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import UserError

if TYPE_CHECKING:
    from harness.tasks.spec import Task

DECIDING = ("action_repeat", "time_limit", "sticky")
"""Fields of `env` that change the returns of an agent that sees no frames; the others change pictures alone."""
Setting = tuple[tuple[str, Any], ...]
"""Those fields and their values, as one value that can be compared."""


def setting(task: str, env: Mapping[str, Any] | None) -> Setting:
    """What decides the returns of a task, with the task's own values in place of null.

    Of a task of the user's own all fields count, as they are written: a report imports none of its code, and it may
    read any of them.

    Args:
        task: its name.
        env: the section `env` of a run, as planned.
    """
    return _setting(task, json.dumps(env or {}, sort_keys=True))


@functools.lru_cache(maxsize=1024)
def _setting(task: str, env: str) -> Setting:
    given = json.loads(env)
    if ":" in task:
        return tuple((name, _hashable(given[name])) for name in sorted(given))
    found, values = _find(task, env), {name: given.get(name) for name in DECIDING}
    if found is not None:
        values |= {"action_repeat": found.spec.action_repeat, "time_limit": found.spec.time_limit}
        values["sticky"] = getattr(found, "sticky", None)
    return tuple((name, _hashable(value)) for name, value in values.items() if value is not None)


def _hashable(value: Any) -> Any:
    return value if isinstance(value, int | float | str | None) else json.dumps(value, sort_keys=True)


def range_of_returns(task: str, env: Mapping[str, Any] | None) -> float | None:
    """The largest return of a task minus the smallest one, if all its episodes are equally long.

    None where they may end early, where rewards have no bounds, and for tasks of the user's own.
    """
    found = None if ":" in task else _find(task, json.dumps(env or {}, sort_keys=True))
    if found is None or found.spec.reward_range is None or found.spec.terminates:
        return None
    return (found.spec.reward_range[1] - found.spec.reward_range[0]) * found.spec.max_steps


def steps_of_episodes(task: str, env: Mapping[str, Any] | None) -> int | None:
    """Actions in an episode at most; None of tasks of the user's own."""
    found = None if ":" in task else _find(task, json.dumps(env or {}, sort_keys=True))
    return None if found is None else found.spec.max_steps


def oracle_can_plan(task: str, env: Mapping[str, Any] | None = None) -> bool | None:
    """Whether there can be an oracle of a task: whether its simulator can be left and entered again.

    None where that is not known: of tasks of the user's own, whose code a report does not import.
    """
    if task.startswith("gym/"):
        return False
    found = None if ":" in task else _find(task, json.dumps(env or {}, sort_keys=True))
    return None if found is None else found.spec.simulates


@functools.lru_cache(maxsize=1024)
def _find(task: str, env: str) -> Task | None:
    """A built-in task, configured; None where it cannot be, here or in this version."""
    from harness.config.sections import EnvConfig
    from harness.tasks.catalogue import find_task

    try:
        return find_task(task, EnvConfig.model_validate_json(env))
    except (UserError, ImportError, ValueError):
        return None


def in_words(found: Setting) -> str:
    """`action_repeat 8, time_limit 1000`."""
    return ", ".join(f"{name} {value}" for name, value in found)
