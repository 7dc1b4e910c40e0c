"""What a plan costs: hours, disk and files, each with the basis of its number."""

from __future__ import annotations

import functools
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.config.sections import EnvConfig
from harness.errors import UserError
from harness.rundir import RunDir
from harness.tasks.spec import TaskSpec
from studies.cluster.granting import Measured, granted
from studies.estimate.probes import cost_text
from studies.estimating import Forecast, Forecaster, forecaster
from studies.store import StoredRun, StudyDir

Source = Literal["finished", "estimate", "limit"]
FILES_PER_RUN = 20
GB = 1e9
_CHECKPOINT_MB = {"tiny": 2, "small": 10, "paper": 40, "large": 90, "bench": 30}
"""Parameters in float32 of the largest design of a preset at 64 x 64 pixels, rounded up."""
_SAMPLE = 5  # finished runs that are read of each kind
_FINISHED = {"done", "diverged"}


def estimate(runs: Sequence[StoredRun], states: Mapping[str, str]) -> dict[str, Any]:
    """The cost of what is left of a plan, and the disk of all of it.

    Args:
        runs: the plan's.
        states: by hex.

    Returns:
        ``runs`` and ``left`` (counts), ``hours`` (of what is left, run after run) and ``gpu_hours``,
        ``at_once`` (runs side by side, as `resources.parallel` says, else None) and ``eta_hours`` (None if unknown),
        ``disk_gb`` (kept once all are done), ``disk_running_gb`` (the largest single run while it runs), ``files``,
        and ``basis``: a sentence for each of the numbers, and ``runs``: for how many runs which source gave the hours
        (`finished`, `estimate` or `limit`).
    """
    prices = prices_of(runs, states)
    sizes = [_bytes(run) for run in runs if run.reused_from is None]
    sources = Counter(price.source for price in prices.values())
    at_once = _at_once(runs)
    eta = time_left(runs, states, {}, at_once) if at_once and not sources["limit"] else None
    return {
        "runs": len(runs),
        "left": len(prices),
        "hours": round(sum(price.seconds for price in prices.values()) / 3600, 4),
        "gpu_hours": round(sum(price.gpu_seconds for price in prices.values()) / 3600, 4),
        "at_once": at_once,
        "eta_hours": round(eta[0] / 3600, 4) if eta else None,
        "disk_gb": round(sum(kept for _, kept in sizes) / GB, 3),
        "disk_running_gb": round(max((running for running, _ in sizes), default=0) / GB, 3),
        "files": FILES_PER_RUN * len(sizes),
        "basis": {
            "hours": _basis(sources) or "nothing is left to run",
            "disk_gb": "an upper bound: raw frames that retention keeps, before compression"
            + _datasets(runs),
            "disk_running_gb": "the largest single run: its frames, raw, while it runs",
            "files": f"at most {FILES_PER_RUN} a run",
            "runs": dict(sources),
        },
    }


@dataclass(frozen=True)
class Price:
    """What a run is expected to take in all.

    Attributes:
        seconds: of its own clock.
        gpu_seconds: its share of the GPUs that it is granted.
        source: what that rests on.
    """

    seconds: float
    gpu_seconds: float
    source: Source


def _at_once(runs: Sequence[StoredRun]) -> int | None:
    """Runs that go on side by side where the study limits them; None where it does not."""
    found = [granted(run.config) for run in runs]
    if not found or any(one.parallel is None for one in found):
        return None
    return max((one.parallel or 1) * one.runs_per_gpu for one in found)


def prices_of(runs: Sequence[StoredRun], states: Mapping[str, str]) -> dict[str, Price]:
    """What each run that is left is expected to take, by hex.

    Args:
        runs: the finished ones among them tell what others of their kind take.
        states: by hex.
    """
    kinds = {run.hex: cost_text(run.config) for run in left(runs, states)}
    measured = _measured([run for run in runs if states[run.hex] in _FINISHED], set(kinds.values()))
    predictions: dict[Path, Forecaster] = {}
    found = {}
    for run in left(runs, states):
        home = run.path.parent.parent
        if home not in predictions:
            predictions[home] = forecaster(StudyDir(home))
        found[run.hex] = _price(run, measured.get(kinds[run.hex]), predictions[home](run.config))
    return found


def _price(run: StoredRun, measured: float | None, expected: Forecast | None) -> Price:
    fit = Measured(runs_per_gpu=expected.runs_per_gpu) if expected else None
    resources = granted(run.config, measured=fit)
    source: Source = "finished"
    if measured is not None:
        seconds = measured
    elif expected is not None:
        seconds, source = expected.beside(resources.runs_per_gpu - 1), "estimate"
    else:
        seconds, source = 3600 * resources.hours, "limit"
    return Price(seconds, seconds * resources.gpus / resources.runs_per_gpu, source)


def time_left(
    runs: Sequence[StoredRun],
    states: Mapping[str, str],
    progress: Mapping[str, float],
    at_once: int,
) -> tuple[float, str] | None:
    """When a study will be done, from now on.

    Args:
        runs: the plan's.
        states: by hex.
        progress: 0 to 1 of runs that have begun, by hex.
        at_once: runs that go on side by side.

    Returns:
        Seconds, and what they rest on; None where nothing is left to run, or nothing is known but time limits. Runs of
        which no more is known are not counted, which is said.
    """
    prices = prices_of(runs, states)
    known = {digits: price for digits, price in prices.items() if price.source != "limit"}
    if not known:
        return None
    open_ = [price.seconds * (1 - min(1.0, progress.get(digits, 0.0))) for digits, price in known.items()]
    at_once = max(1, min(at_once, len(open_)))
    used = {price.source for price in known.values()}
    basis = f"from {' and '.join(word for source, word in _WORDS.items() if source in used)}"
    rest = f"; {len(prices) - len(known)} not counted" if len(known) < len(prices) else ""
    return max(sum(open_) / at_once, *open_), f"{basis}; {at_once} at a time{rest}"


def left(runs: Sequence[StoredRun], states: Mapping[str, str]) -> list[StoredRun]:
    """The runs that are this study's to finish."""
    return [run for run in runs if states[run.hex] not in _FINISHED and run.reused_from is None]


_WORDS: dict[Source, str] = {"finished": "finished runs", "estimate": "wm estimate"}
_SENTENCES: dict[Source, str] = {
    "finished": "the mean of finished runs of the same design and task",
    "estimate": "measured by wm estimate",
    "limit": "resources.hours, the time limit: an upper bound, not a forecast",
}


def _basis(sources: Mapping[Source, int]) -> str:
    """What the hours rest on; empty if there are none."""
    used = [source for source in _SENTENCES if sources.get(source)]
    if len(used) < 2:
        return "".join(_SENTENCES[source] for source in used)
    total = sum(sources.values())
    first = [f"{_SENTENCES[source]} for {sources[source]} of {total} runs" for source in used[:-1]]
    return "; ".join([*first, f"for the others {_SENTENCES[used[-1]]}"])


def _datasets(runs: Sequence[StoredRun]) -> str:
    """What the disk of a study leaves out, with a semicolon before it."""
    offline = any(run.config.get("data", {}).get("mode") == "offline" for run in runs)
    return "; datasets are not counted (`wm dataset show`)" if offline else ""


def _measured(finished: Sequence[StoredRun], kinds: Collection[str]) -> dict[str, float]:
    """Seconds of a run by `cost_text`, of some kinds: means over a few finished runs."""
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    for run in finished if kinds else ():
        kind = cost_text(run.config)
        if kind in kinds and len(seconds[kind]) < _SAMPLE:
            seconds[kind].extend(_seconds(run))
    return {key: sum(values) / len(values) for key, values in seconds.items() if values}


def _seconds(run: StoredRun) -> list[float]:
    """The seconds that a finished run took, if its records say so: of its loop, else of its attempts."""
    directory = RunDir(run.path)
    try:
        seconds = (directory.last_metrics("cost") or {}).get("wall_seconds")
        if seconds:
            return [float(seconds)]
        attempts = directory.read_attempts()
    except (OSError, ValueError):
        return []
    begun = {record["attempt"]: record["time"] for record in attempts if record["event"] == "start"}
    took = sum(r["time"] - begun.get(r["attempt"], r["time"]) for r in attempts if r["event"] == "end")
    return [took] if took else []


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
