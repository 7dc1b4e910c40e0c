"""How often a claim gets each verdict when a study is drawn again and again, by its number of seeds."""

from __future__ import annotations

import json
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
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return min(low, p), max(high, p)  # rounding may leave 0 or 1 out


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
            replace(
                run,
                id=f"{run.id}-s{seed}",
                seed=seed,
                config=run.config | {"seed": seed},
                path=Path(f"{run.id}-s{seed}"),
            )
            for run in cells.values()
            for seed in range(count)
        )
        found.append(replace(study, runs=runs))
    return found


def _cell(run: PlannedRun) -> str:
    """What a run is but for its seed, as text."""
    return json.dumps(run.config | {"seed": None}, sort_keys=True)


@dataclass(frozen=True)
class Question:
    """What is asked of the draws.

    Attributes:
        studies: that are planned; their seeds do not count.
        effects: what is put in.
        specs: thresholds by claim.
        seed: of the draws: the same one gives the same numbers, whatever the number of workers.
    """

    studies: Sequence[Study]
    effects: Effects
    specs: Mapping[str, ClaimSpec]
    seed: int = 0

    def world(self, seeds: int) -> Fast:
        """The studies with so many seeds."""
        return Fast.of(World.of(with_seeds(self.studies, seeds)))

    def verdicts(self, world: Fast, seeds: int, repeat: int) -> dict[str, tuple[Verdict, str]]:
        """Verdict and its reason, by claim, of one study that is drawn."""
        drawn = draw(world.world, self.effects, generator("power", self.seed, seeds, repeat))
        evidence = world.evidence(drawn)
        found = {claim: HYPOTHESES[claim].test(evidence, spec) for claim, spec in self.specs.items()}
        return {claim: (finding.verdict, finding.why) for claim, finding in found.items()}


def lacking(question: Question, claim: str) -> Sequence[str]:
    """What no planned run provides that a claim needs, a sentence each."""
    return HYPOTHESES[claim].needs(World.of(question.studies).frame).lacking


def power(
    question: Question,
    seeds: Sequence[int],
    repeats: int,
    *,
    workers: int = 1,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Power]:
    """How often each claim gets each verdict, by claim and number of seeds.

    Args:
        question: what is asked.
        seeds: numbers of them.
        repeats: studies that are drawn for each number of seeds.
        workers: processes.
        progress: is told how many studies are drawn, of ``len(seeds) * repeats``.

    Raises:
        UserError: a claim needs runs that the studies do not plan.
    """
    for claim in question.specs:
        missing = lacking(question, claim)
        if missing:
            raise UserError(
                f"{claim} cannot be tested on {_named(question.studies)}: the plan lacks {'; '.join(missing)}"
            )
    jobs = [
        (count, range(start, min(start + _CHUNK, repeats)))
        for count in seeds
        for start in range(0, repeats, _CHUNK)
    ]
    counts: dict[tuple[str, int], Counter[Verdict]] = {
        (claim, count): Counter() for claim in question.specs for count in seeds
    }
    why: dict[tuple[str, int], str] = {}
    done = 0
    for (count, chosen), found in zip(jobs, _outcomes(question, jobs, workers), strict=True):
        for one in found:
            for claim, (verdict, reason) in one.items():
                counts[claim, count][verdict] += 1
                if verdict == "not testable":
                    why.setdefault((claim, count), reason)
        done += len(chosen)
        progress(done)
    return [Power(claim, count, counts[claim, count], why.get((claim, count), "")) for claim, count in counts]


Job = tuple[int, range]
Verdicts = list[dict[str, tuple[Verdict, str]]]


def _outcomes(question: Question, jobs: Sequence[Job], workers: int) -> Iterator[Verdicts]:
    """The verdicts of each job, in their order."""
    if workers == 1:
        yield from map(_Worker(question), jobs)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (question,)) as pool:
        yield from pool.map(_continue, jobs)


class _Worker:
    """Draws studies, and keeps the world of the last number of seeds."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._kept: tuple[int, Fast] | None = None

    def __call__(self, job: Job) -> Verdicts:
        seeds, repeats = job
        if self._kept is None or self._kept[0] != seeds:
            self._kept = seeds, self._question.world(seeds)
        world = self._kept[1]
        return [self._question.verdicts(world, seeds, repeat) for repeat in repeats]


_worker: list[_Worker] = []
"""Of a process of its own."""


def _begin(question: Question) -> None:
    _worker[:] = [_Worker(question)]


def _continue(job: Job) -> Verdicts:
    return _worker[0](job)


def _named(studies: Sequence[Study]) -> str:
    return " and ".join(study.name for study in studies)
