"""Studies on disk become tidy frames: runs, episodes, evaluations, open_loop, coverage, evaluated."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.cache import read_runs
from analysis.frames import RunData, frames
from analysis.labels import design_labels
from analysis.pictures import Forecasts
from analysis.results import AXES, COSTS, KEYS, Read, Results
from analysis.study import PlannedRun, Study, read_study
from analysis.unbundle import unbundle
from analysis.versions import base, configured, keyed, named_apart
from analysis.words import plural
from harness.config import RunConfig
from harness.errors import UserError

__all__ = ["AXES", "COSTS", "KEYS", "Results", "load"]
Progress = Callable[[int, int], None]


def load(studies: Sequence[Path], progress: Progress | None = None, *, cache: bool = True) -> Results:
    """Reads the studies' run directories; a run that two studies share counts once.

    Args:
        studies: directories RUNS/<study>, and bundles (`analysis.bundle`).
        progress: is told how many runs are read, of how many.
        cache: whether what was read before of finished runs is used, and kept (`analysis.cache`).

    Raises:
        UserError: no study was given, or one cannot be read, or a bundle was changed; damaged runs are notes instead.
    """
    if not studies:
        raise UserError("name at least one study to report on")
    read: list[Study] = []
    data: dict[Path, RunData] = {}
    folders = []
    for path in dict.fromkeys(Path(study).absolute() for study in studies):
        if path.is_file():
            bundle = unbundle(path)
            folders.append(bundle.folder)
            read += bundle.studies
            data |= bundle.data
        else:
            read.append(read_study(path))
    read = named_apart(read)
    paths = dict.fromkeys(run.path for study in read for run in study.runs if run.path not in data)
    data |= read_runs(list(paths), progress, keep=cache)
    results = assembled(read, data)
    for folder in folders:  # read from as long as the results are used
        weakref.finalize(results.pictures, shutil.rmtree, folder, ignore_errors=True)
    return results


def assembled(read: Sequence[Study], data: Mapping[Path, RunData]) -> Results:
    """The results of studies from what the directories of their runs hold."""
    made = {run.id: run for study in read for run in study.runs}
    configs = {run.id: _config(run) for run in made.values()}
    alike = {run: configured(config, run) for run, config in configs.items()}
    found = keyed(read, {path: run.facts for path, run in data.items()}, alike)
    planned = found.runs
    notes = [*(note for study in read for note in study.notes), *found.notes]
    configs = {run.id: configs[base(run.id)] for run in planned}
    unread = sum(config is None for config in configs.values())
    if unread:
        notes.append(f"{unread} configurations are not of this version of wm and are shown as they stand")
    made_up = sum(bool(data[run.path].facts.get("simulated")) for run in planned)
    if made_up:
        notes.insert(
            0, f"simulated data: {made_up} of {plural(len(planned), 'run')} were made up by `wm simulate`"
        )
    labels = design_labels(planned, configs, found.of_run)
    keys = [(run.id, labels[run.id], run.task, run.seed) for run in planned]
    rows = []
    for key, run in zip(keys, planned, strict=True):
        facts = data[run.path].facts
        notes += facts["notes"]
        row = _row(run, configs[run.id], facts)
        row |= {"version": found.of_run.get(run.id, ""), "configured": alike[base(run.id)]}
        rows.append(dict(zip(KEYS, key, strict=True)) | row)
    by_kind = frames(keys, [data[run.path] for run in planned])
    return Results(
        found.studies,
        pd.DataFrame(rows),
        by_kind["episode"],
        by_kind["evaluation"],
        by_kind["open_loop"],
        tuple(notes),
        configs,
        by_kind["coverage"],
        by_kind["evaluated"],
        found.versions,
        Forecasts({run.id: str(run.path) for run in planned}),
        Read(tuple(read), {path: run.facts for path, run in data.items()}),
    )


def _config(run: PlannedRun) -> RunConfig | None:
    try:
        return RunConfig.model_validate(run.config)
    except (ValueError, TypeError, UserError):
        return None


def _row(run: PlannedRun, config: RunConfig | None, facts: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `Results.runs`: what was planned, then what the run's files say."""
    content = config.model_dump(mode="json") if config is not None else run.config
    row: dict[str, Any] = {"study": run.study, "reused_from": run.reused_from}
    row["agent"] = content.get("agent", "model")
    row |= {axis: content.get(axis) for axis in AXES}
    row |= {name: value for name, value in facts.items() if name not in _LAST | {"notes"}}
    row["iterations"] = _planned_iterations(content, facts)
    row |= {name: content.get("model", {}).get(name) for name in ("context", "variant")}
    row["own_model"] = content.get("model", {}).get("name", "auto") != "auto"
    legacy = content.get("legacy") or {}
    row["legacy"] = "+".join(name for name in sorted(legacy) if legacy[name])
    row["precision"] = content.get("train", {}).get("precision")
    return row | {name: facts[name] for name in ("source", "metrics_sha256")} | {"path": str(run.path)}


_LAST = {"source", "metrics_sha256"}


def _planned_iterations(content: dict[str, Any], facts: Mapping[str, Any]) -> int:
    if content.get("agent", "model") != "model":
        return 0
    return int(content.get("train", {}).get("episodes") or facts["iterations"])
