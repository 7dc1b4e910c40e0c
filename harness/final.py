"""From the loop to a finished run: the final phase, what is kept of it, and the runs of agents without a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from harness.agent import NoModel
from harness.build import make_streams
from harness.checkpoint import CheckpointStore, LostOwnership
from harness.config import RunConfig
from harness.cost import model_cost
from harness.disk import save_arrays
from harness.environments import Environments
from harness.episodes import Episode, to_arrays
from harness.loop import Diverged, Loop
from harness.measure import Measurement, Measurer
from harness.metrics import MetricsLog
from harness.monitor import Monitor
from harness.provenance import peak_memory_mb
from harness.replay import finish
from harness.rundir import Ending, RunDir
from harness.summary import write_summary
from harness.tasks.spec import Task
from harness.tensorboard import rebuild


def run_model(
    run: RunDir,
    config: RunConfig,
    task: Task,
    device: torch.device,
    monitor: Monitor,
    owns: Callable[[], bool],
    datasets: Path,
) -> Ending:
    """Trains and measures a run with a model, up to its summary; `done` or `diverged`.

    Raises:
        Stopped: asked to stop; the position is in a checkpoint.
        LostOwnership: another process owns the run.
    """
    envs = Environments(task)
    store = CheckpointStore(run.checkpoint, owns)
    measurer = Measurer(config, task, envs, make_streams(config), datasets, device, monitor.tick)
    loop = Loop(run, config, task, device, monitor, store, measurer, envs)
    ending: Ending = "done"
    try:
        loop.train()
        loop.save()
        monitor.tick(phase="final")
        measurement = measurer.final(loop.agent)
        _check_owned(owns)
        loop.write_measurement(measurement)
        loop.metrics.write("cost", loop.counters() | _cost(loop, measurement))
        _keep(run, config, measurement)
        monitor.state.last_return = measurement.mean_return
    except Diverged:
        _check_owned(owns)
        ending = "diverged"
    finally:
        envs.close()
        loop.metrics.close()
    write_summary(run, ending)
    monitor.write(iteration=loop.position.iteration, progress=1.0)
    return ending


def run_random(
    run: RunDir,
    config: RunConfig,
    task: Task,
    device: torch.device,
    monitor: Monitor,
    owns: Callable[[], bool],
    datasets: Path,
) -> Ending:
    """The random agent: the final phase's episodes with uniformly random actions.

    Raises:
        Stopped: asked to stop; nothing was written, the next attempt plays the same episodes again.
        LostOwnership: another process owns the run.
    """
    envs = Environments(task)
    measurer = Measurer(config, task, envs, make_streams(config), datasets, device, monitor.tick)
    try:
        measurement = measurer.final(NoModel(task.spec.action_dim))
    finally:
        envs.close()
    _check_owned(owns)
    metrics = MetricsLog(run.metrics, 0)
    counters = {"iteration": 0, "env_steps": 0, "grad_steps": 0, "wall_seconds": 0.0}
    for kind, record in measurement.records:
        metrics.write(kind, counters | record)
    metrics.close()
    _keep(run, config, measurement)
    write_summary(run, "done")
    monitor.write(last_return=measurement.mean_return, progress=1.0)
    return "done"


def settle(run: RunDir, config: RunConfig, ending: str, owns: Callable[[], bool]) -> None:
    """Applies retention to a run whose summary is written; called again after a kill, it goes on.

    Raises:
        LostOwnership: another process owns the run.
    """
    _check_owned(owns)
    finish(run.replay, config.storage.training_frames)
    store = CheckpointStore(run.checkpoint, owns)
    store.keep("none" if ending == "diverged" else config.storage.checkpoint)
    if config.storage.tensorboard:
        rebuild(run)


def _check_owned(owns: Callable[[], bool]) -> None:
    if not owns():
        raise LostOwnership


def _cost(loop: Loop, measurement: Measurement) -> dict[str, Any]:
    seconds = loop.total_seconds()
    return {
        **asdict(model_cost(loop.model)),
        "train_seconds": seconds["train"],
        "plan_seconds": seconds["plan"],
        "collect_seconds": seconds["collect"],
        "peak_memory_mb": peak_memory_mb(),
        "probe": measurement.probe_digest,
    }


def _keep(run: RunDir, config: RunConfig, measurement: Measurement) -> None:
    """The final episodes and the forecasts for pictures, as the storage fields say."""
    if config.storage.forecasts:
        run.forecasts.mkdir(exist_ok=True)
        for name, outcome in measurement.open_loop.items():
            save_arrays(run.forecasts / f"{name}.npz", outcome.pictures)
    if config.storage.evaluation_episodes:
        run.evaluation.mkdir(exist_ok=True)
        save_arrays(run.evaluation / "final.npz", _episode_arrays(measurement.episodes))


def _episode_arrays(episodes: list[Episode]) -> dict[str, Any]:
    """Episodes as arrays `000000.image` and so on, the layout of a replay shard."""
    return {
        f"{i:06d}.{name}": array
        for i, episode in enumerate(episodes)
        for name, array in to_arrays(episode).items()
    }
