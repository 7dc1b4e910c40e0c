"""Studies on disk become tidy frames: runs, episodes, evaluations, open_loop, coverage, evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.evaluated import COLUMNS as EVALUATED
from analysis.evaluated import evaluated_rows, open_loop_rows, read_evaluated
from analysis.labels import design_labels
from analysis.records import Records, read_records
from analysis.study import PlannedRun, Study, read_study
from harness.config import RunConfig
from harness.errors import UserError
from harness.rundir import RunDir, RunState

AXES = ("predict", "space", "dynamics", "reward_from", "reward_gradient", "image_fraction", "size")
COSTS = (
    "parameters",
    "training_parameters",
    "flops_per_step",
    "train_seconds",
    "plan_seconds",
    "collect_seconds",
    "wall_seconds",
    "peak_memory_mb",
)
KEYS = ("run", "design", "task", "seed")
_POINTS = ("iteration", "env_steps", "grad_steps")


@dataclass(frozen=True)
class Results:
    """What the studies planned and what there is of it. All frames have run, design, task and seed.

    Attributes:
        studies: as given, in this order.
        runs: one row a planned run: study, agent, the axes, state (`pending` if it was not begun), progress,
            costs, confounds, `final` (whether the final phase is complete), source, digest.
        episodes: one row a training episode: iteration, env_steps, grad_steps, episode, return, length, behaviour.
        evaluations: one row a noise-free episode: the same with phase in place of behaviour.
        open_loop: one row a value: phase, dataset, iteration, env_steps, step (1..H), metric, value. Every record
            of the final phase, and the last scheduled one of each dataset; also what `wm evaluate --save` measured of
            the final weights.
        notes: what a reader of the report must know about the data.
        configs: the planned configuration by run; None where it is not of this version.
        coverage: one row an iteration of collecting: iteration, env_steps, grad_steps, entropy (nats, of states
            standardised by the task's probe), knn_distance, states (measured), episodes; of an offline run one row,
            of its dataset.
        evaluated: one row a run and dataset that it was evaluated on afterwards: dataset, part, digest.
    """

    studies: tuple[Study, ...]
    runs: pd.DataFrame
    episodes: pd.DataFrame
    evaluations: pd.DataFrame
    open_loop: pd.DataFrame
    notes: tuple[str, ...]
    configs: Mapping[str, RunConfig | None] = field(default_factory=dict)
    coverage: pd.DataFrame = field(default_factory=pd.DataFrame)
    evaluated: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=[*KEYS, *EVALUATED]))

    @property
    def designs(self) -> list[str]:
        """Names of the designs that are compared, in the order of the plan."""
        return [str(name) for name in self.runs.loc[self.runs["agent"] == "model", "design"].unique()]

    def agents(self, agent: str) -> list[str]:
        """Names of the forms of an agent that is no model (`random`, `oracle`), in the order of the plan."""
        return [str(name) for name in self.runs.loc[self.runs["agent"] == agent, "design"].unique()]

    @property
    def baselines(self) -> list[str]:
        """Names of the agents that are no models: the random agent, then the forms of the oracle."""
        return [*self.agents("random"), *self.agents("oracle")]

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks, in the order of the plan."""
        return [str(name) for name in self.runs["task"].unique()]

    @property
    def image_designs(self) -> list[str]:
        """Names of the designs that predict images."""
        chosen = self.runs[(self.runs["agent"] == "model") & (self.runs["predict"] == "images")]
        return [str(name) for name in chosen["design"].unique()]


def load(studies: Sequence[Path]) -> Results:
    """Reads the studies' run directories; a run that two studies share counts once.

    Raises:
        UserError: no study was given, or one cannot be read; damaged runs are notes instead.
    """
    if not studies:
        raise UserError("name at least one study to report on")
    read = tuple(read_study(Path(path)) for path in dict.fromkeys(Path(p).absolute() for p in studies))
    planned = list({run.id: run for study in read for run in study.runs}.values())
    notes = [note for study in read for note in study.notes]
    configs = {run.id: _config(run) for run in planned}
    unread = [run for run, config in configs.items() if config is None]
    if unread:
        notes.append(
            f"{len(unread)} configurations are not of this version of wm and are shown as they stand"
        )
    labels = design_labels(planned, configs)
    rows: list[dict[str, Any]] = []
    kinds = ("episode", "evaluation", "open_loop", "coverage", "evaluated")
    parts: dict[str, list[pd.DataFrame]] = {kind: [] for kind in kinds}
    for run in planned:
        directory = RunDir(run.path)
        records = read_records(directory)
        state, damage = _state(directory)
        evaluated, unreadable = read_evaluated(directory)
        notes += [note for note in (records.note, damage, *unreadable) if note]
        key = dict(zip(KEYS, (run.id, labels[run.id], run.task, run.seed), strict=True))
        rows.append(key | _run_row(run, configs[run.id], directory, state, records))
        for kind in _FLAT:
            parts[kind].append(_flat(key, records, kind))
        parts["open_loop"] += [_long(key, records), *open_loop_rows(key, evaluated, state)]
        parts["evaluated"].append(evaluated_rows(key, evaluated))
    frames = {kind: pd.concat(frame, ignore_index=True) for kind, frame in parts.items()}
    return Results(
        read,
        pd.DataFrame(rows),
        frames["episode"],
        frames["evaluation"],
        frames["open_loop"],
        tuple(notes),
        configs,
        frames["coverage"],
        frames["evaluated"],
    )


def _config(run: PlannedRun) -> RunConfig | None:
    try:
        return RunConfig.model_validate(run.config)
    except (ValueError, TypeError, UserError):
        return None


def _state(directory: RunDir) -> tuple[RunState | None, str]:
    try:
        state = directory.read_state()
    except (ValueError, TypeError, AttributeError):
        state = None
    if state is None and directory.state_file.exists():
        return None, f"{directory.id}: state.json cannot be read"
    return state, ""


def _run_row(
    run: PlannedRun, config: RunConfig | None, directory: RunDir, state: RunState | None, records: Records
) -> dict[str, Any]:
    content = config.model_dump(mode="json") if config is not None else run.config
    row: dict[str, Any] = {
        "study": run.study,
        "reused_from": run.reused_from,
        "agent": content.get("agent", "model"),
    }
    row |= {axis: content.get(axis) for axis in AXES}
    row["state"] = state.state if state else "unreadable" if directory.state_file.exists() else "pending"
    row["error"] = f"{state.error.kind}: {state.error.message}" if state and state.error else None
    row["iteration"] = state.iteration if state else 0
    row["iterations"] = _planned_iterations(content, state)
    row["progress"] = state.progress if state else 0.0
    row |= {name: _last(records, "cost", name) for name in COSTS}
    row["probe"] = _last_text(records, "cost", "probe")
    row["coverage"] = _last(records, "coverage", "entropy")
    row |= {name: content.get("model", {}).get(name) for name in ("context", "variant")}
    row["own_model"] = content.get("model", {}).get("name", "auto") != "auto"
    legacy = content.get("legacy") or {}
    row["legacy"] = "+".join(name for name in sorted(legacy) if legacy[name])
    row["precision"] = content.get("train", {}).get("precision")
    row |= _attempts(directory)
    phases = records.column("evaluation", "phase")
    row["final"] = bool(phases is not None and (phases == "final").any() and row["state"] == "done")
    row |= {"source": records.source, "metrics_sha256": records.digest, "path": str(directory.path)}
    return row


def _planned_iterations(content: dict[str, Any], state: RunState | None) -> int:
    if content.get("agent", "model") != "model":
        return 0
    return int(content.get("train", {}).get("episodes") or (state.iterations if state else 0))


def _attempts(directory: RunDir) -> dict[str, Any]:
    """What the attempts ran on; several values joined by `+`."""
    try:
        lines = directory.read_attempts()
    except ValueError:
        lines = []
    starts = [line for line in lines if line.get("event") == "start"]
    row: dict[str, Any] = {"attempts": len(starts)}
    for name in ("code", "environment", "device", "rendering", "threads"):
        values = dict.fromkeys(str(start[name]) for start in starts if start.get(name) is not None)
        row[name] = "+".join(values) or None
    return row


def _last(records: Records, kind: str, name: str) -> float:
    column = records.column(kind, name)
    return (
        float(column[-1])
        if column is not None and len(column) and column.dtype.kind in "if"
        else float("nan")
    )


def _last_text(records: Records, kind: str, name: str) -> str | None:
    column = records.column(kind, name)
    return str(column[-1]) if column is not None and len(column) else None


_FLAT = {
    "episode": (*_POINTS, "episode", "return", "length", "behaviour"),
    "evaluation": (*_POINTS, "episode", "return", "length", "phase"),
    "coverage": (*_POINTS, "entropy", "knn_distance", "states", "episodes"),
}
_TEXT = {"behaviour", "phase"}
_REAL = {"return", "entropy", "knn_distance"}


def _flat(key: dict[str, Any], records: Records, kind: str) -> pd.DataFrame:
    """The records of a kind, one row each; counts are int64, measured numbers float64."""
    count = len(next(iter(records.kinds.get(kind, {}).values()), ()))
    frame: dict[str, Any] = {name: np.full(count, value) for name, value in key.items()}
    for name in _FLAT[kind]:
        column = records.column(kind, name)
        if column is None:
            column = np.full(count, "" if name in _TEXT else np.nan)
        whole = name not in _TEXT | _REAL and column.dtype.kind == "f" and np.isfinite(column).all()
        frame[name] = column.astype(np.int64) if whole else column
    return pd.DataFrame(frame).astype({"run": str, "design": str, "task": str, "seed": np.int64})


def _long(key: dict[str, Any], records: Records) -> pd.DataFrame:
    """The open-loop records as one row a value."""
    parts = []
    columns = records.kinds.get("open_loop", {})
    lists = {name: column for name, column in columns.items() if column.ndim == 2}
    for row in _chosen(columns):
        where = {
            name: columns[name][row]
            for name in ("phase", "dataset", "iteration", "env_steps")
            if name in columns
        }
        for metric, column in lists.items():
            values = column[row]
            steps = np.arange(1, len(values) + 1)
            parts.append(pd.DataFrame(key | where | {"step": steps, "metric": metric, "value": values}))
    if parts:
        return pd.concat(parts, ignore_index=True)
    names = [*KEYS, "phase", "dataset", "iteration", "env_steps", "step", "metric", "value"]
    return pd.DataFrame({name: pd.Series(dtype=_LONG_TYPES.get(name, "object")) for name in names})


_LONG_TYPES = {
    "seed": "int64",
    "iteration": "int64",
    "env_steps": "int64",
    "step": "int64",
    "value": "float64",
}


def _chosen(columns: dict[str, Any]) -> list[int]:
    """Rows to keep: all of the final phase, the last scheduled one of each dataset."""
    if "phase" not in columns or "dataset" not in columns:
        return []
    last: dict[tuple[str, str, int], int] = {}
    for row, (phase, dataset) in enumerate(zip(columns["phase"], columns["dataset"], strict=True)):
        last[str(phase), str(dataset), row if phase == "final" else 0] = row
    return sorted(last.values())
