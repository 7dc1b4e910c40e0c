"""Which runs a correlation over designs may use."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.matching import OF_IMAGES, rest, rests

_LEGACY, _PLANNER = "legacy.", "planner."


def comparable(rows: pd.DataFrame) -> pd.DataFrame:
    """Runs without a restored fault, of agents that are each there once.

    A fault that is restored (`legacy`) is no design to compare. With `reward_gradient: separate` the agent plans with
    a model of its own, so designs that differ in their other half alone have the same scores: the one with the
    fullest image stands for them (`prediction.run_errors`, `twin`; of a plan, the first).
    """
    sound = [not any(name.startswith(_LEGACY) for name in fields) for fields in rows["fields"]]
    rows = rows[np.array(sound, dtype=bool)]
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
    """The runs with the planner that most designs have, of a tie the first in the plan.

    The same model scores otherwise with another planner, and errs the same: across planners a score says less of it.
    """
    if rows.empty:
        return rows
    planners = pd.Series([_planner(fields) for fields in rows["fields"]], index=rows.index, dtype=object)
    counts = rows.groupby(planners, sort=False)["design"].nunique()
    return rows[planners == counts.idxmax()]


def _planner(fields: dict[str, object]) -> str:
    return rest({name: value for name, value in fields.items() if name.startswith(_PLANNER)}, ())
