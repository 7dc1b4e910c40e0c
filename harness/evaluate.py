"""A trained run seen again: its returns, its open-loop errors on any dataset, a video.

Nothing of the run changes; errors on a dataset may be kept beside it, in ``eval/<dataset>.json``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import yaml

from harness.config import RunConfig, component_versions
from harness.disk import disk_errors
from harness.episodes import Episode
from harness.errors import UserError
from harness.pictures import episode_video, save_video, video_format
from harness.rundir import RunDir, write_atomically

if TYPE_CHECKING:
    from harness.agent import Agent, ModelAgent
    from harness.chosen import Chosen
    from harness.datasets import Episodes, PartName
    from harness.measure import Measurer
    from harness.tasks.spec import Task

SAVED_VERSION = 1
"""Changes with the meaning of what `wm evaluate --save` writes: files of another version are measured again."""

Report = Callable[[str], None]


def _quiet(message: str) -> None:
    del message


def evaluate_run(
    run: RunDir,
    *,
    dataset: str | Path | None = "probe",
    part: PartName | None = None,
    episodes: int = 5,
    save: bool = False,
    video: Path | None = None,
    datasets: Path,
    report: Report = _quiet,
) -> dict[str, Any]:
    """Plays noise-free episodes with a run's weights and measures its forecasts.

    The weights are those of the finished run, or of the newest checkpoint of one that is still running. The
    episodes begin elsewhere than those of the run itself, and are the same at every call.

    Args:
        run: its directory is only read, but for `save`.
        dataset: `probe` (the task's, as in the run), `own` (the episodes just played), `heldout` (of the dataset that
            an offline run was trained on), a dataset by its name under `datasets` or its directory; None measures no
            forecasts.
        part: of a dataset; None: the held-out part if it has one, else all of it.
        episodes: how many are played.
        save: write the errors on a dataset to ``eval/<dataset>.json`` of a finished run, where a report finds them;
            what is saved already for the same episodes and component versions is not measured again.
        video: where the first episode goes: .gif, .webp or .png.
        datasets: RUNS/datasets; the task's probe is made there if it is missing.
        report: told what is being done, and what to be aware of.

    Returns:
        JSON-able: `run`, `design`, `task`, `seed`, `state`, `n`, `mean`, `std` (of the sample; null for one
        episode), `returns`, `lengths`, `open_loop` (the lists over the horizon of an `open_loop` line of
        metrics.jsonl, or null), `video`, `saved` (the file, or null) and `kept` (whether the errors are those that an
        earlier call saved there).

    Raises:
        UserError: no weights are kept, the dataset is unknown or of another task, or the video cannot be written.
        RunError: rendering does not work, or a file is damaged.
    """
    config, state = run.read_config(), run.read_state()
    _check_request(config.agent, video, episodes, dataset, save=save)
    if save and (state is None or state.state != "done"):
        raise UserError(f"{run.id}: only what is measured of a finished run is saved")
    measurer, task = _measurer(config, datasets)
    result: dict[str, Any] = {
        "run": run.id,
        "design": config.label,
        "task": config.task,
        "seed": config.seed,
        "state": state.state if state else None,
        **_statistics([]),
        "open_loop": None,
        "video": None,
        "saved": None,
        "kept": False,
    }
    chosen = _choose(measurer, dataset, part)
    if save and chosen is not None:
        result |= {"open_loop": _read_saved(run, config, chosen), "saved": str(_saved_file(run, chosen))}
        result["kept"] = result["open_loop"] is not None
        if result["kept"]:
            report(f"measured before on the same episodes, and not again: {result['saved']}")
        if result["kept"] and not episodes:
            return result
    model = _load_agent(run, config, task, measurer, report) if config.agent == "model" else None
    try:
        if episodes:
            report(f"playing {episodes} episode{'s' * (episodes != 1)} of {config.task}")
        played = _play(config, task, measurer, model, episodes)
    finally:
        measurer.envs.close()
    result |= _statistics(played)
    if model is None:
        report(f"the {config.agent} agent has no model, hence no forecasts: returns only")
    elif dataset is not None and result["open_loop"] is None:
        name, known = (chosen.name, chosen.episodes) if chosen else ("own", played)
        report(f"measuring forecasts on {name}: {len(known)} episodes")
        result["open_loop"] = record = _open_loop(measurer, model, name, known)
        if save and chosen is not None:
            _save(run, config, chosen, record)
    if video is not None:
        save_video(video, episode_video(played[0].image, played[0].reward))
        result["video"] = str(video)
    return result


def _check_request(
    agent: str, video: Path | None, episodes: int, dataset: str | Path | None, *, save: bool
) -> None:
    """Refuses before anything is played what could not be delivered."""
    from harness.chosen import OF_THE_RUN

    if save and (dataset is None or str(dataset) in OF_THE_RUN):
        raise UserError(
            f"--save needs --dataset with the name of a dataset; the errors on {' and '.join(OF_THE_RUN)} are in the "
            "run's own metrics"
        )
    if not episodes and (video is not None or dataset == "own"):
        raise UserError("a video and forecasts on own episodes need at least one episode")
    if agent != "model" and not episodes:
        raise UserError(f"the {agent} agent has no model, hence no forecasts: ask for --episodes")
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


def _choose(measurer: Measurer, dataset: str | Path | None, part: PartName | None) -> Chosen | None:
    if dataset is None or measurer.config.agent != "model":
        return None
    from harness.chosen import choose

    return choose(measurer, dataset, part)


def _play(
    config: RunConfig, task: Task, measurer: Measurer, model: ModelAgent | None, episodes: int
) -> list[Episode]:
    """Noise-free episodes of the run's agent."""
    if not episodes:
        return []
    if config.agent == "oracle":
        from harness.oracle import oracle_of

        with oracle_of(config, task, measurer.streams) as oracle:
            return _play_with(oracle, config, task, measurer, episodes)
    from harness.agent import NoModel

    return _play_with(model or NoModel(task.spec.action_dim), config, task, measurer, episodes)


def _play_with(
    agent: Agent, config: RunConfig, task: Task, measurer: Measurer, episodes: int
) -> list[Episode]:
    from harness.agent import NoModel
    from harness.rollout import play_all
    from planners.exploration import Greedy, UniformRandom

    beside = 1 if config.agent == "oracle" else config.runtime.parallel_envs
    envs = measurer.envs.take(min(episodes, beside))
    keys = [("replayed", i) for i in range(episodes)]
    exploration = UniformRandom() if isinstance(agent, NoModel) else Greedy()
    return play_all(agent, envs, task.spec, keys, exploration, measurer.streams, measurer.tick)


def _statistics(played: list[Episode]) -> dict[str, Any]:
    returns = [episode.total_return for episode in played]
    return {
        "n": len(returns),
        "mean": fmean(returns) if returns else None,
        "std": stdev(returns) if len(returns) > 1 else None,
        "returns": returns,
        "lengths": [episode.length for episode in played],
    }


def _open_loop(measurer: Measurer, agent: ModelAgent, name: str, known: Episodes) -> dict[str, Any]:
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


def _saved_file(run: RunDir, chosen: Chosen) -> Path:
    return run.evaluation / f"{chosen.name}.json"


def _identity(run: RunDir, config: RunConfig, chosen: Chosen) -> dict[str, Any]:
    """What a saved measurement is of; equal ones are equal."""
    return {
        "schema": SAVED_VERSION,
        "id": run.id,
        "dataset": chosen.name,
        "part": chosen.part,
        "digest": chosen.digest,
        "versions": component_versions(config),
    }


def _save(run: RunDir, config: RunConfig, chosen: Chosen, record: dict[str, Any]) -> None:
    content = _identity(run, config, chosen) | {"episodes": len(chosen.episodes), "open_loop": record}
    file = _saved_file(run, chosen)
    with disk_errors(file):
        run.evaluation.mkdir(exist_ok=True)
        write_atomically(file, json.dumps(content))


def _read_saved(run: RunDir, config: RunConfig, chosen: Chosen) -> dict[str, Any] | None:
    """The errors that were saved for these episodes, if they were measured as they would be today."""
    try:
        content = json.loads(_saved_file(run, chosen).read_bytes())
        wanted = _identity(run, config, chosen)
        record: dict[str, Any] = content["open_loop"]
        same = {name: content.get(name) for name in wanted} == wanted
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return record if same else None
