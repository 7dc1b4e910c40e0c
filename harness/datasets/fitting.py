"""Whether a dataset was made in the environment that a run sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.config.sections import EnvConfig
from harness.registry import ENV_FIELDS
from harness.tasks.spec import TaskSpec


def env_complaint(recipe: Mapping[str, Any], env: EnvConfig, spec: TaskSpec) -> str:
    """What a run sees otherwise than the episodes of a dataset, or the empty string.

    Frames of another action repeat, camera or render quality have the same shape, but are another task. An import
    that says nothing of its environment is taken at its word. The time limit may differ.

    Args:
        recipe: of the dataset.
        env: of the run.
        spec: of the run's task as configured.
    """
    repeat = recipe.get("action_repeat", spec.action_repeat)
    if repeat != spec.action_repeat:
        return (
            f"its episodes have action repeat {repeat}, the run has {spec.action_repeat}; "
            f"set env.action_repeat: {repeat}"
        )
    there = recipe.get("env", {})
    heeded = ENV_FIELDS.get(spec.name.partition("/")[0], tuple(EnvConfig.model_fields))
    for field in ("camera", "shadow_size", "antialiasing", "sticky"):
        have = getattr(env, field)
        if field in heeded and there.get(field, have) != have:
            return f"its episodes were made with env.{field} {there[field]}, the run has {have}"
    return ""
