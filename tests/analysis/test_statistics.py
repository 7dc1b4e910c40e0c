"""Statistics against scipy, closed forms and simulations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis.inference.correlation import correlate
from analysis.inference.estimate import BOOTSTRAP_SEEDS, bca_interval, estimate, generator

values = st.lists(st.floats(-1e3, 1e3).map(lambda v: round(v, 3)), min_size=1, max_size=12)


@pytest.mark.parametrize("n", [2, 4, 5, 19])
def test_few_seeds_have_students_interval(n):
    x = np.random.default_rng(n).normal(5, 2, n)
    found = estimate(x, "key")
    low, high = stats.ttest_1samp(x, 0).confidence_interval(0.95)
    assert (found.kind, found.n) == ("t", n)
    assert found.value == pytest.approx(x.mean())
    assert (found.low, found.high) == pytest.approx((low, high))


def test_one_value_and_none_have_no_interval():
    assert estimate([3.0], "k").kind == "none"
    assert estimate([3.0], "k").value == 3
    empty = estimate([np.nan, np.nan], "k")
    assert empty.n == 0
    assert np.isnan(empty.value)


def test_nans_are_left_out_and_not_counted():
    assert estimate([1.0, np.nan, 3.0], "k") == estimate([1.0, 3.0], "k")


def test_bca_agrees_with_scipy():
    x = np.random.default_rng(0).exponential(1, 30)
    ours = bca_interval(x, generator("x"), resamples=20_000)
    theirs = stats.bootstrap((x,), np.mean, n_resamples=20_000, method="BCa", rng=1).confidence_interval
    assert ours == pytest.approx(tuple(theirs), abs=0.02)


@pytest.mark.parametrize("n", [5, BOOTSTRAP_SEEDS])
def test_equal_seeds_have_an_interval_of_no_length(n):
    found = estimate([2.0] * n, "k")
    assert (found.low, found.value, found.high) == (2, 2, 2)


@given(values)
def test_an_interval_holds_its_mean_and_is_deterministic(x):
    found = estimate(x, "a key")
    assert found == estimate(x, "a key") or found.n < 2
    if found.n > 1:
        slack = 1e-9 * max(1, abs(found.value))
        assert found.low - slack <= found.value <= found.high + slack


def test_many_seeds_have_a_bootstrap():
    x = np.random.default_rng(2).exponential(1, BOOTSTRAP_SEEDS)
    found = estimate(x, "k")
    assert found.kind == "bootstrap"
    assert (
        found.high - found.value > found.value - found.low
    )  # it follows the skewness, as Student's t does not


@pytest.mark.parametrize(("n", "trials", "least"), [(5, 2000, 0.92), (8, 2000, 0.92), (20, 300, 0.9)])
def test_coverage_of_the_mean_is_near_95_percent(n, trials, least):
    samples = np.random.default_rng(7).normal(1, 1, (trials, n))
    found = [estimate(x, "coverage", i) for i, x in enumerate(samples)]
    covered = np.mean([each.low <= 1 <= each.high for each in found])
    assert least <= covered <= 0.98


def layout(designs, tasks, seeds):
    names = [(f"d{d}", f"t{t}") for d in range(designs) for t in range(tasks) for _ in range(seeds)]
    return [name[0] for name in names], [name[1] for name in names]


def test_correlation_over_runs_agrees_with_scipy():
    rng = np.random.default_rng(3)
    design, task = layout(6, 1, 4)
    x = rng.normal(size=24)
    y = x + rng.normal(size=24)
    found = correlate(design, task, x, y, level="runs")
    assert found.r == pytest.approx(stats.pearsonr(x, y).statistic)
    assert found.rho == pytest.approx(stats.spearmanr(x, y).statistic)
    assert (found.points, found.designs, found.tasks, found.runs) == (24, 6, 1, 24)


def test_correlation_over_designs_is_that_of_their_means():
    rng = np.random.default_rng(4)
    design, task = layout(6, 1, 3)
    x, y = rng.normal(size=18), rng.normal(size=18)
    found = correlate(design, task, x, y, level="designs")
    means = [v.reshape(6, 3).mean(axis=1) for v in (x, y)]
    assert found.r == pytest.approx(stats.pearsonr(*means).statistic)
    assert found.rho == pytest.approx(stats.spearmanr(*means).statistic)
    assert found.points == 6


def test_tasks_are_standardised_before_pooling():
    """Perfect correlation within each task, tasks on other scales: pooled r is 1, raw r would not be."""
    design, task = layout(5, 2, 1)
    x = np.array([[d, 100 - 7 * d] for d in range(5)], dtype=float).ravel()
    y = np.array([[3 * d, 9 - d] for d in range(5)], dtype=float).ravel()
    found = correlate(design, task, x, y, level="designs")
    assert found.r == pytest.approx(1)
    assert found.rho == pytest.approx(1)
    assert abs(stats.pearsonr(x, y).statistic) < 0.9


def test_nan_pairs_are_left_out():
    design, task = layout(6, 1, 1)
    x, y = np.arange(6.0), np.array([0, 2, 1, 3, 5, 4.0])
    x[2] = np.nan
    found = correlate(design, task, x, y, level="runs")
    kept = np.isfinite(x)
    assert found.r == pytest.approx(stats.pearsonr(x[kept], y[kept]).statistic)
    assert found.points == found.designs == 5


@pytest.mark.parametrize("tasks", [1, 3])
def test_two_designs_have_no_correlation_over_designs(tasks):
    design, task = layout(2, tasks, 4)
    x = np.random.default_rng(0).normal(size=8 * tasks)
    found = correlate(design, task, x, x, level="designs")
    assert np.isnan(found.r)
    assert found.designs == 2
    assert correlate(design, task, x, x, level="runs").r == pytest.approx(1)


def test_no_variation_and_no_data_have_no_correlation():
    design, task = layout(6, 1, 1)
    assert np.isnan(correlate(design, task, [1.0] * 6, list(range(6)), level="runs").r)
    assert np.isnan(correlate([], [], [], [], level="designs").r)
    assert np.isnan(correlate(["a"], ["t"], [1.0], [2.0], level="runs").r)


def test_ties_keep_their_average_rank():
    design, task = layout(6, 1, 1)
    x, y = [1, 1, 2, 2, 3, 3.0], [1, 2, 2, 3, 3, 4.0]
    assert correlate(design, task, x, y, level="runs").rho == pytest.approx(stats.spearmanr(x, y).statistic)


def test_interval_of_a_correlation_is_given_from_five_designs_on_and_holds_the_estimate():
    rng = np.random.default_rng(5)
    for designs in (4, 5, 9):
        design, task = layout(designs, 2, 3)
        x = rng.normal(size=designs * 6)
        found = correlate(design, task, x, -x + rng.normal(size=len(x)), "k", level="designs", resamples=500)
        if designs < 5:
            assert np.isnan(found.pearson[0])
        else:
            assert -1 <= found.pearson[0] <= found.r <= found.pearson[1] <= 1
            assert -1 <= found.spearman[0] <= found.rho <= found.spearman[1] <= 1


def test_tasks_of_opposite_sign_have_a_wide_interval_of_the_pooled_correlation():
    """Tasks are a sample too: forecasts that help on one task and hurt on the next say nothing of a third."""
    rng = np.random.default_rng(12)
    design, task = layout(10, 2, 3)
    x = rng.normal(size=(10, 1, 1)) + 0.2 * rng.normal(size=(10, 2, 3))
    y = x * np.array([1, -1])[:, None] + 0.3 * rng.normal(size=(10, 2, 3))
    found = correlate(design, task, x.ravel(), y.ravel(), "k", level="designs", resamples=1000)
    assert abs(found.r) < 0.3
    assert found.tasks == 2
    for low, high in (found.pearson, found.spearman):
        assert low < -0.6
        assert high > 0.6


def test_tasks_that_agree_have_a_narrow_interval():
    rng = np.random.default_rng(13)
    design, task = layout(10, 3, 3)
    x = rng.normal(size=(10, 1, 1)) + 0.2 * rng.normal(size=(10, 3, 3))
    y = x + 0.3 * rng.normal(size=(10, 3, 3))
    low, _ = correlate(design, task, x.ravel(), y.ravel(), "k", level="designs", resamples=1000).pearson
    assert low > 0.7


def test_correlation_is_deterministic_and_keyed():
    design, task = layout(6, 1, 3)
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=18), rng.normal(size=18)
    first = correlate(design, task, x, y, "k", level="designs", resamples=500)
    assert first == correlate(design, task, x, y, "k", level="designs", resamples=500)
    assert first.pearson != correlate(design, task, x, y, "other", level="designs", resamples=500).pearson


def test_coverage_of_the_correlation_over_designs():
    """Designs are the sample: 10 of them with true correlation 0.7, three noisy seeds each."""
    rng = np.random.default_rng(8)
    design, task = layout(10, 1, 3)
    noise, rho, covered, trials = 0.3, 0.7, 0, 150
    expected = rho / (1 + noise**2 / 3)
    for i in range(trials):
        true = rng.normal(size=(10, 2)) @ np.linalg.cholesky([[1, rho], [rho, 1]]).T
        x, y = np.repeat(true, 3, axis=0).T + noise * rng.normal(size=(2, 30))
        low, high = correlate(design, task, x, y, i, level="designs", resamples=300).pearson
        covered += low <= expected <= high
    assert 0.89 <= covered / trials <= 1


def test_a_perfect_correlation_of_few_designs_has_an_interval_of_some_length():
    design, task = layout(5, 1, 3)
    rng = np.random.default_rng(9)
    x = np.repeat(np.arange(5.0), 3) + 0.3 * rng.normal(size=15)
    found = correlate(design, task, x, x**3 + rng.normal(size=15), level="designs")
    assert found.rho == 1
    assert found.spearman[1] == 1
    assert found.spearman[0] < 0.95
