"""summary.npz: metrics.jsonl by column, so that a study of thousands of runs loads fast. Torch-free."""

from __future__ import annotations

import hashlib
import json
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.disk import save_arrays
from harness.rundir import SCHEMA_VERSION, Ending, RunDir


def write_summary(run: RunDir, ending: str) -> None:
    """Writes `summary.npz` from metrics.jsonl: an array ``<kind>/<field>`` over the records of each kind.

    Numbers are float64 with NaN for null, whole numbers int64, text unicode, lists over the horizon [n, H].
    `meta` is a JSON text with the run's ending and the digest of metrics.jsonl.
    """
    data = run.metrics.read_bytes()
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for line in data.splitlines():
        record = json.loads(line)
        by_kind.setdefault(record.pop("kind"), []).append(record)
    arrays: dict[str, NDArray[Any]] = {}
    for kind, records in sorted(by_kind.items()):
        for name in sorted({name for record in records for name in record} - {"nonfinite"}):
            arrays[f"{kind}/{name}"] = _column([record.get(name) for record in records])
    meta = {"schema": SCHEMA_VERSION, "id": run.id, "ending": ending, "metrics_sha256": _digest(data)}
    save_arrays(run.summary, {"meta": np.array(json.dumps(meta)), **arrays})


def summarised_ending(run: RunDir) -> Ending | None:
    """The ending that a summary records, if it is whole and of today's metrics.jsonl; else None.

    A run killed after its summary was written has computed everything: only the tidying up is left.
    """
    if not run.summary.exists() or not run.metrics.exists():
        return None
    try:
        with np.load(run.summary, allow_pickle=False) as arrays:
            meta = json.loads(str(arrays["meta"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return meta["ending"] if meta["metrics_sha256"] == _digest(run.metrics.read_bytes()) else None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _column(values: list[Any]) -> NDArray[Any]:
    if any(isinstance(value, str) for value in values):
        return np.array(["" if value is None else value for value in values])
    if any(isinstance(value, list) for value in values):
        width = max(len(value) for value in values if value is not None)
        rows = [[np.nan] * width if value is None else value for value in values]
        return np.array([[np.nan if x is None else x for x in row] for row in rows], np.float64)
    if all(isinstance(value, int) for value in values):
        return np.array(values, np.int64)
    return np.array([np.nan if value is None else value for value in values], np.float64)
