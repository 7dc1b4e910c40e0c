"""Every hypothesis, tested on what there is."""

from __future__ import annotations

from dataclasses import replace

from analysis.claims.capacity import H11
from analysis.claims.correlates import H4, H6
from analysis.claims.dose import H3
from analysis.claims.exploration import H8
from analysis.claims.images import H1
from analysis.claims.offline import H5, H7
from analysis.claims.planner import H10
from analysis.claims.sharing import H9
from analysis.claims.space import H2
from analysis.claims.spec import CLAIMS, ClaimSpec
from analysis.claims.stamp import stamped
from analysis.claims.types import Finding, Hypothesis
from analysis.evidence import Evidence
from analysis.load import Results

HYPOTHESES: dict[str, Hypothesis] = {
    claim.id: Hypothesis(claim.id, claim.title, claim.needs, claim.test)
    for claim in (H1, H2, H3, H4, H5, H6, H7, H8, H9, H10, H11)
}
"""By id, H1 to H11."""


def options(results: Results, claim: str) -> tuple[ClaimSpec, bool]:
    """The thresholds of a claim, and whether a study fixed them: of the first that declares it, else the defaults."""
    specs = [study.spec for study in results.studies]
    declaring = [spec for spec in specs if getattr(spec.claims, claim) is not None]
    return (declaring or specs)[0].options(claim), bool(declaring)


def findings(evidence: Evidence) -> list[Finding]:
    """One finding a hypothesis, in order, whether or not it can be tested."""
    found = []
    changed = stamped(evidence.results.studies)
    for name in CLAIMS:
        given, declared = options(evidence.results, name)
        stamps = [*changed.get("", ()), *changed.get(name, ())]
        found.append(replace(HYPOTHESES[name].test(evidence, given), declared=declared, changed=stamps))
    return found
