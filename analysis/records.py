"""One run's records: from summary.npz where that is current, else from metrics.jsonl, finished or not."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from harness.rundir import RunDir, read_jsonl

Column = npt.NDArray[Any]
Kinds = dict[str, dict[str, Column]]
KINDS = ("episode", "evaluation", "open_loop", "coverage", "cost")
"""The kinds of records that the analysis uses."""


@dataclass(frozen=True)
class Records:
    """The records by kind and field: arrays over the records of a kind; horizon lists are [n, H].

    Attributes:
        source: the file that was read.
        digest: SHA-256 of metrics.jsonl.
        note: what was wrong with the files, or the empty string.
    """

    kinds: Kinds
    source: Literal["summary.npz", "metrics.jsonl", "none"]
    digest: str = ""
    note: str = ""

    def column(self, kind: str, name: str) -> Column | None:
        """One field over the records of a kind; None if no record has it."""
        return self.kinds.get(kind, {}).get(name)


def read_records(run: RunDir) -> Records:
    """Reads a run's records; a file that is damaged is used as far as it goes, and `note` says so.

    summary.npz is used if it is of today's metrics.jsonl, or if metrics.jsonl has lost what the summary holds.
    """
    digest = hashlib.sha256(run.metrics.read_bytes()).hexdigest() if run.metrics.exists() else ""
    note = ""
    summary = None
    if run.summary.exists():
        try:
            kinds, expected = _read_summary(run)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            note = f"{run.id}: summary.npz cannot be read ({type(error).__name__}), metrics.jsonl is used"
        else:
            summary = Records(kinds, "summary.npz", expected)
            if digest in {"", expected}:
                return summary
            note = f"{run.id}: summary.npz is not of this metrics.jsonl, which is used"
    records, whole = _readable(run)
    if summary is not None and not (whole and _is_final(records)):
        note = f"{run.id}: metrics.jsonl was damaged since the run ended; summary.npz is used"
        return replace(summary, note=note)
    if not digest:
        return Records({}, "none", "", note)
    if not whole:
        note = f"{run.id}: metrics.jsonl is damaged after {len(records)} records, which are used"
    return Records(_columns(records), "metrics.jsonl", digest, note)


def _readable(run: RunDir) -> tuple[list[dict[str, Any]], bool]:
    """The records before the first line that is not JSON, and whether these are all."""
    records: list[dict[str, Any]] = []
    try:
        records.extend(read_jsonl(run.metrics, set(KINDS)))  # extends as far as it gets
    except ValueError:
        return records, False
    return records, True


def _is_final(records: list[dict[str, Any]]) -> bool:
    return any(record.get("phase") == "final" for record in records)


def _read_summary(run: RunDir) -> tuple[Kinds, str]:
    kinds: Kinds = {}
    with run.summary.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        for key in file.files:
            kind, _, name = key.partition("/")
            if kind in KINDS:
                kinds.setdefault(kind, {})[name] = file[key]
        meta = json.loads(str(file["meta"]))
    return kinds, str(meta["metrics_sha256"])


def _columns(records: list[dict[str, Any]]) -> Kinds:
    kinds: Kinds = {}
    for kind in KINDS:
        chosen = [record for record in records if record["kind"] == kind]
        names = dict.fromkeys(
            name for record in chosen for name in record if name not in {"kind", "nonfinite"}
        )
        if chosen:
            kinds[kind] = {name: as_column([record.get(name) for record in chosen]) for name in names}
    return kinds


def as_column(values: list[Any]) -> Column:
    """An array of one field: text, [n, H] of lists (padded with NaN), int64, or float64 with NaN for null."""
    given = [value for value in values if value is not None]
    if given and all(isinstance(value, str) for value in given):
        return np.array(["" if value is None else value for value in values])
    if any(isinstance(value, list) for value in given):
        width = max(len(value) for value in given if isinstance(value, list))
        table = np.full((len(values), width), np.nan)
        for row, value in zip(table, values, strict=True):
            if isinstance(value, list):
                row[: len(value)] = [np.nan if x is None else x for x in value]
        return table
    if given and len(given) == len(values) and all(type(value) is int for value in values):
        return np.array(values, dtype=np.int64)
    return np.array([_number(value) for value in values], dtype=np.float64)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
