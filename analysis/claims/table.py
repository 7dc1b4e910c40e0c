"""The findings as claims.json, as a table, and as numbers for a text."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from analysis.claims.types import Computed, Finding
from analysis.claims.verdicts import INNER, percent
from analysis.tables import Table, fixed, number

SCHEMA = 1
_PLACES = 3
_COUNTS = ("designs", "tasks", "seeds", "runs")
_SCOPE = "Verdicts, of these designs and tasks:"


def claims_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """The content of claims.json: `{schema, claims}`, with every field of `Finding` and `Computed`; null for NaN."""
    return {"schema": SCHEMA, "claims": [_plain(asdict(found)) for found in findings]}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def numbers(findings: Sequence[Finding]) -> dict[str, str]:
    """Key and formatted value, `undefined` where there is none.

    Keys: ``H1.verdict``; ``H1.{estimate,low,high,n,designs,tasks,seeds,runs}`` of the first number that decides, and
    ``H1.<name>.{estimate,...}`` of the further ones and of the secondary ones. ``n`` counts the independent values
    (of seeds, those of all tasks), ``seeds`` the seeds of a task.
    """
    found: dict[str, str] = {}
    for each in findings:
        found[f"{each.id}.verdict"] = each.verdict
        found |= _numbers(each.id, each.primary[0] if each.primary else None)
        for one in (*each.primary[1:], *each.secondary):
            found |= _numbers(f"{each.id}.{one.name}", one)
    return found


def _numbers(key: str, one: Computed | None) -> dict[str, str]:
    if one is None:
        nothing = {f"{key}.{name}": "undefined" for name in ("estimate", "low", "high")}
        return nothing | {f"{key}.{name}": "0" for name in ("n", *_COUNTS)}
    values = {"estimate": one.estimate.value, "low": one.estimate.low, "high": one.estimate.high}
    counts = {"n": one.estimate.n} | {name: getattr(one, name) for name in _COUNTS}
    return {f"{key}.{name}": _text(value) for name, value in values.items()} | {
        f"{key}.{name}": str(count) for name, count in counts.items()
    }


def _text(value: float) -> str:
    if not math.isfinite(value):
        return "undefined"
    return fixed(value, _PLACES) if abs(value) < 10 else number(value)


def summary(findings: Sequence[Finding]) -> str:
    """The verdicts for a terminal, a line each, below one that says what they are of."""
    lines = [_SCOPE] if findings else []
    for found in findings:
        told = [f"{_estimate(one)}, {one.sample}" for one in found.primary if one.name != INNER]
        told = told or [_first(found.why)]
        head = f"{found.id:<4}{found.verdict:<14}{found.title}"
        lines += [
            head,
            *map(_indented, told),
        ]
    return "\n".join([*lines, ""])


def _indented(text: str) -> str:
    return textwrap.fill(text, 96, initial_indent=" " * 18, subsequent_indent=" " * 18)


def claims_table(findings: Sequence[Finding]) -> Table:
    """The table `claims`: of each claim the numbers that decide and its verdict; the CSV has the others too."""
    rows = []
    for found in findings:
        name = f"{found.id} {found.title}"
        if not found.primary:
            rows.append([name, "—", "—", "—", found.verdict])
        for i, one in enumerate(found.primary):
            first = i == 0
            rows.append(
                [
                    name if first else "",
                    one.words,
                    one.sample,
                    _estimate(one),
                    found.verdict if first else "",
                ]
            )
    header = ["claim", "what was computed", "n", "estimate", "verdict"]
    data = pd.DataFrame(list(_lines(findings)), columns=_COLUMNS)
    return Table("claims", "Claims and their verdicts", _caption(findings), header, rows, data, keys=2)


_COLUMNS = [
    *(
        "claim",
        "title",
        "role",
        "name",
        "words",
        "value",
        "low",
        "high",
        "n",
        "of",
        "interval",
        "level",
        "designs",
    ),
    *("tasks", "seeds", "runs", "note", "verdict"),
]


def _lines(findings: Sequence[Finding]) -> Iterator[list[Any]]:
    for found in findings:
        numbered = [("primary", one) for one in found.primary] + [
            ("secondary", one) for one in found.secondary
        ]
        for role, one in numbered:
            of, counts = one.estimate, (one.designs, one.tasks, one.seeds, one.runs)
            yield [
                *(found.id, found.title, role, one.name, one.words, of.value, of.low, of.high, of.n, one.of),
                *(of.kind, of.level, *counts, one.note, found.verdict),
            ]
        if not numbered:
            nothing = [math.nan] * 3
            yield [
                found.id,
                found.title,
                "none",
                "",
                "",
                *nothing,
                0,
                "",
                "none",
                found.level,
                0,
                0,
                0,
                0,
                "",
                found.verdict,
            ]


def _estimate(one: Computed) -> str:
    return f"{_text(one.estimate.value)} [{_text(one.estimate.low)}, {_text(one.estimate.high)}]"


def _caption(findings: Sequence[Finding]) -> str:
    levels = " or ".join(dict.fromkeys(percent(found.level) for found in findings))
    counted = "n is what they are over: seeds of each task, or designs"
    said = [
        "Verdicts are of these designs and tasks.",
        f"In brackets: {levels} intervals, but where a row says otherwise; {counted}.",
    ]
    rules: dict[str, list[str]] = {}
    for found in findings:
        rules.setdefault(found.rule, []).append(found.id)
    said += [f"{', '.join(ids)}: {rule[:1].lower()}{rule[1:]}" for rule, ids in rules.items()]
    said += [
        f"{found.id} is not testable: {_first(found.why)}"
        for found in findings
        if found.verdict == "not testable"
    ]
    notes: dict[str, list[str]] = {}
    for found in findings:
        for note in dict.fromkeys(one.note for one in found.primary if one.note):
            notes.setdefault(note, []).append(found.id)
    said += [f"{', '.join(ids)}: {note}." for note, ids in notes.items()]
    defaults = [found.id for found in findings if not found.declared]
    if defaults:
        said.append(f"Thresholds that no study declares are defaults: {', '.join(defaults)}.")
    changed = list(dict.fromkeys(text for found in findings for text in found.changed))
    if changed:
        said.append(f"Thresholds and plan: {'; '.join(changed)}.")
    return " ".join(said)


def _first(why: str) -> str:
    """The first sentence, that the words before it lead to."""
    head = why.split(". ", maxsplit=1)[0].rstrip(".")
    return f"{head[:1].lower()}{head[1:]}."
