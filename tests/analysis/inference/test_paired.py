"""Paired differences against scipy, statsmodels, closed forms and simulations."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from analysis.inference.estimate import BOOTSTRAP_SEEDS
from analysis.inference.paired import (
    by_task,
    equivalence,
    flat_tasks,
    holm,
    lone_tasks,
    over_tasks,
    stratified,
)
from tests.analysis.inference.coverage import (
    BOOTSTRAP,
    MEAN,
    Setting,
    coverage,
    equivalent,
    tasks_covered,
)

finite = st.floats(-1e3, 1e3).map(lambda v: round(v, 3))
tasks = st.dictionaries(st.sampled_from("abcd"), st.lists(finite, max_size=6), max_size=4)


@pytest.mark.parametrize("n", [2, 5, 19])
def test_one_task_has_the_paired_t_test_of_scipy(n):
    rng = np.random.default_rng(n)
    x, y = rng.normal(1, 2, n), rng.normal(0, 1, n)
    theirs = stats.ttest_rel(x, y)
    for level in (0.8, 0.95):
        found = stratified({"task": x - y}, level=level)
        assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval(level)))
    assert (found.kind, found.n, found.value) == ("t", n, pytest.approx((x - y).mean()))


def test_two_tasks_have_the_interval_of_welch():
    """The mean of two tasks is half the difference of one and the other's negative."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(1, 2, 5), rng.normal(0, 1, 9)
    theirs = stats.ttest_ind(x, -y, equal_var=False).confidence_interval(0.95)
    found = stratified({"x": x, "y": y})
    assert (found.low, found.high) == pytest.approx((theirs.low / 2, theirs.high / 2))
    assert found.value == pytest.approx((x.mean() + y.mean()) / 2)
    assert found.n == 14


def test_tasks_count_the_same_however_many_seeds_they_have():
    assert stratified({"a": [0.0] * 10, "b": [1.0, 1.0]}).value == 0.5


def test_a_task_with_one_seed_takes_the_pooled_variance():
    """Equal variances by construction: then the error is that of a known variance v: v (1/2 + 1/2 + 1) / 9."""
    found = stratified({"a": [0.0, 2.0], "b": [5.0, 7.0], "c": [1.0]})
    error = np.sqrt(2 * (1 / 2 + 1 / 2 + 1) / 9)
    assert found.value == pytest.approx((1 + 6 + 1) / 3)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 2) * error)
    assert lone_tasks({"a": [0.0, 2.0], "c": [1.0], "d": [1.0, np.nan], "e": []}) == ["c", "d"]


def test_without_two_seeds_anywhere_there_is_no_interval():
    for values, n in (({"a": [1.0], "b": [3.0]}, 2), ({"a": [2.0, np.nan]}, 1), ({"a": []}, 0), ({}, 0)):
        found = stratified(values)
        assert (found.kind, found.n) == ("none", n)
        assert np.isnan(found.low)
        test = equivalence(values, 1)
        assert np.isnan(test.p)
        assert not test.within
        assert not test.outside


@pytest.mark.parametrize("n", [3, BOOTSTRAP_SEEDS])
def test_where_nothing_varies_there_is_no_interval(n):
    values = {"a": [0.1 + 0.2, 0.3] * n, "b": [0.7] * n, "c": [0.2]}
    found = stratified(values)
    assert (found.kind, found.value) == ("none", pytest.approx(0.4))
    test = equivalence(values, 1)
    assert np.isnan([found.low, found.high, test.p]).all()
    assert not test.within
    assert flat_tasks(values) == ["a", "b"]
    known = stratified(values, variance=0.3)
    assert known.high - 0.4 == pytest.approx(1.96 * np.sqrt(0.3 * (0.5 / n + 1 / n + 1)) / 3, rel=1e-4)
    assert stratified({"c": [0.2]}, variance=0.3).kind == "none"


def test_a_task_whose_seeds_agree_takes_the_pooled_variance():
    """Equal variances of the two others by construction, v = 2; the third has three seeds: v (1/2 + 1/2 + 1/3) / 9."""
    found = stratified({"a": [0.0, 2.0], "b": [5.0, 7.0], "c": [1.0, 1.0, 1.0]})
    error = np.sqrt(2 * (1 / 2 + 1 / 2 + 1 / 3) / 9)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 2) * error)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_sparse_scores_that_differ_are_hardly_ever_found_equivalent(seeds):
    """Scores of 0 or 1 on one task, 1 in 30 % of runs against 10 %: the difference is 0.2, the margin 0.05."""
    rng = np.random.default_rng(seeds)
    differences = (rng.random((1000, seeds)) < 0.3).astype(float) - (rng.random((1000, seeds)) < 0.1)
    assert not any(equivalence({"t": x}, 0.05).within for x in differences)


@given(tasks)
def test_an_interval_holds_its_mean_whatever_the_order(values):
    found = stratified(values)
    again = stratified({task: x[::-1] for task, x in reversed(values.items())})
    assert found.n == again.n == sum(map(len, values.values()))
    if found.kind != "none":
        slack = 1e-9 * max(1, abs(found.value))
        assert found.low - slack <= found.value <= found.high + slack
        assert (found.value, found.low, found.high) == pytest.approx(
            (again.value, again.low, again.high), abs=1e-6
        )


@given(tasks, finite)
def test_a_shift_moves_the_interval(values, by):
    found, moved = stratified(values), stratified({task: np.add(x, by) for task, x in values.items()})
    ends = (found.value + by, found.low + by, found.high + by)
    assert (moved.value, moved.low, moved.high) == pytest.approx(ends, abs=1e-6, nan_ok=True)


def test_many_seeds_have_a_studentised_bootstrap_that_follows_the_skewness():
    x = np.random.default_rng(2).exponential(1, (2, BOOTSTRAP_SEEDS))
    values = {"a": x[0], "b": x[1]}
    found = stratified(values, "key")
    assert found.kind == "bootstrap"
    assert found.high - found.value > found.value - found.low
    assert found == stratified(values, "key")
    assert found.low != stratified(values, "other").low
    assert stratified({"a": x[0], "b": x[1][:-1]}).kind == "t"


def test_the_studentised_bootstrap_of_scores_nearly_all_equal_is_students():
    values = [0.0] * (BOOTSTRAP_SEEDS - 1) + [1.0]
    found, theirs = stratified({"a": values}), stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.kind, found.low, found.high) == ("t", pytest.approx(theirs.low), pytest.approx(theirs.high))


def test_over_tasks_the_means_of_tasks_are_the_sample():
    values = {"a": [1.0, 3.0], "b": [5.0], "c": [2.0, 2.0, 2.0], "none": [np.nan]}
    theirs = stats.ttest_1samp([2.0, 5.0, 2.0], 0).confidence_interval(0.95)
    found = over_tasks(values)
    assert (found.value, found.n, found.low, found.high) == pytest.approx((3, 3, theirs.low, theirs.high))
    assert over_tasks({"a": [1.0, 2.0]}).kind == "none"


@pytest.mark.parametrize("shift", [0, 0.3, 0.8, -1])
def test_equivalence_agrees_with_statsmodels(shift):
    rng = np.random.default_rng(3)
    x, y, margin = rng.normal(shift, 1, 12), rng.normal(0, 1, 12), 0.9
    p, (_, lower, _), (_, upper, _) = ttost_paired(x, y, -margin, margin)
    for level in (0.95, 0.9):
        found = equivalence({"t": x - y}, margin, level=level)
        assert (found.p, found.lower, found.upper) == pytest.approx((p, lower, upper))
        assert found.within == (p < 1 - level)
        assert found.inner.level == pytest.approx(2 * level - 1)
        assert found.outside == (found.difference.low >= margin or found.difference.high <= -margin)


def test_equivalence_of_many_seeds_agrees_with_its_interval():
    rng = np.random.default_rng(4)
    for shift in (0, 0.4, 0.5, 0.6, 2):
        found = equivalence({t: rng.normal(shift, 1, 25) for t in "ab"}, 0.6, shift)
        assert found.inner.kind == "bootstrap"
        assert found.within == (found.p < 0.05) or abs(found.p - 0.05) < 0.002
        assert found.outside == (shift == 2)


def test_holm_agrees_with_statsmodels_and_skips_nans():
    p = np.array([0.04, 0.001, 0.03, 0.2, 0.03, 0.9])
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert holm([0.04, np.nan, 0.01]) == pytest.approx([0.04, np.nan, 0.02], nan_ok=True)
    assert len(holm([])) == 0


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_is_never_below_p_and_keeps_its_order(p):
    adjusted = holm(p)
    assert np.all(adjusted >= p)
    assert np.all(np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0)


def test_a_column_is_told_apart_by_task_without_empty_ones():
    frame = pd.DataFrame({"task": ["x", "y", "x"], "difference": [2.5, -2.0, 1.0]})
    for data in (frame, frame.astype({"task": "category"}), frame.astype({"task": "category"})[:1]):
        expected = {"x": [2.5, 1.0], "y": [-2.0]} if len(data) == 3 else {"x": [2.5]}
        assert {task: list(x) for task, x in by_task(data).items()} == expected


@pytest.mark.parametrize(("setting", "low", "high"), MEAN, ids=str)
def test_coverage_of_the_mean(setting, low, high):
    assert low <= coverage(setting, stratified, 0.5, 1500) <= high


@pytest.mark.parametrize(("setting", "low", "high"), BOOTSTRAP, ids=str)
def test_coverage_of_the_bootstrap(setting, low, high):
    assert low <= coverage(setting, stratified, 0.5, 400) <= high


def test_coverage_over_tasks():
    assert 0.935 <= tasks_covered(1500, 6) <= 0.965


@pytest.mark.parametrize("setting", [Setting("normal", (3,) * 3), Setting("t3", (5,) * 3, spread=3)])
def test_false_equivalence_is_rare_and_true_equivalence_is_found(setting):
    assert equivalent(1, setting, 1500) <= 0.065
    assert equivalent(-1, setting, 1500) <= 0.065
    assert equivalent(0, setting, 200) > 0.6
