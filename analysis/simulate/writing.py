"""Writes simulated studies to disk, so that every verb of `wm` reads them as studies that were run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from analysis.inference.estimate import generator
from analysis.simulate.reached import Reached, arrays, reached
from analysis.simulate.rundirs import write_run
from analysis.simulate.world import Draw, World
from analysis.study import PlannedRun, Study
from harness.config import RunConfig
from harness.errors import UserError
from harness.rundir import PLAN, SIMULATED, write_atomically

_CHUNK = 8
Job = tuple[Path, RunConfig, Reached, tuple[object, ...], bool]


def refuse_existing(studies: Sequence[Study]) -> None:
    """Refuses to write where there is something.

    Raises:
        UserError: a directory exists, whatever it holds.
    """
    for study in studies:
        if study.path.exists():
            what = "is simulated" if (study.path / SIMULATED).exists() else "was not simulated"
            raise UserError(
                f"{study.path} exists and {what}: nothing is written into it; choose another --name, or remove it"
            )


def write_studies(
    world: World,
    drawn: Draw,
    files: Mapping[str, str],
    mark: Mapping[str, Any],
    *,
    pictures: bool = True,
    workers: int = 1,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Writes the studies of a world, as a draw has them, into directories that do not exist yet.

    Args:
        world: whose studies say where.
        drawn: of the world.
        files: study.yaml of each study, by name.
        mark: what `SIMULATED` says beside `simulated: true`, such as the effects and the seed.
        pictures: with forecasts.
        workers: processes.
        progress: is told how many runs are written.

    Raises:
        UserError: a directory exists.
    """
    refuse_existing(world.studies)
    for study in world.studies:
        study.path.mkdir(parents=True)
        content = {"simulated": True, "by": "wm simulate", **mark}
        write_atomically(study.path / SIMULATED, json.dumps(content, indent=1) + "\n")
        (study.path / "runs").mkdir()
        write_atomically(study.path / PLAN, "".join(_line(run, world.configs[run.id]) for run in study.runs))
        write_atomically(study.path / "study.yaml", files[study.name])
    jobs = list(_jobs(world, drawn, pictures, str(mark.get("seed"))))
    if workers == 1:
        for number, job in enumerate(jobs, 1):
            _write(job)
            progress(number)
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for number, _ in enumerate(pool.map(_write, jobs, chunksize=_CHUNK), 1):
            progress(number)


def _line(run: PlannedRun, config: RunConfig) -> str:
    line = {"id": run.id, "hex": run.id[-12:], "design": config.label, "task": run.task, "seed": run.seed}
    return json.dumps(line | {"config": run.config}, separators=(",", ":")) + "\n"


def _jobs(world: World, drawn: Draw, pictures: bool, seed: str) -> Iterator[Job]:
    found = arrays(world, drawn)
    index = {run: i for i, run in enumerate(world.frame["run"])}
    for study in world.studies:
        for run in study.runs:
            what = reached(world, drawn, found, index[run.id])
            yield run.path, world.configs[run.id], what, ("run", seed, run.id), pictures


def _write(job: Job) -> None:
    path, config, run, key, pictures = job
    write_run(path, config, run, generator(*key), pictures=pictures)
