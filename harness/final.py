"""From the loop to a finished run: the final phase, what is kept of it, and the runs of agents without a model."""

from __future__ import annotations

from contextlib import closing
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
from harness.kept import KeptEpisodes
from harness.loop import Diverged, Loop
from harness.measure import Measurement, Measurer, measured_returns
from harness.metrics import MetricsLog
from harness.offline import OfflineData, open_offline
from harness.oracle import oracle_of
from harness.provenance import peak_memory_mb
from harness.replay import finish
from harness.rollout import play
from harness.rundir import Ending, RunDir
from harness.session import Session
from harness.summary import write_summary
from harness.tensorboard import rebuild
from planners.exploration import Greedy


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
    envs = Environments(session.task)
    try:
        measurement = _measurer(session, envs).final(NoModel(session.task.spec.action_dim))
    finally:
        envs.close()
    return _conclude(session, measurement, {})


def run_oracle(session: Session) -> Ending:
    """The oracle: the final phase's episodes, planned on the true simulator.

    They are played one after another, whatever `runtime.parallel_envs` says: a plan is divided over processes as it
    is, and so an episode's numbers depend on nothing but its key.

    Raises:
        Stopped: asked to stop; finished episodes are kept, and the next attempt plays the others.
        LostOwnership: another process owns the run.
        UserError: the task cannot be simulated.
    """
    config, spec, monitor = session.config, session.task.spec, session.monitor
    keys = [("final", number) for number in range(config.evaluation.final_episodes)]
    streams, kept = make_streams(config), _kept(session.run)
    played: list[Episode] = []
    seconds, steps = 0.0, 0  # of planning; of the present episode

    def tick() -> None:
        nonlocal steps
        steps += 1
        progress = min(1.0, (len(played) + steps / spec.max_steps) / len(keys))
        monitor.tick(env_steps=sum(episode.length for episode in played) + steps, progress=progress)

    monitor.tick(phase="final")
    with oracle_of(config, session.task, streams) as agent, closing(Environments(session.task)) as envs:
        for key in keys:
            found = kept.read(key[1])
            if found is None:
                before, steps = agent.plan_seconds, 0
                (episode,) = play(agent, envs.take(1), spec, [key], Greedy(), streams, tick)
                found = episode, agent.plan_seconds - before
                _check_owned(session)
                kept.write(key[1], *found)
            played.append(found[0])
            seconds += found[1]
    cost = {"plan_seconds": seconds, "peak_memory_mb": peak_memory_mb()}
    return _conclude(session, measured_returns(keys, played, "final"), cost)


def _kept(run: RunDir) -> KeptEpisodes:
    return KeptEpisodes(run.path / "partial")


def _conclude(session: Session, measurement: Measurement, cost: dict[str, Any]) -> Ending:
    """Writes what the run of an agent without a model leaves behind."""
    run = session.run
    _check_owned(session)
    metrics = MetricsLog(run.metrics, 0)
    counters = {"iteration": 0, "env_steps": 0, "grad_steps": 0, "wall_seconds": 0.0}
    for kind, record in (*measurement.records, *([("cost", cost)] if cost else [])):
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
    _kept(run).clear()
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
