"""A trained run seen again: its returns, its open-loop errors on any dataset, a video. Nothing of the run changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import yaml

from harness.config import RunConfig, component_versions
from harness.episodes import Episode, spec_problems
from harness.errors import UserError
from harness.pictures import episode_video, save_video, video_format
from harness.rundir import RunDir

if TYPE_CHECKING:
    from harness.agent import ModelAgent
    from harness.measure import Measurer
    from harness.tasks.spec import Task

Report = Callable[[str], None]


def _quiet(message: str) -> None:
    del message


def evaluate_run(
    run: RunDir,
    *,
    dataset: str | Path | None = "probe",
    episodes: int = 5,
    video: Path | None = None,
    datasets: Path,
    report: Report = _quiet,
) -> dict[str, Any]:
    """Plays noise-free episodes with a run's weights and measures its forecasts.

    The weights are those of the finished run, or of the newest checkpoint of one that is still running. The
    episodes begin elsewhere than those of the run itself, and are the same at every call.

    Args:
        run: its directory is only read.
        dataset: `probe` (the task's, as in the run), `own` (the episodes just played), the directory of a dataset,
            or its name under `datasets`; None measures no forecasts.
        episodes: how many are played.
        video: where the first episode goes: .gif, .webp or .png.
        datasets: RUNS/datasets; the task's probe is made there if it is missing.
        report: told what is being done, and what to be aware of.

    Returns:
        JSON-able: `run`, `design`, `task`, `seed`, `state`, `n`, `mean`, `std` (of the sample; null for one
        episode), `returns`, `lengths`, `open_loop` (the lists over the horizon of an `open_loop` line of
        metrics.jsonl, or null) and `video`.

    Raises:
        UserError: no weights are kept, the dataset is unknown or of another task, or the video cannot be written.
        RunError: rendering does not work, or a file is damaged.
    """
    config = run.read_config()
    _check_request(video, episodes, dataset)
    measurer, task = _measurer(config, datasets)
    try:
        agent = _load_agent(run, config, task, measurer, report) if config.agent == "model" else None
        measured = _chosen_episodes(config, task, dataset, datasets) if agent else None
        report(f"playing {episodes} episodes of {config.task}")
        played = _play(config, task, measurer, agent, episodes)
    finally:
        measurer.envs.close()
    state = run.read_state()
    result: dict[str, Any] = {
        "run": run.id,
        "design": config.label,
        "task": config.task,
        "seed": config.seed,
        "state": state.state if state else None,
        **_statistics(played),
        "open_loop": None,
        "video": None,
    }
    if agent is None:
        which = {"random": "the random agent"}.get(config.agent, "the oracle")
        report(f"{which} has no model, hence no forecasts: returns only")
    elif dataset is not None:
        name, known = measured or ("own", played)
        report(f"measuring forecasts on {name}: {len(known)} episodes")
        result["open_loop"] = _open_loop(measurer, agent, name, known)
    if video is not None:
        save_video(video, episode_video(played[0].image, played[0].reward))
        result["video"] = str(video)
    return result


def _check_request(video: Path | None, episodes: int, dataset: str | Path | None) -> None:
    """Refuses before anything is played what could not be delivered."""
    if not episodes and (video is not None or dataset == "own"):
        raise UserError("a video and forecasts on own episodes need at least one episode")
    if video is not None:
        video_format(video)
        if not video.absolute().parent.is_dir():
            raise UserError(f"{video}: there is no directory {video.absolute().parent}")


def _measurer(config: RunConfig, datasets: Path) -> tuple[Measurer, Task]:
    """Task, environments and streams of a run, as its own evaluation has them."""
    from harness.tasks import find_task

    if config.task.startswith("dmc/"):
        from harness.tasks.rendering import select_backend

        select_backend()
    import torch

    from harness.build import make_device, make_streams
    from harness.environments import Environments
    from harness.measure import Measurer

    if config.runtime.threads is not None:
        torch.set_num_threads(config.runtime.threads)
    wanted = config.runtime.device
    absent = wanted.startswith("cuda") and not torch.cuda.is_available()  # trained elsewhere, looked at here
    device = make_device("cpu" if absent else wanted)
    task = find_task(config.task, config.env)
    streams = make_streams(config)
    return Measurer(config, task, Environments(task), streams, datasets, device, lambda: None), task


def _load_agent(run: RunDir, config: RunConfig, task: Task, measurer: Measurer, report: Report) -> ModelAgent:
    """The agent with the weights that are kept."""
    import torch

    from harness.build import build_agent, build_model

    model = build_model(config, task.spec, measurer.streams)
    assert isinstance(model, torch.nn.Module)
    planned, today = yaml.safe_load(run.config_file.read_text()).get("versions"), component_versions(config)
    if planned != today:
        report(
            f"the run was made with component versions {planned}, this code has {today}: numbers may differ"
        )
    try:
        model.load_state_dict(_weights(run, config))
    except RuntimeError as error:
        raise UserError(f"{run.id}: its weights do not fit the model of this code: {error}") from error
    model.to(measurer.device)
    return build_agent(config, task.spec, measurer.streams, measurer.device, model)


def _weights(run: RunDir, config: RunConfig) -> dict[str, Any]:
    from harness.checkpoint import CheckpointStore

    if any(run.checkpoint.glob("*.pt")):
        return CheckpointStore(run.checkpoint).weights()
    state = run.read_state()
    if state is not None and state.state == "diverged":
        why = "the run diverged, and of such a run no weights are kept"
    elif state is not None and state.state == "done":
        why = f"storage.checkpoint was {config.storage.checkpoint}, or it was cleaned away; set it to model or full"
    else:
        why = "the run has not written a checkpoint yet"
    raise UserError(f"{run.id}: no weights to evaluate: {why}")


def _chosen_episodes(
    config: RunConfig, task: Task, dataset: str | Path | None, datasets: Path
) -> tuple[str, list[Episode]] | None:
    """Name and episodes of a dataset; None for `own`, whose episodes are not played yet, and for no dataset."""
    from harness.datasets import Dataset, probe_dataset

    if dataset is None or dataset == "own":
        return None
    if dataset == "probe":
        return "probe", list(probe_dataset(datasets, task, config.env, config.evaluation.probe_episodes))
    places = [Path(dataset), datasets / dataset]
    found = next((place for place in places if (place / "manifest.json").is_file()), None)
    if found is None:
        looked = " and ".join(str(place) for place in dict.fromkeys(places))
        raise UserError(
            f"unknown dataset {dataset}: use probe, own, or a directory with a manifest.json (looked at {looked})"
        )
    known = list(Dataset(found))
    wrong = [
        f"episode {i}: {problem}"
        for i, episode in enumerate(known)
        for problem in spec_problems(episode, task.spec)
    ]
    if wrong:
        raise UserError(f"{found} does not fit {config.task}:\n  " + "\n  ".join(wrong[:10]))
    return f"dataset {found.name}", known


def _play(
    config: RunConfig, task: Task, measurer: Measurer, agent: ModelAgent | None, episodes: int
) -> list[Episode]:
    from harness.agent import NoModel
    from harness.rollout import play_all
    from planners.exploration import Greedy, UniformRandom

    if not episodes:
        return []
    keys = [("replayed", i) for i in range(episodes)]
    if config.agent == "oracle":
        from harness.oracle import oracle_of

        with oracle_of(config, task, measurer.streams) as oracle:  # one after another, as in its run
            envs = measurer.envs.take(1)
            return play_all(oracle, envs, task.spec, keys, Greedy(), measurer.streams, measurer.tick)
    envs = measurer.envs.take(min(episodes, config.runtime.parallel_envs))
    player = agent or NoModel(task.spec.action_dim)
    exploration = Greedy() if agent else UniformRandom()
    return play_all(player, envs, task.spec, keys, exploration, measurer.streams, measurer.tick)


def _statistics(played: list[Episode]) -> dict[str, Any]:
    returns = [episode.total_return for episode in played]
    return {
        "n": len(returns),
        "mean": fmean(returns) if returns else None,
        "std": stdev(returns) if len(returns) > 1 else None,
        "returns": returns,
        "lengths": [episode.length for episode in played],
    }


def _open_loop(
    measurer: Measurer, agent: ModelAgent, name: str, known: list[Episode]
) -> dict[str, Any] | None:
    outcome = measurer.open_loop(agent, name, known)
    if outcome is None:
        raise UserError(
            f"the episodes on {name} are too short for evaluation.context and evaluation.horizon of the run"
        )
    return {key: _finite(value) for key, value in outcome.record.items()}


def _finite(value: Any) -> Any:
    """NaN as None: JSON has no NaN."""
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
