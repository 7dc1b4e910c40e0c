"""Whether a margin of normalised score can be judged: on a scale from the random agent to the oracle, above its floor.

Designs that all score as the random agent does differ by nothing, whatever they would do where anything is learnt; and
a margin in the range of returns is no part of what the oracle gains.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.claims.claim import Outcome, listed
from analysis.inference.paired import stratified
from analysis.tables import number

FLOOR = 0.05
"""Mean normalised score of the compared designs on a task below which they hardly beat the random agent."""
UNSURE = 0.1
"""Standard error of the difference of the baselines, as a part of it, from which on it is told."""


def on_scale(outcome: Outcome, rows: pd.DataFrame, level: float) -> Outcome:
    """The same with what its unit leaves open; `withheld` if a difference within the margin says nothing.

    That is so if on half of the tasks or more the designs' mean score is below `FLOOR`, its interval over seeds
    includes the random agent, or the range of returns is the unit.

    Args:
        outcome: of a claim that a difference lies within a margin.
        rows: the runs of the designs that are compared: task, seed, value, basis, and unit_error if it is known.
        level: of the interval of a task's mean.
    """
    rows = rows.dropna(subset=["value"])
    tasks = list(dict.fromkeys(rows["task"]))
    by_range = {task for task in tasks if (rows.loc[rows["task"] == task, "basis"] == "range").any()}
    floored = {task for task in tasks if _at_floor(rows[rows["task"] == task], level)}
    reasons = []
    if floored:
        on = listed(task for task in tasks if task in floored)
        reasons.append(f"the designs are not clearly above the random agent on {on}")
    if by_range:
        on = listed(task for task in tasks if task in by_range)
        reasons.append(
            f"the unit is the range of returns, not the oracle's lead over the random agent, on {on}"
        )
    remarks = [*outcome.remarks, *_unsure(rows)]
    if not reasons:
        return replace(outcome, remarks=remarks)
    why = f"a margin says little where {'; and where '.join(reasons)}"
    if 2 * len(floored | by_range) < len(tasks):
        return replace(outcome, remarks=[*remarks, why])
    return replace(outcome, remarks=remarks, withheld=why)


def _at_floor(here: pd.DataFrame, level: float) -> bool:
    """Whether the mean score of a task is not clearly above that of the random agent, 0."""
    means = here.groupby("seed")["value"].mean().to_numpy(dtype=np.float64)
    found = stratified({"task": means}, "floor", level=level)
    return bool(found.value < FLOOR or found.low <= 0)


def _unsure(rows: pd.DataFrame) -> list[str]:
    """Tasks whose unit is itself a rough estimate; the intervals of differences take it as known."""
    if "unit_error" not in rows:
        return []
    errors = rows.groupby("task", sort=False)["unit_error"].max()
    told = [
        f"{listed([str(task)])} ({number(100 * error)} %)" for task, error in errors[errors > UNSURE].items()
    ]
    if not told:
        return []
    on = ", ".join(told)
    return [
        f"the unit, the oracle's lead over the random agent, has a large standard error that intervals leave out: {on}"
    ]
