"""Tests of dependent correlations against published numbers, Simpson's paradox, and the noise of seeds."""

import numpy as np
import pytest
from scipy import stats

from analysis.inference.dependence import TESTS, dependent, reliability, simpson
from tests.analysis.inference.designs import layout


def williams_by_determinant(r1, r2, r12, n):
    """Williams' t from the matrix itself (Steiger 1980, eq. 7), written another way."""
    matrix = np.array([[1, r1, r2], [r1, 1, r12], [r2, r12, 1]])
    spread = 2 * (n - 1) / (n - 3) * np.linalg.det(matrix) + ((r1 + r2) ** 2 / 4) * (1 - r12) ** 3
    return (r1 - r2) * np.sqrt((n - 1) * (1 + r12)) / np.sqrt(spread)


@pytest.mark.parametrize("r", [(0.4, 0.5, 0.1, 103), (0.3, 0.6, 0.1, 305), (-0.8, -0.3, 0.4, 12)])
def test_williams_is_that_of_the_determinant(r):
    found = dependent(*r)
    assert found.statistic == pytest.approx(williams_by_determinant(*r))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(found.statistic), r[-1] - 3))


def test_an_example_of_steiger_1980():
    """Case A of the R package psych's `r.test`: t = -0.89, p < 0.37."""
    found = dependent(0.4, 0.5, 0.1, 103)
    assert found.statistic == pytest.approx(-0.89, abs=0.005)
    assert found.p == pytest.approx(0.37, abs=0.01)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((0.8066, 0.2383, 0.2255, 177), (9.3823, 8.5460, 8.3907)),
        ((-0.1741, 0.2015, 0.3734, 646), (-9.0340, -8.6124, -8.5080)),
        ((0.1724, 0.1795, 0.5387, 646), (-0.1909, -0.1909, -0.1909)),
    ],
)
def test_published_output_of_the_r_package_cocor(given, expected):
    """Correlations printed with four digits: the first from the manual of the R package rmcorr."""
    found = [dependent(*given, test).statistic for test in TESTS]
    assert found == pytest.approx(expected, rel=3e-3, abs=2e-3)


@pytest.mark.parametrize("test", TESTS)
def test_signs_and_symmetry(test):
    one, other = dependent(-0.8, -0.3, 0.4, 20, test), dependent(-0.3, -0.8, 0.4, 20, test)
    assert one.statistic == pytest.approx(-other.statistic)
    assert one.statistic < 0
    assert one.p == pytest.approx(other.p)
    assert dependent(0.5, 0.5, 0.2, 20, test).p == pytest.approx(1)


@pytest.mark.parametrize("test", TESTS)
def test_too_few_units_have_no_test(test):
    assert np.isnan(dependent(0.1, 0.2, 0.3, 3, test).p)
    assert np.isnan(dependent(0.1, np.nan, 0.3, 20, test).p)


def test_perfect_correlations_have_no_z():
    assert np.isnan(dependent(1.0, 0.2, 0.2, 20, "meng").p)
    assert np.isnan(dependent(0.5, 0.5, 1.0, 20, "williams").p)


@pytest.mark.parametrize("test", TESTS)
def test_false_positives_are_nominal(test):
    rng = np.random.default_rng(3)
    truth = np.linalg.cholesky([[1, 0.5, 0.4], [0.5, 1, 0.4], [0.4, 0.4, 1]])
    found = 0
    for data in rng.normal(size=(1000, 20, 3)) @ truth.T:
        r = np.corrcoef(data.T)
        found += dependent(r[0, 2], r[1, 2], r[0, 1], 20, test).p < 0.05
    assert 0.03 <= found / 1000 <= 0.07


def test_mixed_tasks_turn_a_correlation_round():
    design, task = layout(8, 3, 1)
    rng = np.random.default_rng(0)
    level = np.repeat([0.0, 10.0, 20.0], 8)
    within = rng.normal(size=24)
    x, y = level + within, level - within + 0.2 * rng.normal(size=24)
    found = simpson(design, task, x, y)
    assert found.paradox
    assert found.mixed.low > 0 > found.within.high
    assert found.mixed.value == pytest.approx(stats.pearsonr(x, y).statistic)
    assert not simpson(design, task, within, y - level).paradox
    assert not simpson(design, task, rng.normal(size=24), rng.normal(size=24)).paradox


def test_one_task_has_no_paradox_and_few_points_no_number():
    design, task = layout(6, 1, 1)
    x = np.arange(6.0)
    assert not simpson(design, task, x, -x).paradox
    assert np.isnan(simpson(design[:3], task[:3], x[:3], x[:3]).mixed.value)
    assert np.isnan(simpson([], [], [], []).mixed.value)


def test_reliability_is_the_share_of_variance_without_noise():
    rng = np.random.default_rng(1)
    design, task = layout(400, 1, 4)
    values = np.repeat(rng.normal(size=400), 4) + 2 * rng.normal(size=1600)  # noise of a mean: variance 1
    assert reliability(design, task, values) == pytest.approx(0.5, abs=0.08)
    assert reliability(design, task, np.repeat(rng.normal(size=400), 4)) == pytest.approx(1)


def test_one_seed_has_no_reliability():
    design, task = layout(9, 2, 1)
    assert np.isnan(reliability(design, task, np.arange(18.0)))
    assert np.isnan(reliability([], [], []))
