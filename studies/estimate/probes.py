"""Which short runs a study needs to tell its costs: one for all runs that cost the same per step."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.config import RunConfig, component_versions, run_id
from harness.config.identity import semantic_fields
from harness.errors import UserError
from harness.provenance import code_digest
from studies.store import StoredRun, StudyDir

ITERATIONS = 2
"""Iterations of a probe after its cold start; the first of them warms up."""

HOURS = 1.0
"""What a probe asks of a scheduler; one that takes longer is carried over."""

_COLD_START = 5  # random episodes of a probe at most
_UPDATES = 20  # gradient steps an iteration at most

_WHOLE = frozenset({"seed", "design", "resources", "storage"})
_NUMBERS = {
    "train": frozenset({"learning_rate", "adam_epsilon", "clip_norm"}),
    "model": frozenset({"image_scale", "reward_scale", "kl_scale", "free_nats"}),
    "exploration": frozenset({"noise", "noise_exponent", "epsilon"}),
    "planner": frozenset(
        {"initial_std", "std_floor", "noise_exponent", "reward_weight", "smoothing", "discount"}
    ),
}
_NUMBERS["oracle"] = _NUMBERS["planner"]
"""Fields of a section whose value changes results, not costs."""


@dataclass
class Probe:
    """A short run that stands for some runs of a study.

    Attributes:
        key: equal for all runs that it stands for.
        config: of the short run.
        runs: those that it stands for, lowest seed first.
    """

    key: str
    config: RunConfig
    runs: list[StoredRun]

    def stored(self, home: StudyDir) -> StoredRun:
        """The short run in the study of probes."""
        identity = run_id(self.config)
        path = home.on_disk.get(identity[-12:], home.runs / identity)
        config, data = self.config, self.config.model_dump(mode="json")
        return StoredRun(identity, identity[-12:], config.label, config.task, config.seed, data, path)

    def where(self, executor: str) -> dict[str, Any]:
        """What was asked of the place where it runs: another one tells other costs."""
        resources, runtime = self.config.resources, self.config.runtime
        asked = ("gpus", "cpus", "partition", "constraint", "gres", "nodelist", "reservation")
        return {
            "executor": executor,
            **runtime.model_dump(mode="json"),
            **{name: getattr(resources, name) for name in asked},
        }

    def code(self) -> str:
        """The digest of today's code for it."""
        from harness.own import own_paths

        return code_digest(own_paths(self.config))


def probes_for(runs: Sequence[StoredRun], iterations: int = ITERATIONS) -> list[Probe]:
    """The probes that some runs need, in the order of the runs.

    Raises:
        UserError: a configuration is of another version of wm.
    """
    members: dict[str, list[StoredRun]] = {}
    for run in sorted(runs, key=lambda run: run.seed):
        key = probe_key(cost_text(run.config))
        if key is None:
            raise UserError(
                f"{run.id}: its configuration is not understood by this version of wm; plan it again"
            )
        members.setdefault(key, []).append(run)
    order = {run.hex: number for number, run in enumerate(runs)}
    found = [
        Probe(key, shortened(RunConfig.model_validate(same[0].config), iterations), same)
        for key, same in members.items()
    ]
    return sorted(found, key=lambda probe: min(order[run.hex] for run in probe.runs))


def cost_text(config: dict[str, Any]) -> str:
    """A configuration without what cannot change its cost: runs of equal text cost the same.

    Args:
        config: as a plan holds it.
    """
    kept = {
        name: {key: field for key, field in value.items() if key not in _NUMBERS[name]}
        if name in _NUMBERS and isinstance(value, dict)
        else value
        for name, value in config.items()
        if name not in _WHOLE
    }
    return json.dumps(kept, sort_keys=True)


@functools.lru_cache(maxsize=4096)
def probe_key(text: str) -> str | None:
    """The key of the probe for the runs of a `cost_text`; None if their configuration cannot be read today.

    Runs that differ only in how much they do (episodes, evaluations) share a probe.
    """
    try:
        config = shortened(RunConfig.model_validate(json.loads(text)), ITERATIONS)
        versions = component_versions(config)
    except (UserError, ValueError):
        return None
    fields = {name: value for name, value in semantic_fields(config).items() if not _is_number(name)}
    content = {"fields": fields, "versions": versions, "runtime": config.runtime.model_dump(mode="json")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _is_number(name: str) -> bool:
    section, _, field = name.rpartition(".")
    return name in _WHOLE or field in _NUMBERS.get(section, ())


def shortened(config: RunConfig, iterations: int = ITERATIONS) -> RunConfig:
    """The probe of a configuration: as it is, but soon over, and nothing of it is kept."""
    train, evaluation, runtime = config.train, config.evaluation, config.runtime
    cold = min(config.exploration.cold_start, _COLD_START)
    first = 0 if config.offline else cold
    episodes = min(train.episodes, max(first, 1) + iterations)
    at_once = 1 if config.agent == "oracle" else runtime.parallel_envs
    changes: dict[str, dict[str, Any]] = {
        "train": {
            "episodes": episodes,
            "updates_per_episode": min(train.updates_per_episode, _UPDATES),
        },
        "exploration": {"cold_start": cold},
        "evaluation": {
            "every": 1 if evaluations(config) else episodes,
            "episodes": min(evaluation.episodes, at_once),
            "final_episodes": min(evaluation.final_episodes, at_once),
        },
        "resources": {"hours": HOURS, "runs_per_gpu": 1, "parallel": None},
        "storage": {
            "training_frames": "none",
            "evaluation_episodes": False,
            "forecasts": False,
            "checkpoint": "none",
            "tensorboard": False,
        },
    }
    sections = {name: getattr(config, name).model_copy(update=fields) for name, fields in changes.items()}
    return config.model_copy(update=sections)


def evaluations(config: RunConfig) -> int:
    """How many evaluations a run makes before its final phase."""
    if config.agent != "model":
        return 0
    first = 1 if config.offline else config.exploration.cold_start
    every = config.evaluation.every
    return max(0, (config.train.episodes - 1) // every - (first - 1) // every)
