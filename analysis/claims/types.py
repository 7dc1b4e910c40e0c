"""What is found about a hypothesis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from analysis.claims.spec import ClaimSpec
from analysis.evidence import Evidence
from analysis.inference.estimate import Estimate
from analysis.kin import of_families
from analysis.words import plural

Verdict = Literal["supported", "contradicted", "inconclusive", "not testable"]


@dataclass(frozen=True)
class Computed:
    """One number that was computed for a claim.

    Attributes:
        name: a short key of the number, such as `difference`, `controlled`, `offline`; unique within its claim.
        words: what it is, as a noun phrase: `mean paired difference of normalised score, images - rewards`.
        estimate: value, interval, and `n`, the independent units.
        of: what n counts: `seeds`, `designs`, `families` (of designs that are variants of one), `tasks`.
        designs, tasks, seeds, runs: what entered, in total.
        note: what a reader must know (`t: of fewer than 5 seeds`, `scores by the range of returns`), or "".
    """

    name: str
    words: str
    estimate: Estimate
    of: str = "seeds"
    designs: int = 0
    tasks: int = 0
    seeds: int = 0
    runs: int = 0
    note: str = ""

    @property
    def sample(self) -> str:
        """What the interval is over, in words: `5 seeds, 7 tasks`, `28 designs of 10 families, 7 tasks`.

        Seeds are those of a task.
        """
        if self.of == "families":
            return f"{of_families(self.designs, self.estimate.n)}, {plural(self.tasks, 'task')}"
        counts = {"seeds": self.seeds, "designs": self.designs, "tasks": self.tasks}
        independent = plural(counts.get(self.of) or self.estimate.n, self.of.removesuffix("s"))
        return independent if self.of == "tasks" else f"{independent}, {plural(self.tasks, 'task')}"


@dataclass(frozen=True)
class Finding:
    """A row of claims.json: what a hypothesis says, what was computed, and the verdict.

    Attributes:
        id: `H1` to `H11`.
        title: the claim in a few words: `Images help online`.
        statement: the claim as it is tested, with its threshold: `images - rewards > 0`.
        rule: how the verdict follows from the interval, in one sentence.
        primary: the numbers that decide (of several, all must agree); empty if it is not testable.
        secondary: further numbers, that decide nothing.
        verdict: by `rule`.
        why: why it is not testable or what makes the verdict weak; "" otherwise.
        missing: what would make it testable, or complete: a sentence each.
        level: of the intervals in `primary`.
        declared: whether a study of the report fixed its thresholds; filled in by `claims.findings`.
        changed: differences of the spec since the first data, a sentence each (`H2.margin 0.05 -> 0.1`); likewise.
    """

    id: str
    title: str
    statement: str
    rule: str
    primary: Sequence[Computed] = field(default=())
    secondary: Sequence[Computed] = field(default=())
    verdict: Verdict = "not testable"
    why: str = ""
    missing: Sequence[str] = field(default=())
    level: float = 0.95
    declared: bool = False
    changed: Sequence[str] = field(default=())


@dataclass(frozen=True)
class Need:
    """What a claim needs of a plan.

    Attributes:
        runs: the planned runs that enter it.
        lacking: what no planned run provides, a sentence each: `5 more designs that predict images`.
    """

    runs: frozenset[str]
    lacking: Sequence[str] = field(default=())


@dataclass(frozen=True)
class Hypothesis:
    """A claim of the study, before any data.

    Attributes:
        needs: from rows of `matching.planned_frame`; works without any result.
        test: from the evidence; never raises for data that is missing, but says so.
    """

    id: str
    title: str
    needs: Callable[[pd.DataFrame], Need]
    test: Callable[[Evidence, ClaimSpec], Finding]
