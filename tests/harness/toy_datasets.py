"""Datasets of random episodes of the toy task, for the tests of offline runs and evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness.config import RunConfig
from harness.config.sections import EnvConfig
from harness.datasets import Dataset, Label, build, task_slug
from harness.episodes import Episode, Recorder
from harness.tasks import find_task
from tests.harness.runs import tiny_config


def random_episodes(env: EnvConfig, count: int, seed: int = 0, task: str = "toy/point-mass") -> list[Episode]:
    """Episodes of uniformly random actions."""
    made = find_task(task, env)
    environment = made.make()
    episodes = []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        image, info = environment.reset(seed=1000 * seed + index)
        recorder, over = Recorder(made.spec, image, info), False
        while not over:
            action = rng.uniform(-1, 1, made.spec.action_dim).astype(np.float32)
            image, reward, terminated, truncated, info = environment.step(action)
            recorder.add(action, image, float(reward), terminated, info)
            over = terminated or truncated
        episodes.append(recorder.episode())
    return episodes


def toy_dataset(
    datasets: Path,
    name: str = "fixed",
    *,
    train: int = 4,
    heldout: int = 2,
    seed: int = 0,
    env: EnvConfig | None = None,
) -> Dataset:
    """A dataset under RUNS/datasets, in the place where one of this name for the task is looked for."""
    task = "toy/point-mass"
    episodes = random_episodes(env or tiny_config().env, train + heldout, seed, task)
    labels = [Label("train")] * train + [Label("heldout")] * heldout
    return build(datasets / name / task_slug(task), episodes, {"kind": "test", "seed": seed}, labels)


def offline_config(dataset: Dataset | str, digest: str | None = None, **changes: Any) -> RunConfig:
    """An offline run of a few seconds, as a plan writes it."""
    if isinstance(dataset, Dataset):
        digest, dataset = dataset.digest, dataset.directory.parent.name
    data = {"mode": "offline", "dataset": dataset, "digest": digest}
    return tiny_config(data=data, **changes)
