"""What `wm evaluate --save` left beside a run: its errors on other data, as eval/<dataset>.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harness.rundir import RunDir

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
            lists = error_lists(content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            whole = known = False
            lists = {}
        if whole and known and lists:
            found.append(content)
        else:
            notes.append(f"{run.id}: eval/{file.name} cannot be read; `wm evaluate --save` writes it again")
    return found, notes


def error_lists(content: Mapping[str, Any]) -> dict[str, list[float]]:
    """The lists over the horizon, NaN for null."""
    return {
        name: [float("nan") if value is None else float(value) for value in values]
        for name, values in content["open_loop"].items()
        if isinstance(values, list)
    }
