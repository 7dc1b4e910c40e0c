"""Versions of a study beside each other: what the same configurations scored when other code ran them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.inference.estimate import Estimate, estimate
from analysis.results import Results
from analysis.scores import BASIS, run_scores
from analysis.tables import Table, interval, number
from analysis.words import short_task

if TYPE_CHECKING:
    from analysis.claims.types import Finding
    from analysis.material import Material

_COLUMNS = ("agent", "design", "task", "first", "second")
_NUMBERS = ("mean_first", "n_first", "mean_second", "n_second", "difference", "low", "high", "n", "interval")


def compared_versions(results: Results) -> pd.DataFrame:
    """The first version against each other one: a row a design (as the study named it) and task.

    Columns: agent, design, task, first and second (versions), the mean score and the seeds of each (mean_first,
    n_first, mean_second, n_second), difference (second - first, on the n configurations and seeds that both have),
    low, high, interval (its kind), equal (how many of these n runs have the same numbers, bit for bit).
    """
    rows = [
        row for version in results.versions[1:] for row in _against(results, results.versions[0], version)
    ]
    return pd.DataFrame(rows, columns=[*_COLUMNS, *_NUMBERS, "equal"])


def _against(results: Results, first: str, second: str) -> Iterator[dict[str, Any]]:
    scores = run_scores(results)[["run", "score"]]
    runs = results.runs[["run", "configured", "agent", "task", "seed"]].merge(scores, on="run")
    names = {run.id: run.design for study in results.studies for run in study.runs}
    runs["design"] = runs["run"].map(names)
    sides = [runs[runs["run"].isin(_members(results, version))] for version in (first, second)]
    same = same_numbers(results)
    for (design, task), mine in sides[0].groupby(["design", "task"], sort=False):
        other = sides[1][(sides[1]["design"] == design) & (sides[1]["task"] == task)]
        both = mine.merge(other, on="configured", suffixes=("", "_second")).dropna(
            subset=["score", "score_second"]
        )
        apart = (both["score_second"] - both["score"]).to_numpy(dtype=float)
        found = estimate(apart, "version", first, second, design, task)
        row = {
            "agent": mine["agent"].iloc[0],
            "design": design,
            "task": task,
            "first": first,
            "second": second,
        }
        for side, frame in (("first", mine), ("second", other)):
            row |= {f"mean_{side}": frame["score"].mean(), f"n_{side}": int(frame["score"].notna().sum())}
        row |= {"difference": found.value, "low": found.low, "high": found.high, "n": found.n}
        equal = sum(same[a] == same[b] for a, b in zip(both["run"], both["run_second"], strict=True))
        yield row | {"interval": _kind(found), "equal": equal}


def _kind(found: Estimate) -> str:
    return found.kind if math.isfinite(found.low) else "none"


def _members(results: Results, version: str) -> set[str]:
    return {run.id for study in results.studies if study.version == version for run in study.runs}


def same_numbers(results: Results) -> dict[str, int]:
    """A number for each run that is equal for runs that measured the same, bit for bit, whatever time they took."""
    found = dict.fromkeys(results.runs["run"], 0)
    frames = (
        (results.episodes, ("iteration", "return", "length")),
        (results.evaluations, ("iteration", "return", "length")),
        (results.open_loop, ("step", "value")),
    )
    for frame, names in frames:
        columns = [frame[name].to_numpy() for name in names]
        for run, rows in frame.groupby("run", sort=False, observed=True).indices.items():
            content = b"".join(np.ascontiguousarray(column[rows]).tobytes() for column in columns)
            found[str(run)] = hash((found[str(run)], content))
    return found


def version_verdicts(material: Material) -> Table | None:
    """The table of verdicts, each version's own: claims are tested on each alone; None where there is one version.

    The first column of verdicts is that of the report.
    """
    from analysis.claims.findings import findings
    from analysis.evidence import evidence

    results = material.results
    first, *others = results.versions or ("",)
    if not others:
        return None
    found = {first: material.findings} | {
        version: findings(evidence(results.of_version(version))) for version in others
    }
    rows = [
        [f"{each[0].id} {each[0].title}", *(one.verdict for one in each)]
        for each in zip(*found.values(), strict=True)
    ]
    lines = [
        [version, one.id, one.title, one.verdict, *_first_number(one)]
        for version, tested in found.items()
        for one in tested
    ]
    differ = [row[0].partition(" ")[0] for row in rows if len(set(row[1:])) > 1]
    told = f"They differ for {', '.join(differ)}." if differ else "All are alike."
    caption = (
        f"Each version tested alone, with its own random agent and oracle. Everything else that this report says "
        f"of claims is of {first}. {told} Verdicts that differ are no test of a difference."
    )
    columns = ["version", "claim", "title", "verdict", "value", "low", "high", "n"]
    data = pd.DataFrame(lines, columns=columns)
    header = ["claim", *found]
    return Table("version_verdicts", "Verdicts by version", caption, header, rows, data, keys=len(header))


def _first_number(found: Finding) -> list[float]:
    """Value, interval and n of the first number that decides."""
    if not found.primary:
        return [math.nan, math.nan, math.nan, 0]
    of = found.primary[0].estimate
    return [of.value, of.low, of.high, of.n]


def version_table(results: Results) -> Table | None:
    """The table of `compared_versions`; None where there is one version alone."""
    data = compared_versions(results)
    if data.empty:
        return None
    several = len(results.versions) > 2
    rows = []
    for line in data.to_dict("records"):
        means = [f"{number(line[f'mean_{side}'])} ({line[f'n_{side}']})" for side in ("first", "second")]
        mark = " (t)" if line["interval"] == "t" else ""
        rows.append(
            [
                line["design"],
                short_task(line["task"]),
                *([line["second"]] if several else []),
                *means,
                number(line["difference"]),
                interval(line["low"], line["high"]) + (mark if math.isfinite(line["low"]) else ""),
                f"{line['equal']} of {line['n']}",
            ]
        )
    first, second = results.versions[0], "second" if several else results.versions[1]
    header = [
        "design",
        "task",
        *(["second"] if several else []),
        first,
        second,
        "difference",
        "95 %",
        "equal",
    ]
    return Table("versions", "Versions", _caption(data, first), header, rows, data, 3 if several else 2)


def _caption(data: pd.DataFrame, first: str) -> str:
    compared, equal = int(data["n"].sum()), int(data["equal"].sum())
    told = (
        f"All {compared} runs that both have are equal, bit for bit."
        if compared and equal == compared
        else f"{equal} of {compared} runs that both have are equal, bit for bit."
    )
    return (
        f"Scores ({BASIS}) of the same configurations, run by different code; seeds in brackets. Difference: to "
        f"{first}, paired, on the seeds that both have, with its interval ((t): of Student). {told}"
    )
