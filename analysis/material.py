"""What figures, tables and the page are made of, each part computed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import pandas as pd

from analysis.claims.types import Finding
from analysis.colours import Look, corners, looks
from analysis.evidence import Evidence, evidence
from analysis.load import Results

Width = Literal["auto", "column", "page"]


@dataclass(frozen=True)
class Material:
    """The results, and what follows from them.

    Attributes:
        width: how wide figures are: a column or a page of a paper, or what each needs.
    """

    results: Results
    width: Width = "auto"

    @cached_property
    def evidence(self) -> Evidence:
        """One row a run; of several versions, of the first alone."""
        return evidence(self.results.tested)

    @cached_property
    def looks(self) -> dict[str, Look]:
        """Colour, marker and line of each design."""
        return looks(self.results.designs, corners(self.results.runs))

    @cached_property
    def findings(self) -> list[Finding]:
        """What is found about each hypothesis, H1 to H11."""
        from analysis.claims.findings import findings

        return findings(self.evidence)

    @cached_property
    def factorial(self) -> pd.DataFrame:
        """Effects of the design axes on score and errors (`analysis.factorial.effects`)."""
        from analysis.factorial import effects

        return effects(self.evidence)

    @property
    def runs(self) -> pd.DataFrame:
        """`evidence.runs`."""
        return self.evidence.runs
