"""A run's id: `<slug>-<12 hex>`, the hex from the semantic fields and the component versions alone."""

from __future__ import annotations

import functools
import hashlib
import json
import operator
import re
from typing import Any

from harness.config.fields import Category, category_of, walk
from harness.config.run import AXES, RunConfig
from harness.registry import model_entry, own_version, planner_version, task_version

_UNUSED = object()


@functools.cache
def _semantic() -> list[tuple[str, operator.attrgetter[Any], Any]]:
    """Every semantic field: its dotted name, its getter, its neutral value."""
    fields = []
    for name, field in walk(RunConfig):
        if category_of(field) is Category.SEMANTIC:
            assert isinstance(field.json_schema_extra, dict)
            neutral = field.json_schema_extra.get("neutral", _UNUSED)
            fields.append((name, operator.attrgetter(name), neutral))
    return fields


def semantic_fields(config: RunConfig) -> dict[str, Any]:
    """The semantic fields that differ from their neutral value and are used, by dotted name."""
    fields: dict[str, Any] = {}
    for name, get, neutral in _semantic():
        value = get(config)
        if value != neutral and not _is_unused(config, name):
            fields[name] = value
    return fields


def component_versions(config: RunConfig) -> dict[str, int]:
    """The versions of the task, model and planner that this configuration runs."""
    versions = {"task": task_version(config.task)}
    if config.agent == "model":
        versions |= _model_versions(config)
    if config.agent != "random":
        versions["planner"] = planner_version(config.planner.name)
    return versions


def _model_versions(config: RunConfig) -> dict[str, int]:
    if config.model.name != "auto":
        return {"model": own_version(config.model.name)}
    variant = config.model.variant
    versions = {"model": model_entry(config.predict, config.space, variant).version}
    if config.reward_gradient == "separate":
        versions["reward_model"] = model_entry("rewards", config.space, variant).version
    return versions


def run_hex(config: RunConfig) -> str:
    """The 12 hexadecimal digits that identify the run whatever its name."""
    content = {"fields": semantic_fields(config), "versions": component_versions(config)}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def run_id(config: RunConfig) -> str:
    """The run's directory name: design, task and seed for a person, the hex for everything else."""
    slug = f"{config.label}-{config.task.split('/')[-1]}-s{config.seed}"
    return f"{re.sub(r'[^A-Za-z0-9_.]+', '-', slug).strip('-.')[:80]}-{run_hex(config)}"


def _is_unused(config: RunConfig, name: str) -> bool:
    """Whether a field cannot change what this configuration computes."""
    if config.agent == "random":
        used = name in {"agent", "task", "seed", "evaluation.final_episodes"} or name.startswith("env.")
        return not used
    if config.agent == "oracle":
        return name.startswith(("model.", "train.", "exploration.")) or name in AXES
    if name == "model.scheduled_sampling" and config.model.name == "auto":
        return (config.predict, config.space) != ("images", "pixel")
    if name == "model.open_loop_futures" and config.model.name == "auto":
        return (config.space, config.dynamics) != ("latent", "stochastic")
    if name == "model.dropout":
        return not _has_dropout(config)
    return config.predict == "rewards" and name in {"image_fraction", "model.image_scale"}


def _has_dropout(config: RunConfig) -> bool:
    """Whether the design has a reward predictor on pixels with a head that `model.dropout` concerns."""
    if config.model.name != "auto" or config.space != "pixel" or config.model.variant == "actions":
        return False
    return config.predict == "rewards" or config.reward_gradient == "separate"
