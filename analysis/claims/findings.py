"""Every hypothesis, tested on what there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from analysis.claims.stamp import disagreements, stamped
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
    studies = evidence.results.studies
    changed = (stamped(studies), disagreements(studies))
    for name in CLAIMS:
        given, declared = options(evidence.results, name)
        stamps = [text for key in ("", name) for each in changed for text in each.get(key, ())]
        found.append(replace(HYPOTHESES[name].test(evidence, given), declared=declared, changed=stamps))
    return found


def stamps(findings: Sequence[Finding]) -> list[str]:
    """What all findings say of thresholds and plan, each sentence once, with its claims if it is not of all."""
    of = _of(findings)
    return [
        text if len(claims) == len(findings) else f"{', '.join(claims)}: {text}"
        for text, claims in of.items()
    ]


def own_stamps(findings: Sequence[Finding]) -> dict[str, list[str]]:
    """By claim, what it says of thresholds and plan that not all findings say."""
    of = _of(findings)
    return {each.id: [text for text in each.changed if len(of[text]) < len(findings)] for each in findings}


def _of(findings: Sequence[Finding]) -> Mapping[str, list[str]]:
    """The claims by what they say."""
    of: dict[str, list[str]] = {}
    for each in findings:
        for text in dict.fromkeys(each.changed):
            of.setdefault(text, []).append(each.id)
    return of
