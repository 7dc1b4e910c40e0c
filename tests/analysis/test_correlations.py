"""Correlations with the score as frames and tables: what enters, what they are, and what is said without any."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.correlation_checks import checks, checks_table
from analysis.correlations import ALL, by_step, by_variable, correlations, measured
from analysis.inference.correlation import difference
from analysis.load import load
from analysis.prediction import chosen, run_errors
from tests.analysis.synthetic import FIVE, HORIZON, Options, kinds, variants, write_study

TASKS = ("dmc/cartpole-swingup", "dmc/cheetah-run", "dmc/walker-walk")
DESIGNS = (*kinds(8), *FIVE[2:])


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    options = Options(designs=DESIGNS, tasks=TASKS, seeds=2, episodes=8, forecasts=False)
    return load([write_study(tmp_path_factory.mktemp("runs"), options=options)])


def small(path, **given):
    options = {"designs": FIVE, "seeds": 1, "episodes": 8, "forecasts": False} | given
    return load([write_study(path, options=Options(**options))])


def test_the_pooled_rho_is_the_mean_of_those_within_tasks(wide):
    table = correlations(wide)
    means = measured(wide).groupby(["task", "design"])[["reward_error", "score"]].mean()
    expected = [
        stats.spearmanr(means.loc[task, "reward_error"], means.loc[task, "score"]).statistic for task in TASKS
    ]
    rows = table[
        (table["error"] == "reward") & (table["sample"] == "all designs") & (table["level"] == "designs")
    ]
    rows = rows.set_index("task")
    assert rows.loc[list(TASKS), "rho"].tolist() == pytest.approx(expected)
    assert rows.loc[ALL, "rho"] == pytest.approx(np.mean(expected))
    assert rows.loc[ALL, ["n", "designs", "tasks", "runs"]].tolist() == [33, 11, 3, 66]
    assert rows.loc[ALL, "rho_low"] < rows.loc[ALL, "rho"] < rows.loc[ALL, "rho_high"]


def test_variables_are_those_that_runs_have(wide):
    table = by_variable(wide)
    names = {"image_error", "image_error_moving", "image_error_mse", "reward_error", "reward_error_mse"}
    assert set(table["variable"]) == names | {"log_parameters", "log_cost"}
    assert set(table.loc[table["variable"] == "image_error", "sample"]) == {"image designs"}
    assert set(table["task"]) == {ALL, *TASKS}
    of_all = table.set_index(["variable", "sample", "task"])
    whole = correlations(wide).set_index(["error", "sample", "level", "task"])
    for error, sample in (("image", "image designs"), ("reward", "all designs")):
        row = whole.loc[(error, sample, "designs", ALL)]
        assert of_all.loc[(f"{error}_error", sample, ALL), "value"] == row["rho"]
    moving = of_all.loc[("image_error_moving", "image designs", ALL)]
    assert (
        moving["value"] == of_all.loc[("image_error", "image designs", ALL), "value"]
    )  # four times as large


def test_every_step_of_the_horizon_has_its_own(wide):
    table = by_step(wide)
    assert set(table["step"]) == set(range(1, HORIZON + 1))
    assert set(table["method"]) == {"pearson", "spearman", "kendall"}
    rows = table[(table["error"] == "image") & (table["method"] == "spearman")]
    assert rows["value"].nunique() == 1  # the error of each run grows alike
    assert (rows["designs"] == 8).all()


def test_the_step_of_a_run_is_its_own_number(wide):
    data = wide.open_loop.copy()
    last = (data["step"] == HORIZON) & (data["metric"] == "image_error_mean") & (data["phase"] == "final")
    data.loc[last, "value"] = -data.loc[last, "value"]
    table = by_step(replace(wide, open_loop=data))
    rows = table[(table["error"] == "image") & (table["method"] == "spearman")].set_index("step")["value"]
    assert rows[HORIZON] == pytest.approx(-rows[1])


def test_checks_are_what_they_say(wide):
    found = checks(wide).set_index(["error", "sample", "statistic"])
    rows = chosen(measured(wide), "reward", "image designs")
    columns = (rows[name].tolist() for name in ("design", "place", "reward_error", "image_error", "score"))
    expected = difference(*columns)
    one = found.loc[("difference", "image designs", "spearman")]
    assert (one["value"], one["low"], one["high"]) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )
    image, reward = (
        found.loc[(error, "image designs", "spearman"), "value"] for error in ("image", "reward")
    )
    assert one["value"] == pytest.approx(reward - image)
    without = found.loc[("image", "image designs", "without_design")]
    assert without["low"] <= image <= without["high"]
    assert without["note"] in {design.name for design in DESIGNS}
    assert found.loc[("image", "image designs", "meta"), "note"].startswith("I² = ")
    assert np.isnan(found.loc[("image", "image designs", "meta"), "low"])  # tasks have designs in common
    assert found.loc[("difference", "image designs", "williams"), "note"].startswith("p = ")
    assert 0 < found.loc[("image", "image designs", "detectable"), "value"] < 1
    assert found.loc[("image", "image designs", "by_task"), "n"] == 3


def test_mixed_tasks_that_mislead_are_flagged(wide):
    """Where the task with the larger errors has the higher scores, all points together turn the sign round."""
    data, evaluations = wide.open_loop.copy(), wide.evaluations.copy()
    for i, task in enumerate(TASKS):
        image = (data["task"] == task) & (data["metric"] == "image_error_mean")
        data.loc[image, "value"] += 100 * i
        evaluations.loc[evaluations["task"] == task, "return"] += 5000.0 * i
    found = checks(replace(wide, open_loop=data, evaluations=evaluations)).set_index(
        ["error", "sample", "statistic"]
    )
    row = found.loc[("image", "image designs", "mixed")]
    assert row["value"] > 0 > found.loc[("image", "image designs", "pearson"), "value"]
    assert row["note"].startswith("Simpson")
    assert not checks(wide)["note"].str.startswith("Simpson").any()


def test_the_table_of_checks_has_a_line_a_statistic(wide):
    table = checks_table(wide)
    words = [row[0] for row in table.rows]
    assert len(words) == len(set(words)) == 18
    assert words[:3] == ["Spearman's ρ", "Pearson's r", "Kendall's τ"]
    assert all(len(row) == len(table.header) == 5 for row in table.rows)
    assert "An interval over 3 tasks is crude." in table.caption


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"designs": FIVE[:1]},
        {"designs": FIVE[2:], "random_agent": False},
        {"nan_errors": {(design.name, TASKS[0], 0) for design in FIVE}},
        {"states": {(design.name, TASKS[0], 0): "failed" for design in FIVE}},
        {"flat": {TASKS[0]}},
        {"designs": DESIGNS, "states": {(DESIGNS[0].name, TASKS[0], 0): "pending"}},
    ],
    ids=["one seed", "one run", "rewards only", "nan", "all failed", "flat", "a design missing"],
)
def test_frames_and_tables_hold_on_little_data(tmp_path, given):
    results = small(tmp_path, **given)
    assert set(correlations(results)["task"]) == {TASKS[0]}
    assert by_variable(results)["value"].abs().max() <= 1 or by_variable(results)["value"].isna().all()
    assert {"error", "step", "value"} <= set(by_step(results).columns)
    table = checks_table(results)
    assert table is None or table.rows


def test_designs_with_another_planner_have_no_part(tmp_path):
    """Nine designs plan over 12 steps; the same over 4 are other scores of the same models."""
    planner = {"planner": {"horizon": 4}}
    few = tuple(
        replace(design, name=f"short-{i}", axes=design.axes | planner) for i, design in enumerate(kinds(3))
    )
    results = small(tmp_path, designs=(*kinds(5), *few))
    used = chosen(measured(results), "image", "image designs")
    assert set(used["design"]) == {design.name for design in kinds(5)}
    assert correlations(results)["designs"].max() == 5


def test_a_planner_is_chosen_on_each_task(tmp_path):
    """Where the budget is another on one task, its runs are compared there, and none is left out."""
    results = small(tmp_path, designs=kinds(5), tasks=TASKS[:2])
    frame = run_errors(results)
    configs = {
        run: config.model_copy(update={"planner": config.planner.model_copy(update={"horizon": 4})})
        if config.task == TASKS[1]
        else config
        for run, config in results.configs.items()
    }
    apart = run_errors(replace(results, configs=configs))
    assert not frame["other_planner"].any()
    assert not apart["other_planner"].any()


def test_variants_of_a_design_count_once(tmp_path):
    """Six designs, of which one in four weights: nine designs of six families."""
    results = small(tmp_path, designs=(*kinds(6), *variants(4)[:3]), tasks=TASKS[:2], seeds=2)
    table = correlations(results)
    row = table[(table["task"] == ALL) & (table["error"] == "image") & (table["level"] == "designs")].iloc[0]
    assert row[["n", "designs", "families", "tasks", "runs"]].tolist() == [12, 9, 6, 2, 36]
    data = measured(results)
    assert data.groupby("form")["design"].nunique().max() == 4
    means = data.groupby(["task", "form"])[["image_error", "score"]].mean()
    expected = [stats.spearmanr(means.loc[task]).statistic for task in TASKS[:2]]
    assert row["rho"] == pytest.approx(np.mean(expected))
    assert by_variable(results)["families"].max() == 6


def test_offline_runs_are_no_part_of_online_ones(tmp_path):
    offline = {"data": {"mode": "offline", "dataset": "mixed", "digest": "abc"}}
    trained = tuple(replace(design, name=f"off-{design.name}", axes=design.axes | offline) for design in FIVE)
    results = small(tmp_path, designs=(*FIVE, *trained))
    assert set(measured(results)["design"]) == {design.name for design in FIVE}
    alone = small(tmp_path / "alone", designs=trained)
    assert len(measured(alone)) == 5
