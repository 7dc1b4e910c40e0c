"""The probe: one dataset per task that all designs are scored on, whatever they do themselves.

Episodes with an even index play uniformly random actions, the others smooth noise. An episode's content
depends on the task and its index alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from harness.config.sections import EnvConfig
from harness.datasets.fixed import Dataset, build
from harness.episodes import Episode, Recorder
from harness.tasks.spec import Task, TaskSpec

PROBE_VERSION = 1
"""Changes with the behaviours below: probes of two versions are two datasets."""

BEHAVIOURS = ("random", "smooth")
_CORRELATION_STEPS = (2.0, 20.0)  # of smooth noise, drawn per episode, log-uniform
_SCALE = (0.3, 1.0)  # of smooth noise, drawn per episode; values beyond [-1, 1] are clipped


def probe_dataset(root: Path, task: Task, env: EnvConfig, episodes: int) -> Dataset:
    """The task's probe under ``root/probe/<hex>``, built if it is not there.

    Args:
        root: RUNS/datasets.
        task: as configured.
        env: what it was configured with.
        episodes: half random, half smooth noise.

    Raises:
        RunError: kind ``disk``, ``corrupt``, or what building the environment raises.
    """
    return build(
        probe_directory(root, task, env, episodes), _play(task, episodes), _recipe(task, env, episodes)
    )


def probe_directory(root: Path, task: Task, env: EnvConfig, episodes: int) -> Path:
    """Where that dataset is."""
    canonical = json.dumps(_recipe(task, env, episodes), sort_keys=True, separators=(",", ":"))
    return root / "probe" / hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _recipe(task: Task, env: EnvConfig, episodes: int) -> dict[str, Any]:
    return {
        "kind": "probe",
        "probe_version": PROBE_VERSION,
        "task": task.spec.name,
        "task_version": task.version,
        "env": env.model_dump(mode="json"),
        "episodes": episodes,
        "behaviours": list(BEHAVIOURS),
    }


def _play(task: Task, episodes: int) -> Iterator[Episode]:
    """Plays the episodes; the environment is made when the first one is asked for."""
    environment = task.make()
    try:
        for index in range(episodes):
            yield _play_one(environment, task.spec, index)
    finally:
        environment.close()


def _play_one(environment: gymnasium.Env[Any, Any], spec: TaskSpec, index: int) -> Episode:
    rng = np.random.default_rng(_seed_sequence(spec.name, index, "actions"))
    start = int(_seed_sequence(spec.name, index, "environment").generate_state(1)[0]) >> 1
    actions = _actions(BEHAVIOURS[index % len(BEHAVIOURS)], spec, rng)
    image, info = environment.reset(seed=start)
    recorder = Recorder(spec, image, info)
    over = False
    while not over:
        action = next(actions)
        image, reward, terminated, truncated, info = environment.step(action)
        recorder.add(action, image, float(reward), terminated, info)
        over = terminated or truncated
    return recorder.episode()


def _seed_sequence(task: str, index: int, purpose: str) -> np.random.SeedSequence:
    """A stream of random numbers that depends on these three alone."""
    key = hashlib.sha256(json.dumps(["probe", task, index, purpose]).encode()).digest()
    return np.random.SeedSequence(np.frombuffer(key, "<u4").tolist())


def _actions(behaviour: str, spec: TaskSpec, rng: np.random.Generator) -> Iterator[Any]:
    """An endless stream: f32[A] in [-1, 1], or integers."""
    tau = float(np.exp(rng.uniform(*np.log(_CORRELATION_STEPS))))
    scale = rng.uniform(*_SCALE)
    keep = np.exp(-1 / tau) if behaviour == "smooth" else 0.0
    if spec.discrete:
        return _sticky_choices(spec.action_dim, keep, rng)
    if behaviour == "random":
        return _uniform(spec.action_dim, rng)
    return _coloured(spec.action_dim, keep, scale, rng)


def _uniform(dim: int, rng: np.random.Generator) -> Iterator[Any]:
    while True:
        yield rng.uniform(-1, 1, dim).astype(np.float32)


def _coloured(dim: int, keep: float, scale: float, rng: np.random.Generator) -> Iterator[Any]:
    """A stationary autoregressive process of standard deviation `scale`, clipped to [-1, 1]."""
    value = rng.standard_normal(dim)
    while True:
        yield np.clip(scale * value, -1, 1).astype(np.float32)
        value = keep * value + np.sqrt(1 - keep**2) * rng.standard_normal(dim)


def _sticky_choices(choices: int, keep: float, rng: np.random.Generator) -> Iterator[Any]:
    """Uniform choices, each repeated with probability `keep`."""
    choice = int(rng.integers(choices))
    while True:
        yield choice
        if rng.random() >= keep:
            choice = int(rng.integers(choices))
