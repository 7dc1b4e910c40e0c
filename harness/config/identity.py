"""A run's id: `<slug>-<12 hex>`, the hex from the semantic fields and the component versions alone."""

from __future__ import annotations

import functools
import hashlib
import json
import operator
import re
from typing import Any

from harness.config.fields import Category, category_of, walk
from harness.config.run import RunConfig
from harness.config.sections import PlannerConfig
from harness.registry import (
    ENV_FIELDS,
    PLANNERS,
    PROBE,
    model_entry,
    own_version,
    planner_version,
    task_version,
)

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
        if config.evaluation.probe_oracle:
            versions |= {"probe": PROBE.version, "probe_planner": planner_version(PROBE.planner)}
    if config.agent != "random":
        planner = config.oracle if config.agent == "oracle" else config.planner
        versions["planner"] = planner_version(planner.name)
        if ":" in planner.objective:
            versions["objective"] = own_version(planner.objective)
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
    section, _, field = name.rpartition(".")
    if section == "env" and _task_ignores(config.task, field):
        return True
    if config.agent != "model":
        always = name in {"agent", "task", "seed", "evaluation.final_episodes"} or section == "env"
        oracle = config.agent == "oracle" and section == "oracle" and _planner_uses(config.oracle, field)
        oracle = oracle and field != "particles"  # the simulator has one future
        return not (always or oracle)
    if section == "oracle" or (section == "planner" and not _planner_uses(config.planner, field)):
        return True
    if config.offline and (section == "exploration" or (name == "data.dataset" and config.data.digest)):
        return True
    return _model_ignores(config, name)


def _model_ignores(config: RunConfig, name: str) -> bool:
    """Whether a field means nothing to the model."""
    if name == "model.scheduled_sampling" and config.model.name == "auto":
        return (config.predict, config.space) != ("images", "pixel")
    if name == "model.open_loop_futures" and config.model.name == "auto":
        return (config.space, config.dynamics) != ("latent", "stochastic")
    if name == "model.dropout":
        return not _has_dropout(config)
    return config.predict == "rewards" and name in {"image_fraction", "model.image_scale"}


def _task_ignores(task: str, field: str) -> bool:
    """Whether a field of `env` means nothing to a task. For families older than the field it always counted."""
    family = task.partition("/")[0]
    if field == "sticky":
        return family in ENV_FIELDS and "sticky" not in ENV_FIELDS[family]
    return field in ENV_FIELDS["dmc"] and family in {"atari", "gym"}


def _planner_uses(planner: PlannerConfig, name: str) -> bool:
    """Whether a field of a planner's section means something to it."""
    if planner.name not in PLANNERS:
        return name not in _BUILT_IN_OPTIONS
    entry = PLANNERS[planner.name]
    common = {"name", "horizon", "particles", "objective", "discount"}
    return name in common or name in entry.budget or name in entry.uses


_BUILT_IN_OPTIONS = frozenset(option for entry in PLANNERS.values() for option in entry.uses)
"""Fields that a planner of the user's own never sees: it has `options`."""


def _has_dropout(config: RunConfig) -> bool:
    """Whether the design has a reward predictor on pixels with a head that `model.dropout` concerns."""
    if config.model.name != "auto" or config.space != "pixel" or config.model.variant == "actions":
        return False
    return config.predict == "rewards" or config.reward_gradient == "separate"
