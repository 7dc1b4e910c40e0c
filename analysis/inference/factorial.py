"""Main effects and interactions of a full factorial of two-level axes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from analysis.inference.estimate import LEVEL, Estimate, Floats
from analysis.inference.paired import lone_tasks, stratified

Estimator = Literal["contrast", "mixed"]
Terms = tuple[str, ...]
"""The axes of an effect: one for a main effect, several for their interaction."""


@dataclass(frozen=True)
class Effect:
    """An effect, in units of the response.

    A main effect is the mean of the upper level less that of the lower one, all combinations of the other axes in
    equal parts; an interaction of two is the effect of one at the upper level of the other less that at its lower
    level, and so on. They are the coefficients of a linear model whose axes are coded -1/2 and +1/2.

    Attributes:
        terms: its axes.
        tasks, seeds, runs: what entered; a seed of two tasks counts twice.
        left_out: runs with a response that did not enter.
        note: what a reader must know, or "".
    """

    terms: Terms
    estimator: Estimator
    estimate: Estimate
    tasks: int
    seeds: int
    runs: int
    left_out: int
    note: str = ""


def terms(axes: Sequence[str]) -> list[Terms]:
    """All effects of some axes: main effects, then interactions of two, of three."""
    return [each for size in range(1, len(axes) + 1) for each in itertools.combinations(axes, size)]


def weights(term: Terms, axes: Sequence[str], corners: Floats) -> Floats:
    """What the responses of the corners are multiplied with, and added, to give the effect: [corners].

    Args:
        term: the effect.
        axes: all axes of the factorial.
        corners: corners x axes, -1/2 or +1/2.
    """
    signs = np.prod(2 * corners[:, [axes.index(axis) for axis in term]], axis=1)
    return np.asarray(signs / 2 ** (len(axes) - len(term)), dtype=np.float64)


def contrasts(frame: pd.DataFrame, axes: Sequence[str], *key: object, level: float = LEVEL) -> list[Effect]:
    """The effects as the mean over tasks of the mean over seeds of a contrast of the corners.

    Every seed of a task that has all corners gives one value of each effect, in which what its runs share (task,
    seed) is gone. The interval is for these tasks and other seeds (`paired.stratified`), and asks nothing of how
    corners vary or go together.

    Args:
        frame: a row a run: the axes (+0.5 is the upper level, -0.5 the lower), `task`, `seed`, `response` (rows
            with NaN do not count); one row a corner, task and seed.
        axes: names of columns.
        key: names the estimate, for the bootstrap's draws.
        level: of the intervals.
    """
    frame = frame[np.isfinite(frame["response"].astype(float))]
    corners = np.array(list(itertools.product((-0.5, 0.5), repeat=len(axes))))
    wide = frame.pivot_table(index=["task", "seed"], columns=list(axes), values="response", sort=False)
    columns = [tuple(corner) if len(axes) > 1 else corner[0] for corner in corners.tolist()]
    wide = wide.reindex(columns=columns).dropna().sort_index()
    tasks = wide.index.get_level_values("task")
    found = []
    for term in terms(axes):
        values = wide.to_numpy(dtype=np.float64) @ weights(term, axes, corners)
        by_task = {str(task): values[tasks == task] for task in tasks.unique()}
        alone = lone_tasks(by_task)
        note = f"one seed alone on {', '.join(alone)}" if len(alone) < len(by_task) and alone else ""
        value = stratified(by_task, "factorial", *key, *term, level=level)
        left_out = len(frame) - wide.size
        found.append(Effect(term, "contrast", value, len(by_task), len(wide), wide.size, left_out, note))
    return found
