"""Main effects and interactions of a full factorial of two-level axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from analysis.inference.estimate import LEVEL, Estimate

Estimator = Literal["contrast", "mixed"]
Terms = tuple[str, ...]
"""The axes of an effect: one for a main effect, several for their interaction."""


@dataclass(frozen=True)
class Effect:
    """An effect, in units of the response.

    A main effect is the mean of the upper level less that of the lower one, all combinations of the other axes in
    equal parts; an interaction of two is how much larger the effect of one is at the upper level of the other, and so on.

    Attributes:
        terms: its axes.
        tasks, seeds, runs: what entered; seeds are counted per task and summed.
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
    raise NotImplementedError


def contrasts(frame: pd.DataFrame, axes: Sequence[str], *key: object, level: float = LEVEL) -> list[Effect]:
    """The effects from a contrast per task and seed.

    Args:
        frame: a row a run: the axes (+0.5 is the upper level, -0.5 the lower), `task`, `seed`, `response`.
        axes: names of columns.
    """
    raise NotImplementedError
