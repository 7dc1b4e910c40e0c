"""The CSV behind a figure holds what was computed, and nothing else."""

import numpy as np
import pandas as pd
import pytest

from analysis.figures import (
    claims,
    completeness,
    cost,
    coverage,
    cross_training,
    dose_response,
    online_offline,
    planner,
    profiles,
    ranks,
    sharing,
)
from analysis.style import print_style
from tests.analysis.figures.pictures import material


def drawn(module, *names, trouble=False, function="draw"):
    with print_style():
        (found,) = getattr(module, function)(material(*names, trouble=trouble))
    return found


def test_online_and_offline_are_the_means_of_their_seeds():
    data = drawn(online_offline, "online", "offline").data
    runs = material("online", "offline").runs
    name = "rewards-latent-deterministic"
    for condition, offline in (("online", False), ("offline", True)):
        here = runs[(runs["name"] == name) & (runs["offline"].astype(bool) == offline)]
        of_task = data[(data["condition"] == condition) & (data["form"] == name)].set_index("task")["value"]
        expected = here.groupby("task")["value"].mean()
        assert of_task.to_dict() == pytest.approx(expected.to_dict())
    assert data.groupby("condition")["form"].nunique().eq(15).all()


def test_one_condition_alone_is_not_compared():
    with print_style():
        assert online_offline.draw(material("online")) == []
        assert ranks.draw(material("online")) == []


def test_ranks_are_those_of_the_means():
    data = drawn(ranks, "online", "offline").data
    for _, here in data.groupby("task"):
        assert sorted(here["online"]) == list(range(1, len(here) + 1))
        best = here.loc[here["offline_score"].idxmax()]
        assert best["offline"] == 1
    rows = pd.DataFrame(
        {
            "task": "t",
            "form": ["a", "b", "c"] * 2,
            "condition": ["online"] * 3 + ["offline"] * 3,
            "value": [3.0, 2.0, 1.0, 1.0, 1.0, np.nan],
        }
    )
    found = ranks.ranked(rows).set_index("form")
    assert found["online"].to_dict() == {"a": 1, "b": 2}
    assert found["offline"].to_dict() == {"a": 1.5, "b": 1.5}


def test_the_pareto_front_holds_what_nothing_matches():
    points = pd.DataFrame({"seconds": [1, 2, 3, 3, 4], "value": [0.2, 0.1, 0.5, 0.4, 0.5]})
    assert cost.front(points).tolist() == [True, False, True, False, False]


def test_cost_is_training_and_planning():
    data = drawn(cost, "capacity").data
    runs = material("capacity").runs
    line = data[data["task"] != "all"].iloc[0]
    here = runs[(runs["task"] == line["task"]) & (runs["design"] == line["design"])]
    assert line["seconds"] == pytest.approx((here["train_seconds"] + here["plan_seconds"]).mean())


def test_the_mean_over_tasks_is_that_of_the_means():
    data = drawn(dose_response, "dose_response").data
    for _, here in data.groupby(["form", "kind", "dose"]):
        whole = here[here["task"] == "all"]["value"].item()
        assert whole == pytest.approx(here[here["task"] != "all"]["value"].mean())
    assert set(data["kind"]) == {"image_fraction", "model.image_scale"}
    assert data[data["kind"] == "image_fraction"]["dose"].nunique() == 9


def test_a_planner_is_beside_the_oracle_at_its_horizon():
    found = drawn(planner, "planner")
    assert set(found.data.loc[found.data["form"] == "oracle", "horizon"]) == {3, 6, 12, 24}
    assert {"cem", "icem", "mppi", "shooting", "oracle"} == set(found.data["planner"])
    assert "H10" in found.caption


def test_coverage_has_runs_and_their_means():
    data = drawn(coverage, "online").data
    for _, cell in data.groupby(["task", "design"]):
        mean, seeds = cell[cell["seed"] == -1], cell[cell["seed"] >= 0]
        assert mean["coverage"].item() == pytest.approx(seeds["coverage"].mean())


def test_profiles_start_high_and_fall():
    data = drawn(profiles, "sharing").data
    for _, line in data.groupby("design"):
        assert (np.diff(line["share"]) <= 1e-12).all()
        assert line["share"].between(0, 1).all()
    aggregate = drawn(profiles, "sharing", function="draw_aggregates").data
    assert set(aggregate["aggregate"]) == {"mean", "median", "iqm", "optimality_gap"}


def test_who_learns_from_whom():
    found = drawn(cross_training, "cross_training")
    assert found.data["learner"].nunique() == found.data["data"].nunique() == 4
    assert "Shares of the variance within tasks (H8): data" in found.caption
    with print_style():
        assert cross_training.draw(material("offline")) == []


def test_sharing_compares_within_seeds():
    data = drawn(sharing, "sharing").data
    whole = data[data["task"] == "all"].set_index(["design", "shared_minus"])
    assert ("all designs", "stopped") in whole.index
    one = data[
        (data["design"] == "images-pixel-deterministic (from state)") & (data["shared_minus"] == "stopped")
    ]
    tasks = one[one["task"] != "all"]["value"].mean()
    assert whole.loc[("images-pixel-deterministic (from state)", "stopped"), "value"] == pytest.approx(tasks)


def test_claims_are_the_findings():
    found = drawn(claims, "online")
    data = found.data.set_index("claim")
    for each in material("online").findings:
        assert data.loc[[each.id], "verdict"].eq(each.verdict).all()
        if each.primary:
            assert data.loc[[each.id], "value"].iloc[0] == each.primary[0].estimate.value
    assert "Not testable with these runs: H3, H5, H6" in found.caption


def test_completeness_counts_every_planned_run():
    data = drawn(completeness, "planner", trouble=True).data
    runs = material("planner", trouble=True).results.runs
    states = list(completeness.STATES)
    assert data["planned"].sum() == len(runs) == data[states].to_numpy().sum()
    assert data["diverged"].sum() == (runs["state"] == "diverged").sum() > 0
