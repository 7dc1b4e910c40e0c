"""What a run is planned to be, as columns; and which designs differ in one thing alone."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.environments import setting
from analysis.labels import dataset_name
from analysis.load import AXES
from analysis.study import PlannedRun
from harness.config import RunConfig, semantic_fields

_OF_A_RUN = {"agent", "task", "seed"}
_OF_IMAGES = {"model.image_scale", "image_fraction", "reward_gradient"}
"""Fields that a design which predicts rewards only does not use, or uses otherwise."""


@dataclass(frozen=True)
class Pair:
    """Two designs that differ in one thing alone: `first` has what the comparison is about."""

    first: str
    second: str


def planned_frame(
    runs: Iterable[PlannedRun], labels: Mapping[str, str], configs: Mapping[str, RunConfig | None]
) -> pd.DataFrame:
    """One row a run with a configuration of this version, in the order given.

    Columns: run, study, design (its label), name (as the study gave it), task, seed, agent, place (task and
    environment, as text), the axes, context, variant, planner (name), horizon, proposals, offline, data (`online`, or
    the dataset's name), oracle_horizon, own_model, fields (semantic fields by dotted name, but for task, seed, agent,
    and `data.*`).
    """
    rows = []
    for run in runs:
        config = configs.get(run.id)
        if config is None:
            continue
        row: dict[str, Any] = {
            "run": run.id,
            "study": run.study,
            "design": labels[run.id],
            "name": run.design,
        }
        row |= {"task": run.task, "seed": run.seed, "agent": config.agent}
        row["place"] = json.dumps([run.task, setting(run.task, run.config.get("env"))])
        row |= {axis: getattr(config, axis) for axis in AXES}
        row |= {"context": config.model.context, "variant": config.model.variant}
        row["own_model"] = config.model.name != "auto"
        row |= {"planner": config.planner.name, "horizon": config.planner.horizon}
        row |= {"proposals": config.planner.proposals, "oracle_horizon": config.oracle.horizon}
        row |= {"offline": config.offline, "data": dataset_name(config)}
        fields = semantic_fields(config)
        row["fields"] = {
            name: value
            for name, value in fields.items()
            if name not in _OF_A_RUN and not name.startswith("data.")
        }
        rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else _COLUMNS)


_COLUMNS = [
    *("run", "study", "design", "name", "task", "seed", "agent", "place", *AXES, "context", "variant"),
    *("own_model", "planner", "horizon", "proposals", "oracle_horizon", "offline", "data", "fields"),
]


def matched(frame: pd.DataFrame, axis: str, first: Any, second: Any) -> list[Pair]:
    """Pairs of designs of models that differ in one field alone, in the order of the plan.

    Args:
        frame: rows of `planned_frame`; compare online and offline runs apart, by giving one of them.
        axis: a dotted field, such as `predict`, `space`, `planner.horizon`.
        first: the value of the pair's first design.
        second: that of the second.
    """
    ignored = {axis} | (_OF_IMAGES if axis == "predict" else set())
    groups: dict[str, dict[Any, str]] = defaultdict(dict)
    designs = frame[frame["agent"] == "model"].drop_duplicates("design")
    for design, fields in zip(designs["design"], designs["fields"], strict=True):
        value = fields.get(axis)
        if value in (first, second):
            groups[rest(fields, ignored)].setdefault(value, str(design))
    return [Pair(group[first], group[second]) for group in groups.values() if {first, second} <= group.keys()]


def rest(fields: Mapping[str, Any], ignored: Collection[str]) -> str:
    """The fields but for some, as text that is equal for equal fields."""
    return json.dumps({k: v for k, v in fields.items() if k not in ignored}, sort_keys=True, default=str)
