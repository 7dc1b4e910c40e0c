"""How a finding is shown: a line that says the verdict, and beneath it everything that was computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from analysis.claims.types import Computed, Finding
from analysis.claims.verdicts import INNER
from analysis.figures.registry import FIGURES
from analysis.tables import fixed, interval
from analysis.words import plural

_WIDTH, _PAD = 170, 12
_UNITS = {"seeds": "seed", "designs": "design", "tasks": "task"}


def shown(finding: Finding, thresholds: Sequence[float], drawn: set[str]) -> dict[str, Any]:
    """What the page's template needs of a finding.

    Args:
        finding: one of `claims.findings`.
        thresholds: what its interval is compared with (`spec.thresholds`).
        drawn: names of the figures that the page has.
    """
    computed = [(True, each) for each in finding.primary] + [(False, each) for each in finding.secondary]
    return {
        "id": finding.id,
        "title": finding.title,
        "statement": finding.statement,
        "rule": finding.rule,
        "verdict": finding.verdict,
        "kind": finding.verdict.replace(" ", "-"),
        "why": finding.why,
        "short": "" if finding.primary else "see why",
        "missing": finding.missing,
        "changed": finding.changed,
        "declared": finding.declared,
        "level": f"{100 * finding.level:g} %",
        "lines": [_line(each) for each in _deciding(finding)],
        "range": _range(finding, thresholds),
        "computed": [_row(each, finding.level, primary=primary) for primary, each in computed],
        "figures": [
            (kind.name, kind.title)
            for kind in FIGURES.values()
            if finding.id in kind.claims and kind.name != "claims" and kind.name in drawn
        ],
        "open": bool(finding.changed),
    }


def _deciding(finding: Finding) -> list[Computed]:
    """What decides; of an equivalence test the outer interval stands for both."""
    return [each for each in finding.primary if each.name != INNER]


def _line(computed: Computed) -> dict[str, str]:
    found = computed.estimate
    known = [abs(each) for each in (found.value, found.low, found.high) if math.isfinite(each)]
    places = 2 if max(known, default=1) >= 0.1 else 3
    ends = f" [{fixed(found.low, places)}, {fixed(found.high, places)}]" if math.isfinite(found.low) else ""
    return {"text": f"{fixed(found.value, places)}{ends}", "n": _count(computed)}


def _count(computed: Computed) -> str:
    parts = [
        plural(count, noun)
        for count, noun in (
            (computed.designs, "design"),
            (computed.tasks, "task"),
            (computed.seeds, "seed"),
            (computed.runs, "run"),
        )
        if count
    ]
    return ", ".join(parts) or f"n = {computed.estimate.n} {computed.of}"


def _row(computed: Computed, level: float, *, primary: bool) -> dict[str, Any]:
    found = computed.estimate
    note = [computed.note] if computed.note else []
    if math.isfinite(found.low) and abs(found.level - level) > 1e-9:
        note.append(f"{100 * found.level:g} % interval")
    return {
        "primary": primary,
        "words": computed.words,
        "value": fixed(found.value, 3) if abs(found.value) < 1000 else fixed(found.value, 0),
        "interval": interval(found.low, found.high),
        "n": _count(computed),
        "note": "; ".join(note),
    }


def _range(finding: Finding, thresholds: Sequence[float]) -> dict[str, Any] | None:
    """The primary intervals on a line that holds zero and the thresholds, in pixels; None without any."""
    estimates = [each.estimate for each in _deciding(finding) if math.isfinite(each.estimate.value)]
    if not estimates:
        return None
    ends = [
        0.0,
        *(end for each in estimates for end in (each.value, each.low, each.high) if math.isfinite(end)),
    ]
    ends += thresholds
    low, high = min(ends), max(ends)
    scale = (_WIDTH - 2 * _PAD) / ((high - low) or 1)

    def place(value: float) -> float:
        return round(_PAD + (value - low) * scale, 1)

    step = 10 if len(estimates) > 1 else 0
    marks = [
        {
            "y": 13 - step * (len(estimates) - 1) / 2 + step * i,
            "value": place(each.value),
            "low": place(each.low) if math.isfinite(each.low) else None,
            "high": place(each.high) if math.isfinite(each.high) else None,
        }
        for i, each in enumerate(estimates)
    ]
    around = sorted({0.0, *thresholds})
    band = [place(around[0]), place(around[-1])] if len(around) > 1 else None
    return {"zero": place(0.0), "marks": marks, "margin": band}
