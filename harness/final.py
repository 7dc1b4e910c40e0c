"""From the loop to a finished run: the final phase, what is kept of it, and the runs of agents without a model."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from harness.agent import NoModel
from harness.build import make_streams
from harness.checkpoint import CheckpointStore, LostOwnership
from harness.config import RunConfig
from harness.contract import require_basics
from harness.cost import model_cost
from harness.disk import save_arrays
from harness.environments import Environments
from harness.episodes import Episode, to_arrays
from harness.loop import Diverged, Loop
from harness.measure import Measurement, Measurer
from harness.metrics import MetricsLog
from harness.offline import OfflineData, open_offline
from harness.provenance import peak_memory_mb
from harness.replay import finish
from harness.rundir import Ending, RunDir
from harness.session import Session
from harness.summary import write_summary
from harness.tensorboard import rebuild


def run_model(session: Session) -> Ending:
    """Trains and measures a run with a model, up to its summary; `done` or `diverged`.

    Raises:
        Stopped: asked to stop; the position is in a checkpoint.
        LostOwnership: another process owns the run.
    """
    run, config, monitor = session.run, session.config, session.monitor
    require_basics(config, session.task.spec, session.device)
    envs = Environments(session.task)
    data = open_offline(config, session.task.spec, session.datasets, monitor.tick)
    measurer = _measurer(session, envs, data)
    loop = Loop(session, CheckpointStore(run.checkpoint, session.owns), measurer, envs, data)
    ending: Ending = "done"
    try:
        loop.train()
        loop.save()
        monitor.tick(phase="final")
        measurement = measurer.final(loop.agent)
        _check_owned(session)
        loop.write_measurement(measurement)
        loop.metrics.write("cost", loop.counters() | _cost(loop, measurement))
        _keep(run, config, measurement)
        monitor.state.last_return = measurement.mean_return
    except Diverged:
        _check_owned(session)
        ending = "diverged"
    finally:
        envs.close()
        loop.metrics.close()
    write_summary(run, ending)
    monitor.write(iteration=loop.position.iteration, progress=1.0)
    return ending


def run_random(session: Session) -> Ending:
    """The random agent: the final phase's episodes with uniformly random actions.

    Raises:
        Stopped: asked to stop; nothing was written, the next attempt plays the same episodes again.
        LostOwnership: another process owns the run.
    """
    run = session.run
    envs = Environments(session.task)
    try:
        measurement = _measurer(session, envs).final(NoModel(session.task.spec.action_dim))
    finally:
        envs.close()
    _check_owned(session)
    metrics = MetricsLog(run.metrics, 0)
    counters = {"iteration": 0, "env_steps": 0, "grad_steps": 0, "wall_seconds": 0.0}
    for kind, record in measurement.records:
        metrics.write(kind, counters | record)
    metrics.close()
    _keep(run, session.config, measurement)
    write_summary(run, "done")
    session.monitor.write(last_return=measurement.mean_return, progress=1.0)
    return "done"


def settle(session: Session, ending: Ending) -> None:
    """Applies retention to a run whose summary is written; called again after a kill, it goes on.

    Raises:
        LostOwnership: another process owns the run.
    """
    _check_owned(session)
    run, config = session.run, session.config
    finish(run.replay, config.storage.training_frames)
    store = CheckpointStore(run.checkpoint, session.owns)
    store.keep("none" if ending == "diverged" else config.storage.checkpoint)
    if config.storage.tensorboard:
        rebuild(run)


def _measurer(session: Session, envs: Environments, data: OfflineData | None = None) -> Measurer:
    streams = make_streams(session.config)
    tick, heldout = session.monitor.tick, data.heldout if data else None
    return Measurer(
        session.config, session.task, envs, streams, session.datasets, session.device, tick, heldout
    )


def _check_owned(session: Session) -> None:
    if not session.owns():
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
