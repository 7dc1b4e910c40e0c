"""What short runs told of a study's costs: ``RUNS/<study>/estimate.json``, and what follows for each run of a plan.

`wm estimate` makes and measures the short runs (`studies.estimate`). Nothing here starts or imports anything heavy.

::

    hours of a run = startup + once + cold-start episodes + episodes + updates + evaluations + final phase
                     each as often as the run's configuration says, at the probe's seconds; x 1.5 as a time limit
"""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from harness.config import RunConfig
from harness.disk import disk_errors
from harness.rundir import write_atomically
from studies.estimate.probes import cost_text, evaluations, probe_key
from studies.store import StoredRun, StudyDir

if TYPE_CHECKING:
    from studies.cluster.granting import Measured

ESTIMATE = "estimate.json"
SCHEMA = 1

HOURS_FACTOR = 1.5
"""A time limit is so many times the time that is expected."""
MEMORY_FACTOR = 1.3
"""A memory limit is so many times the largest memory that was seen."""
LEAST_GB = 2.0
"""No memory limit is below this."""
MOST_PER_GPU = 4
SLOWDOWN = 0.5
"""Each other run on its GPU is taken to make a run so much slower; assumed, not measured."""
GPU_PART = 0.9  # of a GPU's memory that is given away
_CONTEXT_MB = 600.0  # of GPU memory that CUDA takes for each process, which torch does not count
_QUARTERS = 4  # of an hour: limits are rounded up to the next


@dataclass(frozen=True)
class Seconds:
    """What the parts of a run take, in seconds.

    Attributes:
        startup: outside the loop: imports, building, verifying a dataset, tidying up.
        once: of the first update and plan beyond what later ones take.
        cold: a random episode of the cold start.
        collect: an episode that is planned; of the random agent and the oracle, any episode.
        coverage: measuring coverage, once an iteration.
        update: a gradient step.
        play: the episodes of an evaluation that are played side by side.
        play_final: those of the final phase.
        open_loop: open-loop errors, once an evaluation.
        plan: of planning, per environment step; a part of the others.
    """

    startup: float = 0.0
    once: float = 0.0
    cold: float = 0.0
    collect: float = 0.0
    coverage: float = 0.0
    update: float = 0.0
    play: float = 0.0
    play_final: float = 0.0
    open_loop: float = 0.0
    plan: float = 0.0


@dataclass(frozen=True)
class Probed:
    """What a probe told.

    Attributes:
        key: of the runs that it stands for.
        run: its id.
        design, size, task: of the runs; size is empty for agents without a model.
        code: digest of the code that ran.
        where: what was asked of the place where it ran.
        host, device: where it ran.
        time: unix seconds of its end.
        seconds: of its parts.
        steps: environment steps of an episode, the mean.
        final_episodes: that it played.
        memory_mb: its largest host memory.
        gpu_memory_mb: its largest GPU memory, None without a GPU.
        gpu_total_mb: memory of that GPU, None if unknown.
    """

    key: str
    run: str
    design: str
    size: str
    task: str
    code: str
    where: Mapping[str, Any]
    host: str
    device: str
    time: float
    seconds: Seconds
    steps: float
    final_episodes: int
    memory_mb: float
    gpu_memory_mb: float | None = None
    gpu_total_mb: float | None = None

    @property
    def source(self) -> str:
        """`wm estimate on node7, 2026-03-01`."""
        return f"wm estimate on {self.host}, {time.strftime('%Y-%m-%d', time.localtime(self.time))}"


@dataclass(frozen=True)
class Forecast:
    """What a run is expected to take.

    Attributes:
        seconds: in all, alone on its place.
        per_episode: seconds of an iteration: an episode with its updates.
        memory_gb: a limit of host memory.
        gpu_gb: GPU memory, None without a GPU.
        runs_per_gpu: that fit one GPU side by side.
        probed: what all this rests on.
    """

    seconds: float
    per_episode: float
    memory_gb: float
    gpu_gb: float | None
    runs_per_gpu: int
    probed: Probed = field(repr=False)

    def at_once(self, config: Mapping[str, Any]) -> int:
        """Runs on a GPU side by side: what the study says, else what fits."""
        said: int | None = config["resources"]["runs_per_gpu"]
        return said or self.runs_per_gpu

    def beside(self, others: int) -> float:
        """Seconds that it is expected to take with so many others on its GPU; without a GPU they do not matter."""
        return self.seconds * (1 + SLOWDOWN * others * (self.gpu_gb is not None))

    def limit(self, others: int = 0) -> float:
        """A time limit in hours, with so many others on its GPU."""
        return math.ceil(self.beside(others) * HOURS_FACTOR / 3600 * _QUARTERS) / _QUARTERS


Forecaster = Callable[[dict[str, Any]], Forecast | None]
"""From a configuration, as a plan holds it."""


def read_estimates(study: StudyDir) -> dict[str, Probed]:
    """What was measured for a study, by key; nothing if there is no file, or one of another version."""
    try:
        content = json.loads((study.path / ESTIMATE).read_text())
        if content["schema"] != SCHEMA:
            return {}
        return {
            entry["key"]: Probed(**entry | {"seconds": Seconds(**entry["seconds"])})
            for entry in content["probes"]
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def write_estimates(study: StudyDir, probed: Mapping[str, Probed]) -> None:
    """Replaces estimate.json.

    Raises:
        RunError: the disk is full or cannot be written.
    """
    content = {"schema": SCHEMA, "probes": [asdict(one) for one in probed.values()]}
    file = study.path / ESTIMATE
    with disk_errors(file):
        write_atomically(file, json.dumps(content, indent=1))


def forecaster(study: StudyDir) -> Forecaster:
    """What runs of a study are expected to take, from what was measured for it; None where nothing was."""
    known = read_estimates(study)

    @lru_cache(maxsize=4096)
    def of_text(text: str) -> Forecast | None:
        probed = known.get(probe_key(text) or "")
        return forecast(RunConfig.model_validate(json.loads(text)), probed) if probed else None

    return (lambda config: of_text(cost_text(config))) if known else (lambda _: None)


def measured_for(study: StudyDir) -> Callable[[dict[str, Any]], Measured | None]:
    """What to grant to runs of a study, from what was measured for it; None where nothing was."""
    from studies.cluster.granting import Measured

    predict = forecaster(study)

    def measured(config: dict[str, Any]) -> Measured | None:
        found = predict(config)
        if found is None:
            return None
        hours = found.limit(found.at_once(config) - 1)
        return Measured(found.memory_gb, hours, found.runs_per_gpu, found.probed.source)

    return measured


def forecast(config: RunConfig, probed: Probed) -> Forecast:
    """What a run is expected to take.

    Args:
        config: of the run.
        probed: what its probe told.
    """
    seconds, per_episode = _seconds(config, probed.seconds)
    more = max(0, config.evaluation.final_episodes - probed.final_episodes)  # all of them are held at once
    frames_mb = more * probed.steps * 3 * config.env.image_size**2 / 1e6
    memory = math.ceil((probed.memory_mb * 1.048576 + frames_mb) * MEMORY_FACTOR / 1000)
    gpu = probed.gpu_memory_mb
    return Forecast(
        seconds,
        per_episode,
        max(LEAST_GB, float(memory)),
        None if gpu is None else gpu / 1000,
        _runs_per_gpu(gpu, probed.gpu_total_mb),
        probed,
    )


def _seconds(config: RunConfig, one: Seconds) -> tuple[float, float]:
    """Seconds of a run, and of one of its iterations."""
    evaluation = config.evaluation
    if config.agent != "model":
        groups = evaluation.final_episodes
        if config.agent == "random":
            groups = math.ceil(groups / config.runtime.parallel_envs)
        return one.startup + groups * one.collect, one.collect
    episodes, at_once = config.train.episodes, config.runtime.parallel_envs
    iteration = one.update * config.train.updates_per_episode
    total = one.startup + one.once + config.total_updates * one.update
    if not config.offline:
        cold = config.exploration.cold_start
        total += cold * one.cold + (episodes - cold) * one.collect + episodes * one.coverage
        iteration += one.collect + one.coverage
    played = math.ceil(evaluation.episodes / at_once) * one.play
    total += evaluations(config) * (played + one.open_loop)
    total += math.ceil(evaluation.final_episodes / at_once) * one.play_final + one.open_loop
    return total, iteration


def _runs_per_gpu(used_mb: float | None, total_mb: float | None) -> int:
    if not used_mb or not total_mb:
        return 1
    fit = int(GPU_PART * total_mb / (used_mb * MEMORY_FACTOR + _CONTEXT_MB))
    return max(1, min(MOST_PER_GPU, fit))


def shortfalls(runs: Sequence[StoredRun], predict: Forecaster) -> list[str]:
    """A sentence for each limit of the study that is below what was measured, with how many runs it concerns."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for run in runs:
        expected = predict(run.config)
        if expected is None:
            continue
        given = run.config["resources"]
        hours, memory = expected.seconds / 3600, expected.probed.memory_mb * 1.048576 / 1000
        where = f"of {run.design} on {run.task}"
        if given["hours"] is not None and given["hours"] < hours:
            text = f"resources.hours is {given['hours']:g}, and a run {where} is expected to take {hours:.2g}"
            found[f"{text}: several allocations, one after another, carry it"].add(run.hex)
        if given["memory_gb"] is not None and given["memory_gb"] < memory:
            text = f"resources.memory_gb is {given['memory_gb']:g}, and a run {where} took {memory:.2g}"
            found[f"{text}: it will be killed for its memory"].add(run.hex)
        if (given["runs_per_gpu"] or 1) > expected.runs_per_gpu and expected.gpu_gb and given["gpus"]:
            text = f"resources.runs_per_gpu is {given['runs_per_gpu']}, and {expected.runs_per_gpu} fit: one {where}"
            found[f"{text} takes {expected.gpu_gb:.1f} GB of the GPU"].add(run.hex)
    return [f"{text} ({len(hexes)} run{'s' * (len(hexes) != 1)})" for text, hexes in found.items()]
