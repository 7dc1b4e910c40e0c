"""Components of the user's own in a configuration. Torch-free."""

from __future__ import annotations

from harness.config import RunConfig


def is_own(config: RunConfig) -> bool:
    """Whether the model of a configuration is a class of the user's own."""
    return config.agent == "model" and config.model.name != "auto"


def own_paths(config: RunConfig) -> tuple[str, ...]:
    """The `package.module:Name` of every component of the user's own in a configuration."""
    task = config.task.removeprefix("gym/")
    planner = config.oracle if config.agent == "oracle" else config.planner
    names = (config.model.name, planner.name, planner.objective, task)
    return tuple(name for name in names if ":" in name)
