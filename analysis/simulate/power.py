"""How often a claim gets each verdict when a study is drawn again and again, by its number of seeds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import get_args

from analysis.claims.findings import HYPOTHESES
from analysis.claims.spec import ClaimSpec
from analysis.claims.types import Verdict
from analysis.inference.estimate import generator
from analysis.simulate.effects import Effects
from analysis.simulate.memory import Fast
from analysis.simulate.world import World, draw
from analysis.study import PlannedRun, Study
from harness.config import RunConfig
from harness.errors import UserError

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
ENOUGH = 0.8
"""Power that is called enough."""
_CHUNK = 10


@dataclass(frozen=True)
class Power:
    """How often a claim got each verdict.

    Attributes:
        claim: its id.
        seeds: of every design on every task.
        counts: repeats by verdict.
        why: the first reason why it was not testable, or "".
    """

    claim: str
    seeds: int
    counts: Mapping[Verdict, int]
    why: str = ""

    @property
    def repeats(self) -> int:
        """Studies that were drawn."""
        return sum(self.counts.values())

    def rate(self, verdict: Verdict = "supported") -> float:
        """The part of the studies that got a verdict."""
        return self.counts.get(verdict, 0) / self.repeats

    def interval(self, verdict: Verdict = "supported") -> tuple[float, float]:
        """Wilson's 95 % interval of that."""
        return wilson(self.counts.get(verdict, 0), self.repeats)


def wilson(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """The score interval of a proportion (Wilson 1927)."""
    p, n = successes / trials, trials
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def enough(found: Sequence[Power], claim: str) -> int | None:
    """The smallest number of seeds with which a claim is supported in `ENOUGH` of the studies; None of those tried."""
    return min((one.seeds for one in found if one.claim == claim and one.rate() >= ENOUGH), default=None)


def with_seeds(studies: Sequence[Study], count: int) -> list[Study]:
    """The studies with so many seeds, from 0, of everything that they plan."""
    found = []
    for study in studies:
        cells: dict[str, PlannedRun] = {}
        for run in study.runs:
            cells.setdefault(_cell(run), run)
        runs = tuple(
            replace(run, id=f"{run.id}-s{seed}", seed=seed, config=run.config | {"seed": seed}, path=Path(f"{run.id}-s{seed}"))
            for run in cells.values()
            for seed in range(count)
        )
        found.append(replace(study, runs=runs))
    return found


def _cell(run: PlannedRun) -> str:
    """What a run is but for its seed, as text."""
    import json

    return json.dumps(run.config | {"seed": None}, sort_keys=True)
