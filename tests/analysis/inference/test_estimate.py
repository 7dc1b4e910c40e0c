"""The mean and its interval against scipy, closed forms and simulations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

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
