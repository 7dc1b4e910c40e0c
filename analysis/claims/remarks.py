"""What makes a paired verdict weak: pairs without data, settings that are left out, parameters that differ."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.claims.claim import listed
from analysis.claims.sample import form_names
from analysis.matching import OF_A_DESIGN, field_of
from analysis.words import plural, short_count

_APART = 1.15
"""Ratio of parameters from which on two designs are not matched in capacity (SCIENCE 5)."""
_SHOWN = 3  # settings that are written out


def absent(rows: pd.DataFrame, cells: pd.DataFrame) -> list[str]:
    """That a verdict is of the pairs that are done, naming those that have no data at all, or none on a task.

    Args:
        rows: planned runs with family and task.
        cells: family, task: those with data. Tasks without any are not named here.
    """
    if cells.empty:
        return []
    pairs = dict(zip(rows["family"], rows["pair"], strict=True)) | {pair: pair for pair in rows["pair"]}
    there = set(zip(cells["family"].map(pairs), cells["task"], strict=True))
    rows = rows.assign(family=rows["pair"])
    tasks = [task for task in dict.fromkeys(rows["task"]) if task in set(cells["task"])]
    planned = set(zip(rows["family"], rows["task"], strict=True))
    said = []
    for family, name in form_names(rows).items():
        wanted = [task for task in tasks if (family, task) in planned]
        gone = [task for task in wanted if (family, task) not in there]
        if gone:
            said.append(f"{name}{f' on {listed(gone)}' if len(gone) < len(wanted) else ''}")
    return [f"it is of the matched pairs that are done: without {', without '.join(said)}"] if said else []


def set_aside(planned: pd.DataFrame, rows: pd.DataFrame) -> list[str]:
    """Which of the planned runs the choice of a setting leaves out.

    Args:
        planned: rows of `matching.forms` or `sample.families`.
        rows: those of `sample.leading`.
    """
    tasks = [task for task in dict.fromkeys(planned["task"]) if task not in set(rows["task"])]
    said = [f"{listed(tasks)} has no part: what is planned there has the published loss"] if tasks else []
    loss = "model.open_loop_weight"
    weights = {field_of(fields, loss) for fields in rows["fields"]}
    alike = planned[[field_of(fields, loss) in weights for fields in planned["fields"]]]
    alike = alike[alike["task"].isin(set(rows["task"]))]
    words = _setting_words(alike)
    chosen = dict(zip(rows["task"], rows["setting"], strict=True))
    left: dict[tuple[str, str], list[str]] = {}
    for task, setting in chosen.items():
        here = alike[(alike["task"] == task) & (alike["setting"] != setting)]
        counts = here.groupby("setting", sort=False)["family"].nunique()
        others = [f"{words[other]} (of {plural(count, 'form')})" for other, count in counts.items()]
        if others:
            more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
            left.setdefault((words[setting], "; ".join(others[:_SHOWN]) + more), []).append(task)
    said += [
        f"on {listed(of)} the setting with most pairs, of a tie the first, is compared: {taken}; left out: {others}"
        for (taken, others), of in left.items()
    ]
    if len(set(chosen.values())) > 1:
        of_tasks: dict[str, list[str]] = {}
        for task, setting in chosen.items():
            of_tasks.setdefault(words[setting], []).append(task)
        each = "; ".join(f"{name} on {listed(of)}" for name, of in of_tasks.items())
        said += [f"tasks are compared in settings of their own: {each}"] if len(of_tasks) > 1 else []
    return said


def _setting_words(rows: pd.DataFrame) -> Mapping[int, str]:
    """The fields by which each setting differs from the others: `planner.proposals 128`."""
    values: dict[int, dict[str, set[str]]] = {}
    names = sorted({name for fields in rows["fields"] for name in fields if name not in OF_A_DESIGN})
    once = rows.assign(key=[id(fields) for fields in rows["fields"]]).drop_duplicates(["setting", "key"])
    for setting, fields in zip(once["setting"], once["fields"], strict=True):
        mine = values.setdefault(setting, {name: set() for name in names})
        for name in names:
            mine[name].add(json.dumps(field_of(fields, name), sort_keys=True, default=str))
    telling = [
        name
        for name in names
        if all(len(mine[name]) == 1 for mine in values.values())
        and len({min(mine[name]) for mine in values.values()}) > 1
    ]
    return {
        setting: ", ".join(f"{name} {min(mine[name]).strip(chr(34))}" for name in telling)
        or "the same fields"
        for setting, mine in values.items()
    }


def unequal_parameters(rows: pd.DataFrame) -> list[str]:
    """That designs of a pair differ in recorded parameters by more than SCIENCE 5 allows.

    Args:
        rows: runs with family, level and parameters.
    """
    known = rows[pd.to_numeric(rows["parameters"], errors="coerce") > 0]
    if known.empty:
        return []
    means = known.assign(parameters=known["parameters"].astype(float))
    table = means.pivot_table("parameters", "family", "level")
    ratio = table.max(axis=1) / table.min(axis=1)
    apart = ratio[ratio > _APART]
    if apart.empty:
        return []
    worst = table.iloc[int(np.nanargmax(ratio))].dropna()
    sizes = ", ".join(f"{level} {short_count(size)}" for level, size in worst.items())
    count = f"{len(apart)} of {plural(len(table), 'pair')}, up to {apart.max():.2g} times ({sizes})"
    return [f"parameters differ by more than 15 % within {count}: capacity may explain the difference"]
