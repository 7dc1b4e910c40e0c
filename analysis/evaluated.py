"""What `wm evaluate --save` left beside a run: its errors on other data, as eval/<dataset>.json."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from harness.rundir import RunDir, RunState

SCHEMA = 1
OF_THE_RUN = ("probe", "own", "heldout")
"""What a run measures itself; a file of such a name would count twice."""
COLUMNS = ("dataset", "part", "digest")


def read_evaluated(run: RunDir) -> tuple[list[dict[str, Any]], list[str]]:
    """The files that can be read, by the name of their dataset, and a note for each that cannot."""
    found, notes = [], []
    for file in sorted(run.evaluation.glob("*.json")) if run.evaluation.is_dir() else ():
        try:
            content = json.loads(file.read_bytes())
            whole = all(isinstance(content[name], str) and content[name] for name in COLUMNS)
            known = content["schema"] == SCHEMA and content["dataset"] not in OF_THE_RUN
            lists = _lists(content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            whole = known = False
            lists = {}
        if whole and known and lists:
            found.append(content)
        else:
            notes.append(f"{run.id}: eval/{file.name} cannot be read; `wm evaluate --save` writes it again")
    return found, notes


def evaluated_rows(key: dict[str, Any], contents: list[dict[str, Any]]) -> pd.DataFrame:
    """One row a dataset: which episodes of it were measured."""
    rows = [key | {name: content[name] for name in COLUMNS} for content in contents]
    return pd.DataFrame(rows, columns=[*key, *COLUMNS])


def open_loop_rows(
    key: dict[str, Any], contents: list[dict[str, Any]], state: RunState | None
) -> list[pd.DataFrame]:
    """The errors as rows of `Results.open_loop`: the weights are those of the final phase."""
    where = {"phase": "final", "iteration": state.iteration if state else 0}
    where |= {"env_steps": state.env_steps if state else 0}
    return [
        pd.DataFrame(
            key
            | where
            | {"dataset": content["dataset"], "step": np.arange(1, len(values) + 1)}
            | {"metric": metric, "value": values}
        )
        for content in contents
        for metric, values in _lists(content).items()
    ]


def _lists(content: dict[str, Any]) -> dict[str, list[float]]:
    """The lists over the horizon, NaN for null."""
    return {
        name: [float("nan") if value is None else float(value) for value in values]
        for name, values in content["open_loop"].items()
        if isinstance(values, list)
    }
