"""What a run is planned to be, as columns; and which designs differ in one thing alone."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.environments import setting
from analysis.labels import dataset_name
from analysis.load import AXES
from analysis.study import PlannedRun
from harness.config import RunConfig, semantic_fields
from harness.config.fields import walk

_OF_A_RUN = {"agent", "task", "seed"}
OPTIONAL = ("model.scheduled_sampling", "model.open_loop_futures", "model.dropout")
"""Fields that only some designs use, so that they are there for one design of a pair and not for the other."""
OF_IMAGES = ("image_fraction", "model.image_scale")
"""Fields that a design which predicts rewards only does not use."""
OF_A_DESIGN = ("predict", "space", "dynamics", "reward_from", "reward_gradient", *OF_IMAGES, *OPTIONAL)
EXPLORATION = "exploration."
"""Begins the names of fields that a run on a dataset does not use."""


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
    known: dict[str, dict[str, Any]] = {}
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
        row["fields"] = _fields(config, known)
        rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else _COLUMNS)


_COLUMNS = [
    *("run", "study", "design", "name", "task", "seed", "agent", "place", *AXES, "context", "variant"),
    *("own_model", "planner", "horizon", "proposals", "oracle_horizon", "offline", "data", "fields"),
]


def _fields(config: RunConfig, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What a configuration is beyond its task, seed and data; one object for all that are equal."""
    fields = {
        name: value
        for name, value in semantic_fields(config).items()
        if name not in _OF_A_RUN and not name.startswith("data.")
    }
    return known.setdefault(rest(fields, ()), fields)


def rest(fields: Mapping[str, Any], ignored: Iterable[str]) -> str:
    """The fields but for some, as text that is equal for equal fields.

    Args:
        fields: by dotted name.
        ignored: names; one that ends in a dot stands for its whole section.
    """
    names = tuple(ignored)
    sections, leaves = tuple(n for n in names if n.endswith(".")), {n for n in names if not n.endswith(".")}
    kept = {
        name: value
        for name, value in fields.items()
        if name not in leaves and not (sections and name.startswith(sections))
    }
    return json.dumps(kept, sort_keys=True, default=str)


def rests(frame: pd.DataFrame, ignored: Iterable[str]) -> list[str]:
    """`rest` of each row of a frame; equal fields are written out once."""
    names, known = tuple(ignored), dict[int, str]()
    found = []
    for fields in frame["fields"]:  # they are alive in the frame, so an id stands for one of them
        if id(fields) not in known:
            known[id(fields)] = rest(fields, names)
        found.append(known[id(fields)])
    return found


@functools.cache
def _neutral() -> dict[str, Any]:
    """The value of each semantic field that `fields` leaves out."""
    found = {}
    for name, field in walk(RunConfig):
        extra = field.json_schema_extra
        if isinstance(extra, dict) and "neutral" in extra:
            found[name] = extra["neutral"]
    return found


def field_of(fields: Mapping[str, Any], name: str) -> Any:
    """The value of a field of a row's `fields`, where it is absent the neutral one."""
    return fields.get(name, _neutral().get(name))


def forms(frame: pd.DataFrame, axis: str, ignored: Collection[str] = ()) -> pd.DataFrame:
    """The runs of models by what they are beyond one field: runs that share a `family` differ in that field alone.

    Fields that only some designs use are no difference. Where several runs of a family have the same level, task,
    seed and data (they differ in such fields, as in the weight of an image that the others do not predict), one is
    taken: the one whose values most designs have, then the first in the plan. Beside designs that predict rewards
    only, those that predict a part of the image have no place.

    Args:
        frame: rows of `planned_frame`, with any further columns.
        axis: a dotted field.
        ignored: further fields that may differ; a name that ends in a dot stands for its section.

    Returns:
        The rows, and level (the value of the field), family, setting, pair and cell: numbers that are equal for equal
        families, settings, pairs and cells. A setting is what the design is not: equal ones plan, train, explore and
        are evaluated alike. A pair is what a family is beyond its setting. A cell is a family on a
        task, trained on some data, at a seed.
    """
    rows = frame[frame["agent"] == "model"]
    if axis == "predict":
        rows = rows[rows["image_fraction"].astype(float) == 1]
    optional = (*OPTIONAL, *(OF_IMAGES if axis == "predict" else ()))
    family = [_code(text) for text in rests(rows, (axis, *optional, *ignored))]
    where = zip(family, *(rows[name].tolist() for name in ("task", "data", "seed")), strict=True)
    rows = rows.assign(
        family=np.array(family, dtype=np.int64),
        pair=np.array([_code(text) for text in _designs(rows, {axis, *optional, *ignored})], dtype=np.int64),
        level=[field_of(fields, axis) for fields in rows["fields"]],
        setting=np.array(
            [_code(text) for text in rests(rows, (axis, *OF_A_DESIGN, *ignored))], dtype=np.int64
        ),
        cell=np.array([_code(repr(each)) for each in where], dtype=np.int64),
    )
    if not rows.duplicated(["cell", "level"]).any():
        return rows
    free = {*optional, *ignored}
    kept = [n for n in _all_names(rows) if not _among(n, free)]
    rows["_free"] = rests(rows, kept)
    common = rows.groupby(["level", "_free"], sort=False)["design"].nunique()
    rows["_common"] = [common[key] for key in zip(rows["level"], rows["_free"], strict=True)]
    order = rows.sort_values("_common", ascending=False, kind="stable").drop_duplicates(["cell", "level"])
    return order.sort_index().drop(columns=["_free", "_common"])


def _designs(rows: pd.DataFrame, ignored: Collection[str]) -> list[str]:
    """What each design is beyond its setting, as text."""
    names = [name for name in OF_A_DESIGN if not _among(name, ignored)]
    return [repr([field_of(fields, name) for name in names]) for fields in rows["fields"]]


@functools.lru_cache(maxsize=100_000)
def _code(text: str) -> int:
    """A number for a text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest())


def _all_names(rows: pd.DataFrame) -> set[str]:
    return {name for fields in rows["fields"] for name in fields}


def _among(name: str, chosen: Iterable[str]) -> bool:
    return any(name == each or (each.endswith(".") and name.startswith(each)) for each in chosen)


def matched(frame: pd.DataFrame, axis: str, first: Any, second: Any) -> list[Pair]:
    """Pairs of designs of models that differ in one field alone, in the order of the plan.

    Args:
        frame: rows of `planned_frame`; compare online and offline runs apart, by giving one of them.
        axis: a dotted field, such as `predict`, `space`, `planner.horizon`.
        first: the value of the pair's first design.
        second: that of the second.
    """
    rows = forms(frame, axis)
    firsts, seconds = (rows[rows["level"] == level] for level in (first, second))
    both = firsts[["cell", "design"]].merge(seconds[["cell", "design"]], on="cell", suffixes=("_1", "_2"))
    return [Pair(*pair) for pair in dict.fromkeys(zip(both["design_1"], both["design_2"], strict=True))]
