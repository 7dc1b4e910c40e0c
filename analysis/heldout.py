"""Offline runs: the error on held-out episodes beside the score of the same frozen weights (hypothesis H6)."""

from __future__ import annotations

import math

import pandas as pd

from analysis.inference.correlation import MIN_CLUSTERS, Correlation, correlate
from analysis.load import Results
from analysis.prediction import SAMPLES, chosen, run_errors, set_errors
from analysis.tables import Table, fixed, interval, number
from analysis.words import short_task

HELDOUT = "heldout"
"""What metrics call the held-out part of the dataset that a run was trained on."""


def heldout_errors(results: Results) -> pd.DataFrame:
    """One row a finished offline run: the columns of `run_errors`, the errors being those on held-out episodes, and
    `data`, the dataset. Held-out episodes of two datasets are not the same, so their errors are not compared.
    """
    frame = run_errors(results)
    set_errors(frame, results, HELDOUT)
    configs = {run: results.configs.get(str(run)) for run in frame["run"]}
    frame["data"] = [
        str(config.data.dataset) if config is not None and config.offline else ""
        for config in configs.values()
    ]
    return frame[frame["reward_error"].notna() & (frame["data"] != "")].reset_index(drop=True)


def heldout_table(results: Results) -> Table | None:
    """Held-out errors and score of each design on each dataset; None without offline runs."""
    runs = heldout_errors(results)
    if runs.empty:
        return None
    columns = ["image_error", "image_baseline", "reward_error", "reward_baseline", "score"]
    cells = runs.groupby(["task", "data", "design"], sort=False)[columns].mean().reset_index()
    cells["n"] = runs.groupby(["task", "data", "design"], sort=False)["run"].nunique().to_numpy()
    rows = [
        [
            short_task(str(line["task"])),
            str(line["design"]),
            *(number(float(line[name])) for name in columns),
            str(line["n"]),
        ]
        for line in cells.to_dict("records")
    ]
    header = ["task", "design", "image error", "repeat", "reward error", "repeat", "score", "seeds"]
    caption = (
        "Means over seeds and the horizon of the open-loop errors on held-out episodes of the dataset that a design "
        "was trained on, of the error of repeating the last frame or reward there, and of the return that the same "
        f"frozen weights earn online. {' '.join(_correlations(runs))}"
    )
    return Table(
        "heldout", "Held-out error and score", caption, header, rows, cells, 2, list(cells["design"])
    )


def _correlations(runs: pd.DataFrame) -> list[str]:
    """A sentence for each task and dataset, and what the brackets are."""
    said = []
    for (task, data), here in runs.groupby(["task", "data"], sort=False):
        parts = []
        for error, sample in (SAMPLES[0], SAMPLES[-1]):
            used = chosen(here, error, sample)
            columns = (used[name].tolist() for name in ("form", "task", f"{error}_error", "score"))
            parts.append(f"{error} error {_rho(correlate(*columns))}")
        said.append(
            f"Spearman ρ with the score over designs, {short_task(str(task))} on {data}: {', '.join(parts)}."
        )
    return [
        *said,
        f"Brackets: 95 %, the sample being designs, given from {MIN_CLUSTERS} designs on.",
    ]


def _rho(found: Correlation) -> str:
    if not math.isfinite(found.value):
        return f"not defined ({found.points} designs)"
    ends = interval(found.estimate.low, found.estimate.high, 2)
    return " ".join(filter(None, [fixed(found.value), ends, f"({found.points} designs)"]))
