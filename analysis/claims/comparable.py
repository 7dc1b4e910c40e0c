"""Which runs a correlation over designs may use, and which of their designs are variants of one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.claims.claim import listed
from analysis.kin import forms, main_planner
from analysis.matching import OF_IMAGES, rest, rests
from analysis.words import plural

_LEGACY, _PLANNER = "legacy.", "planner."


def comparable(rows: pd.DataFrame) -> pd.DataFrame:
    """Runs without a restored fault, of agents that are each there once; `form` is the family of a design (`kin`).

    A fault that is restored (`legacy`) is no design to compare. With `reward_gradient: separate` the agent plans with
    a model of its own, so designs that differ in their other half alone have the same scores: the one with the
    fullest image stands for them (`prediction.run_errors`, `twin`; of a plan, the first).
    """
    sound = [not any(name.startswith(_LEGACY) for name in fields) for fields in rows["fields"]]
    rows = rows[np.array(sound, dtype=bool)]
    rows = rows.assign(form=forms(rows["design"].tolist(), rows["fields"].tolist()))
    if "twin" in rows:
        return rows[~rows["twin"].fillna("").astype(bool)]
    apart = (rows["reward_gradient"] == "separate") & ~rows["own_model"].astype(bool)
    order = rows.sort_values("image_fraction", ascending=False, kind="stable")
    agents = order.assign(agent=rests(order, OF_IMAGES))
    first = agents.groupby("agent")["design"].transform("first")
    return rows[~apart | (rows["design"] == first.reindex(rows.index))]


def of_whole_images(rows: pd.DataFrame) -> pd.DataFrame:
    """Runs that predict images, and all of them (a model of a part has another error; SCIENCE 6)."""
    return rows[(rows["predict"] == "images") & (rows["image_fraction"].astype(float) == 1)]


def with_one_planner(rows: pd.DataFrame) -> pd.DataFrame:
    """The runs of `comparable` with the planner that most designs have on their task (`kin.main_planner`)."""
    if rows.empty:
        return rows
    planner = pd.Series([_planner(fields) for fields in rows["fields"]], index=rows.index, dtype=object)
    return rows[planner == rows["place"].map(main_planner(rows.assign(planner=planner)))]


def _planner(fields: dict[str, object]) -> str:
    return rest({name: value for name, value in fields.items() if name.startswith(_PLANNER)}, ())


def left_out(every: pd.DataFrame, used: pd.DataFrame) -> list[str]:
    """A sentence about the runs that are no part of those used, and why."""
    left = every[~every["run"].isin(used["run"])]
    if left.empty:
        return []
    have = "has" if len(left) == 1 else "have"
    count = f"{plural(len(left), 'run')} of {plural(left['design'].nunique(), 'design')}"
    tasks = listed(dict.fromkeys(left["task"]))
    why = "another planner than most designs of the task, a restored fault, or the agent of another design"
    return [f"{count} on {tasks} {have} no part: {why}"]
