"""Contrasts of a factorial against closed forms, least squares, and their own coverage."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.inference.factorial import contrasts, terms, weights

AXES = ("predict", "space", "dynamics")
PLANTED = {("predict",): 0.2, ("predict", "space"): -0.15, AXES: 0.3}


def columns(axes=AXES) -> tuple[np.ndarray, np.ndarray]:
    """The corners [C, axes], and their columns of the linear model [C, effects]."""
    corners = np.array(list(itertools.product((-0.5, 0.5), repeat=len(axes))))
    return corners, np.array(
        [corners[:, [axes.index(a) for a in term]].prod(axis=1) for term in terms(axes)]
    ).T


def frame(
    rng, tasks=3, seeds=5, axes=AXES, *, planted=None, noise=0.1, shared=0.1, differ=0.0, heavy=False
) -> pd.DataFrame:
    """Responses with planted effects, what tasks and seeds share, and effects that differ (sd) between tasks."""
    corners, model = columns(axes)
    size = (tasks, seeds, len(corners))
    e = rng.standard_t(3, size=size) / np.sqrt(3) if heavy else rng.normal(size=size)
    coefficients = np.array([(planted or {}).get(term, 0.0) for term in terms(axes)])
    coefficients = coefficients + differ * rng.normal(size=(tasks, len(coefficients)))
    y = noise * e + shared * (rng.normal(size=(tasks, 1, 1)) + rng.normal(size=(tasks, seeds, 1)))
    y += (coefficients @ model.T)[:, None]
    keys = pd.MultiIndex.from_product([[f"task{i:02d}" for i in range(tasks)], range(seeds)])
    rows = keys.to_frame(name=["task", "seed"]).loc[keys.repeat(len(corners))].reset_index(drop=True)
    rows[list(axes)] = np.tile(corners, (tasks * seeds, 1))
    return rows.assign(response=y.ravel())


def test_effects_of_three_axes():
    assert terms(AXES) == [
        *(("predict",), ("space",), ("dynamics",)),
        *(("predict", "space"), ("predict", "dynamics"), ("space", "dynamics")),
        AXES,
    ]


def test_a_main_effect_is_a_difference_of_means_and_an_interaction_one_of_differences():
    corners, _ = columns(("a", "b"))
    y = np.array([1.0, 2.0, 4.0, 9.0])  # a-b-, a-b+, a+b-, a+b+
    assert weights(("a",), ("a", "b"), corners) @ y == (4 + 9) / 2 - (1 + 2) / 2
    assert weights(("a", "b"), ("a", "b"), corners) @ y == (9 - 2) - (4 - 1)


def test_planted_effects_are_exact_without_noise():
    rows = frame(np.random.default_rng(0), planted=PLANTED, noise=0)
    for effect in contrasts(rows, AXES):
        assert effect.estimate.value == pytest.approx(PLANTED.get(effect.terms, 0.0), abs=1e-12)
        assert (effect.tasks, effect.seeds, effect.runs, effect.left_out) == (3, 15, 120, 0)


def test_least_squares_agrees_on_complete_data():
    pytest.importorskip("statsmodels")
    from statsmodels.formula.api import ols

    rows = frame(np.random.default_rng(1), planted=PLANTED)
    fit = ols("response ~ predict * space * dynamics + C(task):C(seed)", rows).fit()
    for effect in contrasts(rows, AXES):
        assert effect.estimate.value == pytest.approx(fit.params[":".join(effect.terms)])


def test_one_task_is_a_t_test_of_the_contrast():
    rows = frame(np.random.default_rng(2), tasks=1, planted=PLANTED)
    for effect in contrasts(rows, AXES):
        corners, _ = columns()
        values = rows["response"].to_numpy().reshape(5, 8) @ weights(effect.terms, AXES, corners)
        t = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert (effect.estimate.low, effect.estimate.high) == pytest.approx((t.low, t.high))
        assert effect.estimate.kind == "t"


def test_one_axis_is_a_paired_difference():
    rows = frame(np.random.default_rng(3), tasks=1, axes=("space",), planted={("space",): 0.5})
    [effect] = contrasts(rows, ("space",))
    low, high = (rows.loc[rows["space"] == level, "response"].to_numpy() for level in (-0.5, 0.5))
    assert effect.estimate.value == pytest.approx((high - low).mean())


def test_a_seed_that_lacks_a_corner_is_left_out():
    rows = frame(np.random.default_rng(4))
    gone = rows.copy()
    gone.loc[3, "response"] = np.nan
    found, without = contrasts(gone, AXES), contrasts(rows.iloc[8:], AXES)
    assert [each.estimate for each in found] == [each.estimate for each in without]
    assert {(each.left_out, each.runs, each.seeds) for each in found} == {(7, 112, 14)}


def test_a_corner_that_is_missing_leaves_nothing_and_says_so():
    rows = frame(np.random.default_rng(5))
    found = contrasts(rows[(rows[list(AXES)] != 0.5).any(axis=1)], AXES)
    assert {(each.seeds, each.left_out, each.estimate.kind) for each in found} == {(0, 105, "none")}
    assert np.isnan([each.estimate.value for each in found]).all()


def test_one_seed_has_no_interval_and_a_lone_one_is_named():
    rows = frame(np.random.default_rng(6))
    for each in contrasts(rows[rows["seed"] == 0], AXES):
        assert np.isfinite(each.estimate.value)
        assert (each.estimate.kind, each.note) == ("none", "")
    lone = rows[(rows["task"] != "task01") | (rows["seed"] == 2)]
    assert {each.note for each in contrasts(lone, AXES)} == {"one seed alone on task01"}


@settings(max_examples=15)
@given(st.floats(-4, 4), st.floats(0.1, 4), st.integers(0, 99))
def test_what_runs_of_a_seed_share_does_not_matter(shift, scale, seed):
    rows = frame(np.random.default_rng(7), planted=PLANTED)
    moved = rows.assign(response=scale * rows["response"] + shift * rows["seed"] + (rows["task"] == "task01"))
    moved["space"] = -moved["space"]
    plain = contrasts(rows, AXES)
    for one, two in zip(plain, contrasts(moved.sample(frac=1, random_state=seed), AXES), strict=True):
        sign = -1 if "space" in one.terms else 1
        assert two.estimate.value == pytest.approx(sign * scale * one.estimate.value, abs=1e-9)
        ends = sorted((sign * two.estimate.low, sign * two.estimate.high))
        assert ends == pytest.approx([scale * one.estimate.low, scale * one.estimate.high], abs=1e-9)


@pytest.mark.parametrize(("tasks", "seeds", "heavy"), [(7, 5, False), (3, 5, True), (1, 8, False)])
def test_intervals_cover(tasks, seeds, heavy):
    """Tasks are fixed: the truth is the mean effect of those drawn. Effects that are nothing are found in 2.5 %."""
    rng, rounds, inside, above = np.random.default_rng(8), 200, [], []
    axes = ("predict", "space")
    for _ in range(rounds):
        found = contrasts(frame(rng, tasks, seeds, axes, heavy=heavy, shared=0.3), axes)
        inside += [each.estimate.low <= 0 <= each.estimate.high for each in found]
        above += [each.estimate.low > 0 for each in found]
    assert 0.93 <= np.mean(inside) <= (0.98 if heavy else 0.97)
    assert np.mean(above) <= 0.04
