"""95 % intervals of correlations and of their differences cover 93 to 97 %, of designs with a known truth.

Means over the same number of seeds have the correlation rho / (1 + noise^2 / seeds), that of ranks follows from it.
"""

import numpy as np
import pytest
from scipy import stats

from analysis.inference.clusters import Points
from analysis.inference.correlation import _apart, _ends, _Panel, _Scale, _varies, correlate, difference
from tests.analysis.inference.designs import correlated, layout, studies

TRIALS = 3000
SLACK = 0.01  # two and a half standard errors of a rate of 95 % in as many trials
TRUTH = {
    "pearson": lambda r: r,
    "spearman": lambda r: 6 / np.pi * np.arcsin(r / 2),
    "kendall": lambda r: 2 / np.pi * np.arcsin(r),
}


def points(*values):
    """Means of designs [trials, tasks, designs], as `correlate` has them of one study."""
    tasks, designs = values[0].shape[1:]
    names = [f"d{d}" for d in range(designs)], [f"t{t}" for t in range(tasks)]
    return Points(*names, np.arange(designs), values, np.ones((tasks, designs), dtype=np.int64))


def intervals(method, x, y, *, held=False):
    """Ends of the intervals of many studies at once; `test_many_at_once_are_those_of_each` holds it to `correlate`."""
    here = points(x, y)
    left = _Panel.of(here, ((0, 1),), method, "designs").left_out("pooled")
    scale = _Scale.of(here, method)
    varies = _varies(left, here, scale)
    return _ends(left.full, scale, varies.of_designs() if held else varies, 0.95)


def differences(method, first, second, y):
    """Likewise of the difference of two correlations with y."""
    here = points(first, second, y)
    panels = [_Panel.of(here, ((i, 2),), method, "designs") for i in (0, 1)]
    return _apart(panels, _Scale.of(here, method), "pooled", 0.95)[1:]


def covered(ends, truth):
    return np.mean((ends[0] <= truth) & (truth <= ends[1]))


def drawn(shape, rho, trials=TRIALS, **how):
    designs, tasks, seeds = shape
    return studies(np.random.default_rng(20), trials, designs, tasks, seeds, rho, **how)


@pytest.mark.parametrize("method", TRUTH)
@pytest.mark.parametrize("shape", [(5, 1, 2), (9, 3, 2)])
def test_many_at_once_are_those_of_each(method, shape):
    x, y = drawn(shape, 0.7, 20)
    other = np.roll(x, 1, axis=0) + y
    names = layout(shape[0], shape[1], 1)
    many, apart = intervals(method, x, y), differences(method, x, other, y)
    for i in range(20):
        values = [each[i].ravel() for each in (x, y, other)]
        one = correlate(*names, *values[:2], method=method).estimate
        assert (one.low, one.high) == pytest.approx((many[0][i], many[1][i]))
        one = difference(*names, values[0], values[2], values[1], method=method)
        assert (one.low, one.high) == pytest.approx((apart[0][i], apart[1][i]))


def truth(method, rho, seeds, noise=0.7, apart=0.0):
    z = np.arctanh(rho) + apart * stats.norm.ppf((np.arange(4000) + 0.5) / 4000)
    return np.mean(TRUTH[method](np.tanh(z) / (1 + noise**2 / seeds)))


@pytest.mark.parametrize("rho", [0, 0.8])
@pytest.mark.parametrize("method", TRUTH)
@pytest.mark.parametrize("shape", [(8, 1, 3), (20, 1, 10), (12, 3, 2), (10, 7, 5)])
def test_coverage_over_designs_tasks_and_seeds(shape, method, rho):
    found = intervals(method, *drawn(shape, rho))
    assert 0.93 - SLACK <= covered(found, truth(method, rho, shape[2])) <= 0.97 + SLACK


@pytest.mark.parametrize(
    "how",
    [{"shared": 1.0}, {"shared": 0.0}, {"apart": 0.15}, {"apart": 0.3}],
    ids=[
        "one effect for all tasks",
        "an effect for each task",
        "tasks that differ",
        "tasks that differ much",
    ],
)
@pytest.mark.parametrize("shape", [(10, 3, 3), (20, 5, 3)])
def test_coverage_whatever_tasks_share(shape, how):
    expected = truth("spearman", 0.6, 3, apart=how.get("apart", 0))
    found = intervals("spearman", *drawn(shape, 0.6, **how))
    assert 0.93 - SLACK <= covered(found, expected) <= 0.97 + SLACK


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_coverage_with_heavy_tails(method):
    """Noise of t with 3 degrees of freedom; the truth of ranks from a large sample."""
    expected = truth(method, 0.7, 4)
    if method == "spearman":
        x, y = studies(np.random.default_rng(1), 1, 200_000, 1, 4, 0.7, tails=3)
        expected = stats.spearmanr(x.ravel(), y.ravel()).statistic
    found = intervals(method, *drawn((12, 3, 4), 0.7, tails=3))
    assert 0.93 - SLACK <= covered(found, expected) <= 0.97 + SLACK


def test_of_the_tasks_held_the_interval_covers_their_own_mean():
    found = intervals("pearson", *drawn((12, 4, 3), 0.5), held=True)
    assert 0.93 - SLACK <= covered(found, truth("pearson", 0.5, 3)) <= 0.97 + SLACK


@pytest.mark.parametrize("designs", [10, 20])
def test_the_smallest_correlation_is_found_as_often_as_it_says(designs):
    noise = correlated(np.random.default_rng(0), (designs,), 0).T
    smallest = correlate(*layout(designs, 1, 1), *noise, method="pearson").detectable
    low, _ = intervals("pearson", *drawn((designs, 1, 1), smallest, noise=0))
    assert np.mean(low > 0) == pytest.approx(0.8, abs=0.04)


CASES = {
    "both none": (0.0, 0.0, 0.5),
    "both alike": (-0.6, -0.6, 0.6),
    "the first more": (-0.8, -0.3, 0.3),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", ["pearson", "spearman"])
@pytest.mark.parametrize("shape", [(8, 1), (12, 3), (20, 5)])
def test_coverage_and_false_positives_of_the_difference(shape, method, case):
    """As H4 uses it: supported if the interval lies above 0, so by chance in at most 2.5 %."""
    designs, tasks = shape
    r1, r2, r12 = CASES[case]
    matrix = np.linalg.cholesky([[1, r12, r1], [r12, 1, r2], [r1, r2, 1]])
    rng = np.random.default_rng(30)
    effects = np.sqrt(0.5) * (
        rng.normal(size=(TRIALS, 1, designs, 3)) + rng.normal(size=(TRIALS, tasks, designs, 3))
    )
    first, second, y = np.moveaxis(effects @ matrix.T, 3, 0)
    low, high = differences(method, second, first, y)
    expected = TRUTH[method](r2) - TRUTH[method](r1)
    assert 0.92 - SLACK <= covered((low, high), expected) <= 0.98 + SLACK
    if r1 == r2:
        assert np.mean(low > 0) <= 0.025 + SLACK / 2
        assert np.mean(high < 0) <= 0.025 + SLACK / 2
    elif designs > 8:
        assert np.mean(low > 0) > 0.4
