"""What a run is granted: the study's word, else what was measured, else the user's profile, else a default."""

from __future__ import annotations

from typing import Any

from harness.config.fields import Category, other
from harness.config.sections import ResourcesConfig


class Granted(ResourcesConfig):
    """The resources of a single run with everything settled that a scheduler must be told."""

    memory_gb: float = other(Category.RESOURCE, 8.0, "host memory in GB", gt=0)
    hours: float = other(Category.RESOURCE, 24.0, "hours in all", gt=0)
    runs_per_gpu: int = other(Category.RESOURCE, 1, "runs side by side", ge=1)


def granted(config: dict[str, Any]) -> Granted:
    """The resources of a single run.

    Args:
        config: of the run, as its plan holds it.
    """
    return Granted.model_validate(
        {name: value for name, value in config["resources"].items() if value is not None}
    )
