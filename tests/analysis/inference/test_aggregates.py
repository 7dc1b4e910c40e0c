"""Aggregates against scipy, closed forms and simulations; `test_rliable` compares them with rliable."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis.inference import aggregates
from analysis.inference.aggregates import (
    AGGREGATES,
    iqm,
    median,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
)
from analysis.inference.paired import stratified
from analysis.inference.shares import score_interval
from tests.analysis.inference.coverage import (
    GAP,
    IQM,
    MEDIAN,
    coverage,
    gap_of,
    improvement_covered,
    iqm_of,
    median_of,
    profile_covered,
    truth,
)

finite = st.floats(-10, 10).map(lambda v: round(v, 2))
tasks = st.dictionaries(st.sampled_from("abcd"), st.lists(finite, min_size=1, max_size=6), min_size=1)


def ends(found):
    return found.value, found.low, found.high


@pytest.mark.parametrize("runs", range(1, 13))
def test_the_interquartile_mean_is_scipys_trimmed_mean(runs):
    x = np.random.default_rng(runs).normal(size=(runs, 3))
    found = iqm({str(i): column for i, column in enumerate(x.T)})
    assert found.value == pytest.approx(stats.trim_mean(x, 0.25, axis=None))


def test_the_interquartile_mean_of_unequal_seeds_counts_tasks_the_same():
    """Zeros reach up to 3/8 of the weight, ones to 7/8: the middle half, 2/8 to 6/8, is one part 0, three parts 1."""
    assert iqm({"a": [0.0] * 8, "b": [1.0, 1.0]}).value == pytest.approx(0.5)
    assert iqm({"a": [0.0, 0.0, 0.0, 9.0], "b": [1.0] * 8}).value == pytest.approx(0.75)


def test_an_outlier_moves_the_mean_and_not_the_interquartile_mean():
    usual = {t: [0.4, 0.45, 0.5, 0.55, 0.6] for t in "abc"}
    odd = usual | {"c": [0.4, 0.45, 0.5, 0.55, 60.0]}
    assert ends(iqm(odd)) == pytest.approx(ends(iqm(usual)), abs=0.02)
    assert aggregates.mean(odd).value > 4


def test_one_task_has_the_interval_of_tukey_and_mclaughlin():
    """The winsorised standard deviation over the share that is kept and the root of n; df: one less than is kept."""
    x = np.random.default_rng(0).normal(size=12)
    winsorised = stats.mstats.winsorize(x, (0.25, 0.25))
    error = float(np.std(winsorised, ddof=1)) / 0.5 / np.sqrt(12)
    found = iqm({"a": x})
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 5) * error)


def test_the_mean_is_stratified_and_the_gap_is_of_clipped_scores():
    rng = np.random.default_rng(1)
    scores = {"a": rng.normal(1, 0.5, 5), "b": rng.normal(0.5, 0.5, 8)}
    assert ends(aggregates.mean(scores)) == pytest.approx(ends(stratified(scores)))
    short = stratified({t: np.maximum(0.8 - x, 0) for t, x in scores.items()})
    assert ends(optimality_gap(scores, gamma=0.8)) == pytest.approx(ends(short))
    assert ends(optimality_gap({"a": [1.0, 3.0, 2.0]})) == pytest.approx((0, np.nan, np.nan), nan_ok=True)


def test_the_median_of_up_to_two_tasks_is_the_mean_and_of_three_the_middle_one():
    rng = np.random.default_rng(2)
    scores = {t: rng.normal(i, 0.1, 5) for i, t in enumerate("abc")}
    two = {t: scores[t] for t in "ab"}
    assert ends(median(two)) == pytest.approx(ends(aggregates.mean(two)))
    found, alone = median(scores), stratified({"b": scores["b"]})
    assert found.value == pytest.approx(scores["b"].mean())
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=0.02)


@pytest.mark.parametrize("name", AGGREGATES)
def test_little_data_has_a_value_and_no_interval(name):
    one = AGGREGATES[name]({"a": [0.5], "b": [0.25], "c": [0.75], "d": [np.nan]})
    assert (one.kind, one.n, one.value) == ("none", 3, pytest.approx(0.5))
    nothing = AGGREGATES[name]({"a": [np.nan]})
    assert (nothing.kind, nothing.n) == ("none", 0)
    assert np.isnan(nothing.value)
    assert np.isnan(AGGREGATES[name]({}).value)


@given(tasks, finite)
def test_aggregates_move_with_the_scores_and_hold_their_value(scores, by):
    for name in ("mean", "median", "iqm"):
        found = AGGREGATES[name](scores)
        moved = AGGREGATES[name]({t: np.add(x, by) for t, x in scores.items()})
        assert np.min([min(x) for x in scores.values()]) - 1e-9 <= found.value
        assert found.value <= np.max([max(x) for x in scores.values()]) + 1e-9
        assert moved.value == pytest.approx(found.value + by, abs=1e-9)
        if found.kind != "none":
            assert found.low - 1e-9 <= found.value <= found.high + 1e-9


@given(tasks, tasks)
def test_improvement_and_its_opposite_add_to_one(first, second):
    ours, theirs = probability_of_improvement(first, second), probability_of_improvement(second, first)
    if ours.kind != "none":
        assert ends(ours) == pytest.approx((1 - theirs.value, 1 - theirs.high, 1 - theirs.low))
        assert 0 <= ours.low <= ours.value <= ours.high <= 1
    assert ours.n == theirs.n


def test_improvement_is_the_mann_whitney_statistic_of_the_common_tasks():
    rng = np.random.default_rng(3)
    x = {"a": rng.integers(0, 5, 6).astype(float), "b": rng.normal(size=3), "c": rng.normal(size=4)}
    y = {"b": rng.normal(size=7), "a": rng.integers(0, 5, 4).astype(float), "d": rng.normal(size=4)}
    each = [stats.mannwhitneyu(x[t], y[t]).statistic / (len(x[t]) * len(y[t])) for t in "ab"]
    found = probability_of_improvement(x, y)
    assert (found.value, found.n, found.kind) == (pytest.approx(np.mean(each)), 20, "score")
    assert probability_of_improvement({"a": x["a"]}, {"d": y["d"]}).kind == "none"


def test_certainty_needs_more_than_three_runs():
    sure = probability_of_improvement({"a": [1.0, 2.0, 3.0]}, {"a": [0.0, 0.1, 0.2]})
    assert sure.value == sure.high == 1
    assert 0.4 < sure.low < 0.8
    more = probability_of_improvement({t: np.arange(1, 11) for t in "abc"}, {t: np.zeros(10) for t in "abc"})
    assert more.low > 0.9


def test_the_profile_of_one_task_has_wilsons_bands():
    x = np.arange(10) / 10
    found = performance_profile({"a": x}, [-1, 0.25, 0.55, 2], level=0.9)
    assert found.share == pytest.approx([1, 0.7, 0.4, 0])
    theirs = [stats.binomtest(k, 10).proportion_ci(0.9, method="wilson") for k in (10, 7, 4, 0)]
    assert found.low == pytest.approx([each.low for each in theirs], abs=1e-9)
    assert found.high == pytest.approx([each.high for each in theirs], abs=1e-9)
    assert (found.n, found.tasks, found.level) == (10, 1, 0.9)


def test_the_profile_falls_and_is_that_of_the_tasks_on_average():
    rng = np.random.default_rng(4)
    scores, tau = {"a": rng.random(3), "b": rng.random(12) + 0.3, "c": [np.nan]}, np.linspace(0, 1.5, 30)
    found = performance_profile(scores, tau)
    assert found.share == pytest.approx([np.mean([np.mean(scores[t] > x) for t in "ab"]) for x in tau])
    for row in (found.share, found.low, found.high):
        assert np.all(np.diff(row) <= 1e-9) or row is not found.share
    assert np.all((found.low <= found.share) & (found.share <= found.high))
    assert np.isnan(performance_profile({}, tau).share).all()
    assert len(performance_profile(scores, []).share) == 0


def test_tasks_that_differ_have_narrower_bands_than_tasks_that_are_alike():
    count = np.array([10, 10])
    variance = lambda share: share * (1 - share) / count
    apart, alike = (score_interval(np.array(p), count, variance, 0.95) for p in ([0.0, 1.0], [0.5, 0.5]))
    assert apart[1] - apart[0] < 0.75 * (alike[1] - alike[0])


@pytest.mark.parametrize(("setting", "low", "high"), IQM, ids=str)
def test_coverage_of_the_interquartile_mean(setting, low, high):
    assert low <= coverage(setting, iqm, truth(setting, iqm_of), 1500) <= high


@pytest.mark.parametrize(("setting", "low", "high"), MEDIAN, ids=str)
def test_coverage_of_the_median(setting, low, high):
    assert low <= coverage(setting, median, truth(setting, median_of), 600) <= high


@pytest.mark.parametrize(("setting", "low", "high"), GAP, ids=str)
def test_coverage_of_the_optimality_gap(setting, low, high):
    assert low <= coverage(setting, optimality_gap, truth(setting, gap_of), 1500) <= high


@pytest.mark.parametrize(
    ("noise", "shifts", "seeds", "scale"),
    [
        ("normal", (0, 0, 0, 0, 0), (5, 5), 1),
        ("normal", (-2, -1, 0, 1, 2), (5, 5), 1),
        ("normal", (1, 1, 1), (3, 10), 1),
        ("normal", (0, 0, 0, 0, 0), (5, 5), 3),
        ("heavy lognormal", (0.5, 0.5, 0.5), (5, 5), 1),
        ("normal", (2.5, 2.5, 2.5), (3, 3), 1),
    ],
)
def test_coverage_of_the_probability_of_improvement(noise, shifts, seeds, scale):
    assert 0.925 <= improvement_covered(noise, shifts, seeds, 1000, scale) <= 0.985


@pytest.mark.parametrize(
    ("shares", "seeds"),
    [((0.5,) * 5, 5), ((0.1,) * 5, 5), ((0.05, 0.3, 0.5, 0.7, 0.95), 5), ((0.2, 0.9), 10), ((0.5,), 20)],
)
def test_coverage_of_the_profile(shares, seeds):
    assert 0.925 <= profile_covered(shares, seeds, 1000) <= 0.985
