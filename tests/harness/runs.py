"""Small runs on the toy task, shared by the tests of the loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.config import RunConfig, run_id
from harness.rundir import DURATIONS, RunDir


def tiny_config(**changes: Any) -> RunConfig:
    """A run of a few seconds; changes are dotted names with __ for the dot, such as train__episodes=3."""
    fields: dict[str, Any] = {
        "task": "toy/point-mass",
        "predict": "images",
        "space": "latent",
        "dynamics": "stochastic",
        "size": "tiny",
        "env": {"image_size": 16, "time_limit": 12},
        "train": {"episodes": 5, "updates_per_episode": 3, "batch": 3, "forecast": 4},
        "exploration": {"cold_start": 2},
        "planner": {"horizon": 3, "iterations": 2, "proposals": 8},
        "evaluation": {
            "every": 2,
            "final_episodes": 3,
            "horizon": 4,
            "context": 3,
            "starts": 5,
            "samples": 2,
            "probe_episodes": 2,
        },
        "runtime": {"threads": 1, "device": "cpu", "parallel_envs": 2},
        "storage": {"checkpoint_minutes": 0},
    }
    for name, value in changes.items():
        section, _, field = name.rpartition("__")
        (fields.setdefault(section, {}) if section else fields)[field] = value
    if fields.get("agent") in {"random", "oracle"}:
        for axis in ("predict", "space", "dynamics", "size"):
            fields.pop(axis)
    return RunConfig.model_validate(fields)


def make_run(root: Path, config: RunConfig) -> RunDir:
    return RunDir.create(root / "runs" / run_id(config), config)


def numbers(run: RunDir) -> list[dict[str, Any]]:
    """The records of metrics.jsonl without what measures the machine."""
    return [{k: v for k, v in record.items() if k not in DURATIONS} for record in run.read_metrics()]
