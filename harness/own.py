"""A model of the user's own: whether there is one, and what its `spec` must say. Torch-free."""

from __future__ import annotations

from typing import Any

from harness.config import RunConfig

_FIXED = ("action_dim", "discrete", "image_shape", "predict_images", "predict_continues", "predict_rewards")


def is_own(config: RunConfig) -> bool:
    """Whether the model of a configuration is a class of the user's own."""
    return config.agent == "model" and config.model.name != "auto"


def own_paths(config: RunConfig) -> tuple[str, ...]:
    """The `package.module:Name` of every component of the user's own in a configuration."""
    names = (config.model.name, config.planner.name, config.planner.objective, config.task)
    return tuple(name for name in names if ":" in name)


def spec_complaint(spec: Any, asked: Any) -> str:
    """What is wrong with the `spec` of a model that was asked for another one, or the empty string.

    A model may know more than it is asked: that its forecasts are drawn, that it needs columns of context, or
    that it decodes frames to plan.
    """
    if type(spec) is not type(asked):
        return "it has no `spec`: keep the ModelSpec that it is built with as self.spec"
    for name in _FIXED:
        have, want = getattr(spec, name), getattr(asked, name)
        if have != want:
            hint = " (predict is images in its design?)" if name == "predict_images" else ""
            return f"its spec says {name}={have}, but it is asked for {name}={want}{hint}"
    return ""
