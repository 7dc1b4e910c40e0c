"""Runs that have no score: how they ended, those alike together."""

from __future__ import annotations

import re

import pandas as pd

from analysis.load import Results
from analysis.tables import Table
from analysis.words import plural, short_task

_SHOWN = 4
_NUMBERS = re.compile(r"0x[0-9a-f]+|\d+(\.\d+)?")


def failure_table(results: Results) -> Table | None:
    """A row for each kind of end and message; None where every run is done."""
    runs = results.runs[results.runs["state"] != "done"].copy()
    if runs.empty:
        return None
    runs["why"] = runs["error"].fillna("").astype(str)
    runs["alike"] = runs["why"].map(lambda text: _NUMBERS.sub("#", text))
    rows, lines = [], []
    for (state, _), group in runs.groupby(["state", "alike"], sort=False, observed=True):
        where = [f"{row.design} on {short_task(str(row.task))} s{row.seed}" for row in group.itertuples()]
        more = f" and {len(where) - _SHOWN} more" if len(where) > _SHOWN else ""
        shown = f"{'; '.join(where[:_SHOWN])}{more}"
        ids = [str(run).rpartition("-")[2] for run in group["run"]]
        rows.append([str(state), group["why"].iloc[0] or "—", shown, str(len(group))])
        lines.append(
            {"state": state, "message": group["why"].iloc[0], "runs": len(group), "ids": " ".join(ids)}
        )
    caption = (
        f"{plural(len(runs), 'planned run')} of {len(results.runs)} without a score: how each ended, messages that "
        "differ in numbers alone together. Diverged runs are a result; failed ones can be run again (`wm retry`)."
    )
    header = ["state", "message", "which", "runs"]
    return Table("failures", "Runs without a score", caption, header, rows, pd.DataFrame(lines), 3)
