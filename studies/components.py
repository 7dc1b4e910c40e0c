"""What a study can name: models, planners and tasks, as rows of a table. Loads neither torch nor a simulator."""

from __future__ import annotations

from typing import Any

from harness.config import RunConfig
from harness.config.sections import EnvConfig
from harness.registry import MODELS, PLANNERS
from harness.supported import not_built
from studies.language.names import CANONICAL


def models() -> list[dict[str, Any]]:
    """The eight designs: their axes, and the class that is built for them, if there is one yet."""
    rows = []
    for name, axes in CANONICAL.items():
        missing = not_built(RunConfig.model_validate({"task": "toy/point-mass", **axes}))
        entry = None if missing else MODELS[axes["predict"], axes["space"], "standard"]
        summary = entry.summary if entry else "does not exist yet"
        rows.append({"design": name, **axes, "class": entry.path if entry else None, "summary": summary})
    return rows


def planners() -> list[dict[str, Any]]:
    """The built-in planners."""
    return [
        {"planner": name, "class": entry.path, "version": entry.version, "summary": entry.summary}
        for name, entry in PLANNERS.items()
    ]


def tasks() -> list[dict[str, Any]]:
    """The built-in tasks with their ordinary settings."""
    from harness.tasks.catalogue import find_task, task_names

    rows = []
    for name in task_names():
        spec = find_task(name, EnvConfig()).spec
        rows.append(
            {
                "task": name,
                "actions": spec.action_dim,
                "discrete": spec.discrete,
                "action_repeat": spec.action_repeat,
                "time_limit": spec.time_limit,
                "terminates": spec.terminates,
            }
        )
    return rows
