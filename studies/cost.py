"""What a plan costs: hours, disk and files, each with the basis of its number."""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from harness.config.sections import EnvConfig
from harness.errors import UserError
from harness.rundir import RunDir
from harness.tasks.spec import TaskSpec
from studies.cluster.granting import granted
from studies.store import StoredRun

FILES_PER_RUN = 20
GB = 1e9
_CHECKPOINT_MB = {"tiny": 2, "small": 10, "paper": 40, "large": 90, "bench": 30}
"""Parameters in float32 of the largest design of a preset at 64 x 64 pixels, rounded up."""
_SAMPLE = 5  # finished runs that are read per design and task
_FINISHED = {"done", "diverged"}
_DURATIONS = ("train_seconds", "plan_seconds", "collect_seconds")


def estimate(runs: Sequence[StoredRun], states: dict[str, str]) -> dict[str, Any]:
    """The cost of what is left of a plan, and the disk of all of it.

    Args:
        runs: the plan's.
        states: by hex.

    Returns:
        ``runs`` and ``left`` (counts), ``hours`` (of what is left, run after run) and ``gpu_hours``,
        ``disk_gb`` (kept once all are done), ``disk_running_gb`` (the largest single run while it runs), ``files``,
        and ``basis``: a sentence for each of the numbers.
    """
    left = [run for run in runs if states[run.hex] not in _FINISHED and run.reused_from is None]
    measured = _measured([run for run in runs if states[run.hex] in _FINISHED])
    hours = gpu_hours = 0.0
    known = 0
    for run in left:
        resources = granted(run.config)
        seconds = measured.get((run.design, run.task))
        known += seconds is not None
        one = resources.hours if seconds is None else seconds / 3600
        hours += one
        gpu_hours += one * resources.gpus / resources.runs_per_gpu
    sizes = [_bytes(run) for run in runs if run.reused_from is None]
    return {
        "runs": len(runs),
        "left": len(left),
        "hours": round(hours, 2),
        "gpu_hours": round(gpu_hours, 2),
        "disk_gb": round(sum(kept for _, kept in sizes) / GB, 3),
        "disk_running_gb": round(max((running for running, _ in sizes), default=0) / GB, 3),
        "files": FILES_PER_RUN * len(sizes),
        "basis": {
            "hours": _hours_basis(known, len(left)),
            "disk_gb": "an upper bound: raw frames that retention keeps, before compression"
            + _datasets(runs),
            "disk_running_gb": "the largest single run: its frames, raw, while it runs",
            "files": f"at most {FILES_PER_RUN} a run",
        },
    }


def _datasets(runs: Sequence[StoredRun]) -> str:
    """What the disk of a study leaves out, with a semicolon before it."""
    offline = any(run.config.get("data", {}).get("mode") == "offline" for run in runs)
    return "; datasets are not counted (`wm dataset show`)" if offline else ""


def _hours_basis(known: int, left: int) -> str:
    if not left:
        return "nothing is left to run"
    bound = "resources.hours, the time limit: an upper bound, not a forecast"
    if not known:
        return bound
    mean = "the mean of finished runs of the same design and task"
    return mean if known == left else f"{mean} for {known} of {left} runs; for the others {bound}"


def _measured(finished: Sequence[StoredRun]) -> dict[tuple[str, str], float]:
    """Seconds of a run by design and task: means over a few finished runs."""
    seconds: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for run in finished:
        found = seconds[run.design, run.task]
        if len(found) < _SAMPLE:
            found.extend(_seconds(run))
    return {key: sum(values) / len(values) for key, values in seconds.items() if values}


def _seconds(run: StoredRun) -> list[float]:
    """The seconds that a finished run took, if its metrics say so: of all of it, else of the parts that are known."""
    try:
        records = list(RunDir(run.path).read_metrics({"cost"}))
    except (OSError, json.JSONDecodeError):
        return []
    return [
        float(record.get("wall_seconds") or 0) or sum(float(record.get(name) or 0) for name in _DURATIONS)
        for record in records[-1:]
    ]


def _bytes(run: StoredRun) -> tuple[int, int]:
    """Bytes of a run while it runs, and of what is kept of it."""
    config = run.config
    spec = _spec(config["task"], json.dumps(config["env"]))
    side = config["env"]["image_size"]
    steps = (spec.max_steps if spec else 1000) + 1
    frames = 3 * side * side * steps
    columns = steps * (4 * (spec.action_dim if spec else 10) + 8 * (spec.state_dim if spec else 100) + 8)
    evaluation, storage = config["evaluation"], config["storage"]
    final = evaluation["final_episodes"] * (frames + columns) if storage["evaluation_episodes"] else 0
    if config["agent"] != "model":
        return final, final
    offline = config.get("data", {}).get("mode") == "offline"
    collected = 0 if offline else config["train"]["episodes"]
    training = collected * (frames + columns)
    window = evaluation["starts"] * 3 * side * side * (2 + 3 * evaluation["horizon"])
    pictures = (2 + offline) * window if storage["forecasts"] else 0  # on probe, own, and held-out episodes
    checkpoint = int(_CHECKPOINT_MB.get(config["size"] or "paper", 25) * 1e6)
    weights = {"none": 0, "model": checkpoint, "full": 3 * checkpoint}[storage["checkpoint"]]
    episodes, framed = _kept_episodes(
        storage["training_frames"], collected, spec is None or spec.restores_state
    )
    kept = episodes * (columns + framed * frames)
    return training + 6 * checkpoint + final + pictures, kept + final + pictures + weights


def _kept_episodes(retention: str, collected: int, restores: bool) -> tuple[int, bool]:
    """Training episodes that are kept, and whether with their frames."""
    if retention.startswith("last:"):
        return min(collected, int(retention.removeprefix("last:"))), True
    return (0, False) if retention == "none" else (collected, retention == "all" or not restores)


@functools.lru_cache(maxsize=4096)
def _spec(task: str, env: str) -> TaskSpec | None:
    from harness.tasks.catalogue import find_task

    try:
        return find_task(task, EnvConfig.model_validate_json(env)).spec
    except UserError:
        return None
