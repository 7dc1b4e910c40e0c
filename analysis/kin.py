"""Which designs are variants of one: what a correlation over designs may count as independent.

A design and the same design with less of the image, another weight, size or planner have most of their code, their
loss and their luck in common: they score and err alike, and a sample of them is not one of designs. What makes a
design another one is what is predicted, in which space and dynamics, where the reward is read and what its gradient
reaches, the model and its belief (`model.variant`: the window), and whether it is trained on its own forecasts
(`model.open_loop_weight` 0 is the published loss). Amounts make none: fractions, weights, sizes, budgets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.matching import field_of
from analysis.words import plural

_KINDS = (
    *("predict", "space", "dynamics", "reward_from", "reward_gradient"),
    *("model.name", "model.variant"),
)
_OPTIONS = "model.options"


def kin(fields: Mapping[str, Any]) -> str:
    """The design that this one is a variant of, as text that is equal for variants of one.

    Args:
        fields: semantic fields by dotted name; those that are absent are neutral.
    """
    kinds = {name: field_of(fields, name) for name in _KINDS}
    forecasts = bool(field_of(fields, "model.open_loop_weight"))
    options = field_of(fields, _OPTIONS) or {}
    words = {name: value for name, value in options.items() if not _is_amount(value)}
    return json.dumps([kinds, forecasts, words], sort_keys=True, default=str)


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def forms(design: Sequence[str], fields: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of each run the first design that its own is a variant of: equal for runs of one family."""
    first: dict[str, str] = {}
    known: dict[int, str] = {}
    found = []
    for name, of in zip(design, fields, strict=True):  # they are alive, so an id stands for one of them
        if id(of) not in known:
            known[id(of)] = first.setdefault(kin(of), str(name))
        found.append(known[id(of)])
    return found


def main_planner(rows: pd.DataFrame) -> dict[str, str]:
    """Of each place the planner that most families, then most designs, have there; of a tie the first.

    The same model scores otherwise with another planner, and errs the same: across planners a score says less of it.
    Budgets may differ by task, so each has its own.

    Args:
        rows: runs in the order of the plan, with place, planner, form and design.
    """
    counts = rows.groupby(["place", "planner"], sort=False)[["form", "design"]].nunique().reset_index()
    counts = counts.sort_values(["form", "design"], ascending=False, kind="stable").drop_duplicates("place")
    return dict(zip(counts["place"].astype(str), counts["planner"].astype(str), strict=True))


def of_families(designs: int, families: int) -> str:
    """`10 designs`, or where some are variants of one `28 designs of 10 families`."""
    count = plural(designs, "design")
    if families >= designs:
        return count
    return f"{count} of {families} {'family' if families == 1 else 'families'}"
