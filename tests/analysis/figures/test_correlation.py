"""The figures of correlations: their points, their numbers, and what they say where there is nothing to draw."""

import numpy as np
import pytest
from scipy import stats

from analysis.correlations import by_step, by_variable, correlations
from analysis.figures import correlation, correlation_map
from analysis.load import load
from analysis.material import Material
from analysis.style import COLUMN, print_style
from tests.analysis.synthetic import FIVE, Options, variants, write_study

TASKS = ("dmc/cartpole-swingup", "dmc/cheetah-run")


def study(path, **given):
    options = {
        "designs": (*variants(6), *FIVE[2:]),
        "tasks": TASKS,
        "episodes": 8,
        "forecasts": False,
    } | given
    return load([write_study(path, options=Options(**options))])


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return study(tmp_path_factory.mktemp("runs"))


def drawn(module, results, width="auto"):
    with print_style():
        return module.draw(Material(results, width))


def test_the_large_points_have_the_pooled_correlation(two):
    pooled, _ = drawn(correlation, two)
    means = pooled.data[(pooled.data["seed"] == -1) & (pooled.data["error"] == "image")]
    lines = correlations(two)
    row = lines[(lines["task"] == "all") & (lines["error"] == "image") & (lines["level"] == "designs")].iloc[
        0
    ]
    assert stats.pearsonr(means["x"], means["score"]).statistic == pytest.approx(row["r"])
    title = pooled.figure.axes[0].get_title(loc="left")
    assert f"r = {row['r']:.2f} [{row['r_low']:.2f}, {row['r_high']:.2f}]".replace("-", "−") in title
    assert "6 designs × 2 tasks" in title


def test_points_by_task_are_in_their_own_units(two):
    _, by_task = drawn(correlation, two)
    runs = by_task.data[by_task.data["seed"] >= 0]
    assert runs["score"].min() > 50
    assert set(by_task.data["task"]) == set(TASKS)
    assert "the sample being tasks and designs" in by_task.caption


def test_the_map_holds_what_it_shows(two):
    (found,) = drawn(correlation_map, two)
    cells = by_variable(two).dropna(subset=["value"])
    shown = found.data[found.data["step"] == 0]
    assert len(shown) >= len(cells)
    texts = {text.get_text() for text in found.figure.axes[0].texts}
    assert {f"{value:.2f}".replace("-", "−") for value in cells["value"]} <= texts
    steps = found.data[found.data["step"] > 0]
    assert len(steps) == len(by_step(two)) / 3
    assert "not adjusted" in found.caption
    labels = [label.get_text() for label in found.figure.axes[0].get_yticklabels()]
    assert labels[0] == "image error, 6 designs"


def test_a_column_of_a_paper_stacks_the_panels(two):
    for module in (correlation, correlation_map):
        for found in drawn(module, two, "column"):
            assert found.figure.get_figwidth() == pytest.approx(COLUMN)
            assert found.figure.get_figheight() > COLUMN


@pytest.mark.parametrize(
    ("given", "figures"),
    [
        ({"seeds": 1}, (2, 1)),
        ({"designs": FIVE[:1], "tasks": TASKS[:1], "seeds": 1, "random_agent": False}, (1, 0)),
        ({"designs": FIVE[2:], "tasks": TASKS[:1]}, (1, 1)),
        ({"tasks": TASKS[:1], "nan_errors": {(each.name, TASKS[0], 0) for each in FIVE}}, (1, 1)),
        ({"flat": {TASKS[0]}}, (2, 1)),
        (
            {
                "designs": FIVE,
                "states": {(each.name, TASKS[1], s): "failed" for each in FIVE for s in (0, 1)},
            },
            (1, 1),
        ),
        (
            {
                "designs": FIVE,
                "states": {(d.name, t, s): "failed" for d in FIVE for t in TASKS for s in (0, 1)},
            },
            (0, 0),
        ),
    ],
    ids=["one seed", "one run", "rewards only", "nan", "flat", "a task failed", "all failed"],
)
def test_figures_hold_on_little_data(tmp_path, given, figures):
    results = study(tmp_path, **given)
    for module, count in zip((correlation, correlation_map), figures, strict=True):
        found = drawn(module, results)
        assert len(found) == count
        for each in found:
            each.figure.canvas.draw()
            assert each.caption
            assert np.isfinite(each.data.select_dtypes("number").to_numpy(float)).any()
