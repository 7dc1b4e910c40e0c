"""Finished runs made by hand: episodes of random actions in a replay and a final phase, without training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from harness.config import RunConfig, run_id
from harness.disk import save_arrays
from harness.episodes import Episode, Recorder, to_arrays
from harness.replay import Replay, finish
from harness.rundir import RunDir, RunState
from harness.tasks import Task, find_task
from tests.harness.runs import tiny_config


def play(task: Task, count: int, seed: int) -> list[Episode]:
    """Episodes of random actions; those of one seed are always the same."""
    env, rng = task.make(), np.random.default_rng(seed)
    episodes = []
    for index in range(count):
        image, info = env.reset(seed=1000 * seed + index)
        recorder, over = Recorder(task.spec, image, info), False
        while not over:
            action = rng.uniform(-1, 1, task.spec.action_dim).astype(np.float32)
            image, reward, terminated, truncated, info = env.step(action)
            recorder.add(action, image, float(reward), terminated, info)
            over = terminated or truncated
        episodes.append(recorder.episode())
    env.close()
    return episodes


def finished_run(
    study: Path,
    seed: int = 0,
    design: str = "images-latent-stochastic",
    *,
    retention: str = "states",
    training: int = 4,
    final: int = 3,
    state: str = "done",
    stream: int | None = None,
    cold: int = 0,
    **changes: Any,
) -> tuple[RunDir, list[Episode], list[Episode]]:
    """A run of a study with its training and final episodes; the plan is written.

    Args:
        study: its directory.
        seed: of the run.
        design: of the run.
        retention: of its training episodes.
        training: how many of them.
        final: episodes of the final phase.
        state: of the run.
        stream: decides the episodes; they differ from run to run without it.
        cold: how many of the training episodes are the same for all designs of the seed.
        changes: of the configuration.
    """
    predict, space, dynamics = design.split("-")[:3] if design != "random" else (None, None, None)
    agent = {"agent": "random"} if design == "random" else {}
    axes = {"predict": predict, "space": space, "dynamics": dynamics} if predict else {}
    config = tiny_config(
        seed=seed, design=design, storage__training_frames=retention, **agent, **axes, **changes
    )
    run = RunDir.create(study / "runs" / run_id(config), config)
    task = find_task(config.task, config.env)
    key = int(run.id[-6:], 16) if stream is None else stream
    played = play(task, cold, seed) + play(task, training - cold, key) if predict and training else []
    if played:
        replay = Replay.open(run.replay, task.spec)
        for episode in played:
            replay.append(episode)
        replay.flush()
        if state == "done":
            finish(run.replay, retention)
    kept = play(task, final, key + 1) if state == "done" and final else []
    if kept:
        run.evaluation.mkdir()
        arrays = {f"{i:06d}.{n}": a for i, e in enumerate(kept) for n, a in to_arrays(e).items()}
        save_arrays(run.evaluation / "final.npz", arrays)
    run.write_state(RunState(id=run.id, state=state))
    add_to_plan(study, run, config)
    return run, played, kept


def add_to_plan(study: Path, run: RunDir, config: RunConfig) -> None:
    line = {
        "id": run.id,
        "hex": run.id[-12:],
        "design": config.label,
        "task": config.task,
        "seed": config.seed,
        "config": config.model_dump(mode="json"),
    }
    with (study / "plan.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
