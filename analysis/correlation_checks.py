"""How far a correlation holds: other coefficients, tasks and designs left out, capacity held constant, tasks mixed."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.correlations import measured, with_score
from analysis.inference.correlation import METHODS, SYMBOLS, Correlation, correlate, difference
from analysis.inference.dependence import TESTS, dependent, reliability, simpson
from analysis.inference.estimate import Estimate
from analysis.inference.pooling import pool_correlations
from analysis.load import Results
from analysis.prediction import SAMPLES, chosen
from analysis.results import once
from analysis.tables import Table, fixed
from analysis.words import brackets, few_tasks, short_task

DIFFERENCE = "difference"
"""In place of an error: the strength of the image error less that of the reward error, on the image designs."""
_COLUMNS = ["statistic", "words", "error", "sample", "value", "low", "high", "n", "note"]
_KEYS = ("form", "place", "score")
_NAMES = {"williams": "Williams' t", "steiger": "Steiger's Z", "meng": "Meng's Z"}


class _Check(NamedTuple):
    """A line: its key, what it is, the number, and what else must be said."""

    statistic: str
    words: str
    estimate: Estimate
    note: str = ""


@once
def checks(results: Results) -> pd.DataFrame:
    """One row a statistic and error: statistic, words, error (`image`, `reward`, `difference`), sample, value, low,
    high (95 %, or the range where the words say so), n, note.

    All are over means of families of designs (`kin`), pooled over tasks. `difference` is corr(reward error) -
    corr(image error), so above 0 where the image error goes with the score more.
    """
    data = measured(results)
    rows: list[dict[str, Any]] = []
    for error, sample in SAMPLES:
        used = chosen(data, error, sample).dropna(subset=[f"{error}_error", "score"])
        key: dict[str, Any] = {"error": error, "sample": sample}
        rows += [_row(check) | key for check in _of_one(used, f"{error}_error")]
    used = chosen(data, "reward", "image designs").dropna(subset=["image_error", "reward_error", "score"])
    key = {"error": DIFFERENCE, "sample": "image designs"}
    rows += [_row(check) | key for check in _of_both(used)]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _row(check: _Check) -> dict[str, Any]:
    of = check.estimate
    ends = {"value": of.value, "low": of.low, "high": of.high, "n": of.n}
    return {"statistic": check.statistic, "words": check.words} | ends | {"note": check.note}


def _of_one(rows: pd.DataFrame, x: str) -> Iterator[_Check]:
    """Of one error."""
    found = {method: with_score(rows, x, method=method) for method in METHODS}
    rank = found["spearman"]
    yield _Check("spearman", "Spearman's ρ", rank.estimate)
    yield _Check("pearson", "Pearson's r", found["pearson"].estimate)
    yield _Check("kendall", "Kendall's τ", found["kendall"].estimate)
    yield _Check("held", "ρ, these tasks alone (not a sample)", rank.held)
    repeated = with_score(rows, x, method="pearson", how="repeated")
    yield _Check("repeated", "repeated-measures r (of tasks)", repeated.estimate)
    for method in METHODS[:2]:
        partial = with_score(rows, x, method=method, given="log_parameters")
        words = f"{SYMBOLS[method]}, parameters (log) held constant"
        yield _Check(f"partial_{method}", words, partial.estimate)
    yield from _over_tasks(rank, rows)
    yield _influence("without_design", "ρ without one design", rank, rank.without_design)
    yield _influence("without_task", "ρ without one task", rank, rank.without_task)
    mixed = simpson(*(rows[name].tolist() for name in ("form", "place", x, "score")))
    note = "Simpson: the other sign than within tasks" if mixed.paradox else ""
    yield _Check("mixed", "r, points of all tasks mixed", mixed.mixed, note)
    yield _Check("detectable", "smallest ρ that would be found", _alone(rank.detectable, rank.designs))
    for name, words in ((x, "the error"), ("score", "the score")):
        noise = reliability(*(rows[each].tolist() for each in ("design", "place", name)))
        yield _Check(
            f"reliability_{name}", f"reliability of means over seeds, {words}", _alone(noise, len(rows))
        )


def _alone(value: float, n: int) -> Estimate:
    return Estimate(value, math.nan, math.nan, n, "none")


def _over_tasks(rank: Correlation, rows: pd.DataFrame) -> Iterator[_Check]:
    """The correlations within tasks: their range, and how much they differ, to describe it.

    The tasks have their designs in common, so what a meta-analysis of independent ones would say of its mean and of
    a further task has no interval here.
    """
    yield _influence("by_task", "ρ within single tasks", rank, rank.by_task)
    counts = rows.groupby("place")["form"].nunique()
    pooled = pool_correlations(
        list(rank.by_task.values()), [int(counts[name]) for name in rank.by_task], "spearman"
    )
    differ = f"I² = {100 * pooled.i2:.0f} %, τ² = {pooled.tau2:.2g}" if math.isfinite(pooled.i2) else ""
    mean = _alone(pooled.estimate.value, pooled.estimate.n)
    yield _Check("meta", "ρ, random effects of tasks (descriptive)", mean, differ)


def _influence(key: str, words: str, rank: Correlation, values: Mapping[str, float]) -> _Check:
    """Their range; the value, and the note, are of the one that is furthest from that of all."""
    known = {name: value for name, value in values.items() if np.isfinite(value)}
    if len(known) < 2:
        return _Check(key, words, _alone(math.nan, len(known)))
    most = max(known, key=lambda name: abs(known[name] - rank.value))
    estimate = Estimate(known[most], min(known.values()), max(known.values()), len(known), "none")
    return _Check(key, words, estimate, short_task(most))


def _of_both(rows: pd.DataFrame) -> Iterator[_Check]:
    """Of the image error against the reward error."""
    design, place, score = (rows[name].tolist() for name in _KEYS)
    image, reward = (rows[f"{name}_error"].tolist() for name in ("image", "reward"))
    for method in METHODS:
        apart = difference(design, place, reward, image, score, method=method)
        yield _Check(method, "", apart)
    pairs = ((reward, score), (image, score), (image, reward))
    r1, r2, r12 = (correlate(design, place, *pair, method="pearson").value for pair in pairs)
    designs = len(set(design))  # families of them
    for test in TESTS:
        found = dependent(r1, r2, r12, designs, test)
        note = f"p = {found.p:.2g}" if math.isfinite(found.p) else ""
        words = f"{_NAMES[test]} of the r's, {designs} designs as independent"
        yield _Check(test, words, _alone(found.statistic, designs), note)


def checks_table(results: Results) -> Table | None:
    """Everything beside the correlations of either error, a line a statistic; None without any correlation."""
    data = checks(results)
    if data.empty or not data["value"].notna().any():
        return None
    columns = [*SAMPLES[:2], (DIFFERENCE, "image designs"), SAMPLES[2]]
    by_key = {(line["statistic"], line["error"], line["sample"]): line for line in data.to_dict("records")}
    words = {line["statistic"]: line["words"] for line in data.to_dict("records") if line["words"]}
    for error in ("image", "reward"):
        words.pop(f"reliability_{error}_error", None)
    rows = []
    for statistic, what in {**words, "reliability": "reliability of means over seeds, the error"}.items():
        found = [_cell(_line(by_key, statistic, *column)) for column in columns]
        if any(cell != "" for cell in found):
            rows.append([what, *found])
    header = ["", "image error", "reward error, same designs", "image − reward", "reward error, all designs"]
    caption = (
        "Correlations of design means with the score, within tasks, and how far they hold. Image − reward: how much "
        "more strongly the image error goes with the score, corr(reward error) − corr(image error). "
        f"{brackets(results.tasks)} Without one and of single tasks: the value furthest from that of all (of which), "
        "and [lowest, highest]."
        f"{few_tasks([len(results.tasks)])}"
    )
    return Table("correlation_checks", "How far the correlations hold", caption, header, rows, data)


def _line(
    lines: Mapping[tuple[str, str, str], Mapping[Hashable, Any]], statistic: str, error: str, sample: str
) -> Mapping[Hashable, Any] | None:
    key = f"reliability_{error}_error" if statistic == "reliability" else statistic
    return lines.get((key, error, sample))


def _cell(line: Mapping[Hashable, Any] | None) -> str:
    if line is None or not math.isfinite(line["value"]):
        return "" if line is None else "—"
    ends = f" [{fixed(line['low'])}, {fixed(line['high'])}]" if math.isfinite(line["low"]) else ""
    note = f" ({line['note']})" if line["note"] else ""
    return f"{fixed(line['value'])}{ends}{note}"
