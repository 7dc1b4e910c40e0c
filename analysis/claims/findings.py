"""Every hypothesis, tested on what there is."""

from __future__ import annotations

from dataclasses import replace

from analysis.claims.spec import CLAIMS
from analysis.claims.stamp import stamped
from analysis.claims.types import Finding, Hypothesis
from analysis.evidence import Evidence

HYPOTHESES: dict[str, Hypothesis] = {}
"""By id, H1 to H11."""


def findings(evidence: Evidence) -> list[Finding]:
    """One finding a hypothesis, in order, whether or not it can be tested."""
    found = []
    changed = stamped(evidence.results.studies)
    for name in CLAIMS:
        specs = [study.spec for study in evidence.results.studies]
        declaring = [spec for spec in specs if getattr(spec.claims, name) is not None]
        options = (declaring or specs)[0].options(name)
        found.append(
            replace(
                HYPOTHESES[name].test(evidence, options),
                declared=bool(declaring),
                changed=[*changed.get("", ()), *changed.get(name, ())],
            )
        )
    return found
