"""What one run's files hold, as facts and columns; and the columns of many runs as one frame of each kind."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.evaluated import COLUMNS as EVALUATED
from analysis.evaluated import error_lists, read_evaluated
from analysis.records import Records, read_records
from analysis.results import COSTS, KEYS
from harness.rundir import RunDir, RunState

Column = npt.NDArray[Any]
_POINTS = ("iteration", "env_steps", "grad_steps")
KINDS: dict[str, tuple[str, ...]] = {
    "episode": (*_POINTS, "episode", "return", "length", "behaviour"),
    "evaluation": (*_POINTS, "episode", "return", "length", "phase"),
    "coverage": (*_POINTS, "entropy", "knn_distance", "states", "episodes"),
    "open_loop": ("phase", "dataset", "iteration", "env_steps", "step", "metric", "value"),
    "evaluated": EVALUATED,
}
"""The frames, and their columns beside `KEYS`."""
TEXT = frozenset({"behaviour", "phase", "metric", *EVALUATED})
_REAL = {"return", "entropy", "knn_distance", "value"}


@dataclass(frozen=True)
class Text:
    """A column of text: `names[codes]`."""

    codes: npt.NDArray[np.int32]
    names: Sequence[str]


@dataclass(frozen=True)
class RunData:
    """What a run's files hold, whatever was planned of it.

    Attributes:
        facts: its state, what it ran on, its costs, and `notes`; JSON data.
        rows: how many rows there are of each kind (the keys of `KINDS`).
        columns: by kind and field; `frames` takes them out.
    """

    facts: dict[str, Any]
    rows: Mapping[str, int]
    columns: MutableMapping[str, Mapping[str, Column | Text]]


def read_run(directory: RunDir) -> RunData:
    """Reads a run's files; what is damaged is used as far as it goes, and noted."""
    records = read_records(directory)
    state, damage = _state(directory)
    evaluated, unreadable = read_evaluated(directory)
    data = run_data(records, state, _starts(directory), evaluated)
    if damage:
        data.facts["state"] = "unreadable"
    data.facts["notes"] = [note for note in (records.note, damage, *unreadable) if note]
    return data


def run_data(
    records: Records,
    state: RunState | None,
    starts: Sequence[Mapping[str, Any]],
    evaluated: Sequence[Mapping[str, Any]] = (),
) -> RunData:
    """What a run's files would hold.

    Args:
        records: of metrics.jsonl.
        state: of state.json; None if no attempt has begun.
        starts: the `start` lines of attempts.jsonl.
        evaluated: the files of eval/.
    """
    facts = _facts(records, state, starts)
    columns: dict[str, Mapping[str, Column | Text]]
    columns = {kind: _flat(records, kind) for kind in ("episode", "evaluation", "coverage")}
    columns["open_loop"] = _open_loop(records, evaluated, state)
    columns["evaluated"] = {name: _coded([content[name] for content in evaluated]) for name in EVALUATED}
    return RunData(facts, {kind: _rows(found) for kind, found in columns.items()}, columns)


def _rows(columns: Mapping[str, Column | Text]) -> int:
    column = next(iter(columns.values()))
    return len(column.codes if isinstance(column, Text) else column)


def frames(keys: Sequence[tuple[str, str, str, int]], runs: Sequence[RunData]) -> dict[str, pd.DataFrame]:
    """A frame of each kind, the runs in the order given.

    Args:
        keys: run, design, task and seed of each.
        runs: their data, whose columns are used up, so that they are in memory once.
    """
    return {kind: _frame(kind, keys, runs) for kind in KINDS}


def _frame(kind: str, keys: Sequence[tuple[str, str, str, int]], runs: Sequence[RunData]) -> pd.DataFrame:
    counts = np.array([run.rows[kind] for run in runs], dtype=np.int64)
    frame: dict[str, Any] = {}
    for name, values in zip(KEYS[:3], ([key[i] for key in keys] for i in range(3)), strict=True):
        found = _coded(list(map(str, values)))
        frame[name] = _categorical(Text(np.repeat(found.codes, counts), found.names))
    frame["seed"] = np.repeat(np.array([key[3] for key in keys], dtype=np.int64), counts)
    there = [run.columns.pop(kind) for run, count in zip(runs, counts, strict=True) if count]
    for name in KINDS[kind]:
        column = joined([columns[name] for columns in there], name)
        frame[name] = _categorical(column) if isinstance(column, Text) else column
    return pd.DataFrame(frame, copy=False)


def _type_of(name: str) -> type:
    return str if name in TEXT else float if name in _REAL else int


def joined(parts: Sequence[Column | Text], name: str) -> Column | Text:
    """A field's columns one after another."""
    if name not in TEXT:
        arrays = [part for part in parts if isinstance(part, np.ndarray)]
        return np.concatenate(arrays) if arrays else np.empty(0, dtype=_type_of(name))
    known: dict[str, int] = {}
    codes = []
    for part in parts:
        assert isinstance(part, Text)
        new = np.array([known.setdefault(each, len(known)) for each in part.names], dtype=np.int32)
        codes.append(new[part.codes])
    return Text(np.concatenate(codes) if codes else np.empty(0, np.int32), list(known))


def _categorical(text: Text) -> pd.Categorical:
    """Its categories are those that occur, in alphabetical order, so that frames sort and group as text does."""
    occur = np.bincount(text.codes, minlength=len(text.names)).nonzero()[0].tolist()
    order: list[int] = sorted(occur, key=text.names.__getitem__)
    rank = np.zeros(len(text.names), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    names = pd.Index([text.names[i] for i in order], dtype="str")
    return pd.Categorical.from_codes(rank[text.codes], categories=names)


def _coded(values: Sequence[str] | Column) -> Text:
    names, codes = np.unique(np.asarray(values, dtype=np.str_), return_inverse=True)
    return Text(codes.astype(np.int32), [str(name) for name in names])


def _state(directory: RunDir) -> tuple[RunState | None, str]:
    try:
        state = directory.read_state()
    except (ValueError, TypeError, AttributeError):
        state = None
    if state is None and directory.state_file.exists():
        return None, f"{directory.id}: state.json cannot be read"
    return state, ""


def _facts(records: Records, state: RunState | None, starts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "state": state.state if state else "pending",
        "error": f"{state.error.kind}: {state.error.message}" if state and state.error else None,
        "iteration": state.iteration if state else 0,
        "iterations": state.iterations if state else 0,
        "progress": state.progress if state else 0.0,
    }
    facts |= {name: _last(records, "cost", name) for name in COSTS}
    facts["probe"] = _last_text(records, "cost", "probe")
    facts["coverage"] = _last(records, "coverage", "entropy")
    facts |= _attempts(starts)
    phases = records.column("evaluation", "phase")
    facts["final"] = bool(phases is not None and (phases == "final").any() and facts["state"] == "done")
    return facts | {"source": records.source, "metrics_sha256": records.digest, "notes": []}


def _starts(directory: RunDir) -> list[dict[str, Any]]:
    """The `start` lines of attempts.jsonl; none where it is damaged."""
    try:
        lines = directory.read_attempts()
    except ValueError:
        lines = []
    return [line for line in lines if line.get("event") == "start"]


def _attempts(starts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the attempts ran on; several values joined by `+`."""
    row: dict[str, Any] = {"attempts": len(starts)}
    row["simulated"] = any(start.get("simulated") for start in starts)
    for name in ("code", "commit", "environment", "device", "rendering", "threads"):
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


def _flat(records: Records, kind: str) -> dict[str, Column | Text]:
    """The records of a kind, one row each; counts are int64, measured numbers float64."""
    count = len(next(iter(records.kinds.get(kind, {}).values()), ()))
    return {name: _column(records.column(kind, name), name, count) for name in KINDS[kind]}


def _column(column: Column | None, name: str, count: int) -> Column | Text:
    kind = _type_of(name)
    if kind is str:
        return _coded(column if column is not None else [""] * count)
    if column is None or column.ndim != 1 or column.dtype.kind not in "if":
        column = np.full(count, np.nan)
    if kind is float:
        return column.astype(np.float64)
    return column.astype(np.int64) if np.isfinite(column).all() else column


def _open_loop(
    records: Records, evaluated: Sequence[Mapping[str, Any]], state: RunState | None
) -> dict[str, Column | Text]:
    """One row a value: of the records to keep, and of what was evaluated afterwards (with the final weights)."""
    columns = records.kinds.get("open_loop", {})
    lists = {name: column for name, column in columns.items() if column.ndim == 2}
    cells: list[tuple[Any, ...]] = []
    for row in _chosen(columns):
        where = [int(columns[name][row]) if name in columns else 0 for name in ("iteration", "env_steps")]
        place = (str(columns["phase"][row]), str(columns["dataset"][row]), *where)
        cells += [(*place, metric, column[row]) for metric, column in lists.items()]
    reached = (state.iteration, state.env_steps) if state else (0, 0)
    for content in evaluated:
        place = ("final", content["dataset"], *reached)
        cells += [(*place, metric, np.array(values)) for metric, values in error_lists(content).items()]
    lengths = [len(cell[-1]) for cell in cells]
    steps = np.concatenate([np.arange(1, n + 1) for n in lengths]) if cells else np.empty(0, np.int64)
    values = np.concatenate([cell[-1] for cell in cells]) if cells else np.empty(0)
    found: dict[str, Column | Text] = {"step": steps.astype(np.int64), "value": values.astype(np.float64)}
    for i, name in enumerate(("phase", "dataset", "iteration", "env_steps", "metric")):
        if name in TEXT:
            text = _coded([cell[i] for cell in cells])
            found[name] = Text(np.repeat(text.codes, lengths), text.names)
        else:
            found[name] = np.repeat(np.array([cell[i] for cell in cells], dtype=np.int64), lengths)
    return {name: found[name] for name in KINDS["open_loop"]}


def _chosen(columns: Mapping[str, Column]) -> list[int]:
    """Rows to keep: all of the final phase, the last scheduled one of each dataset."""
    if "phase" not in columns or "dataset" not in columns:
        return []
    last: dict[tuple[str, str, int], int] = {}
    for row, (phase, dataset) in enumerate(zip(columns["phase"], columns["dataset"], strict=True)):
        last[str(phase), str(dataset), row if phase == "final" else 0] = row
    return sorted(last.values())
