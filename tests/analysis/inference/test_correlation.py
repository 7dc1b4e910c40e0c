"""Correlations over designs against scipy, statsmodels and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.inference.correlation import METHODS, correlate, difference
from tests.analysis.inference.designs import correlated, layout

ORACLE = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}


def oracle(method, x, y):
    return ORACLE[method](x, y).statistic


def study(seed, designs=7, tasks=3, seeds=4):
    """Design, task, x and y of runs."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(tasks, designs, 1)) + 0.5 * rng.normal(size=(tasks, designs, seeds))
    y = x + rng.normal(size=x.shape)
    return *layout(designs, tasks, seeds), x.ravel(), y.ravel()


def means(values, designs=7, tasks=3):
    return values.reshape(tasks, designs, -1).mean(axis=2)


def same(first, second):
    """Equal, or nothing on both sides."""
    return first == pytest.approx(second, nan_ok=True, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_of_one_task_it_is_that_of_scipy_over_means_or_runs(method):
    design, task, x, y = study(3, tasks=1)
    over = correlate(design, task, x, y, method=method)
    assert over.value == pytest.approx(oracle(method, means(x, tasks=1)[0], means(y, tasks=1)[0]))
    assert (over.points, over.designs, over.tasks, over.runs) == (7, 7, 1, 28)
    runs = correlate(design, task, x, y, method=method, over="runs")
    assert runs.value == pytest.approx(oracle(method, x, y))
    assert (runs.points, runs.designs, runs.runs) == (28, 7, 28)


@pytest.mark.parametrize("method", METHODS)
def test_of_several_tasks_it_is_the_mean_of_those_within(method):
    design, task, x, y = study(4)
    within = [oracle(method, a, b) for a, b in zip(means(x), means(y), strict=True)]
    found = correlate(design, task, x, y, method=method)
    assert found.value == pytest.approx(np.mean(within))
    assert list(found.by_task.values()) == pytest.approx(within)
    assert list(found.by_task) == ["t0", "t1", "t2"]
    assert found.points == 21


def test_pooled_is_the_correlation_of_points_standardised_within_tasks():
    design, task, x, y = study(5)
    standard = [stats.zscore(means(value), axis=1).ravel() for value in (x, y)]
    found = correlate(design, task, 3 + 100 * x, y, method="pearson")
    assert found.value == pytest.approx(stats.pearsonr(*standard).statistic)


def test_tasks_count_by_their_designs():
    design, task, x, y = study(6, tasks=2)
    kept = np.array([t == "t0" or d not in {"d5", "d6"} for d, t in zip(design, task, strict=True)])
    names = [[name for name, keep in zip(column, kept, strict=True) if keep] for column in (design, task)]
    found = correlate(*names, x[kept], y[kept])
    one, other = found.by_task.values()
    assert found.value == pytest.approx((7 * one + 5 * other) / 12)
    assert found.points == 12


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=12),
    st.sampled_from(METHODS),
)
def test_ties_are_those_of_scipy(pairs, method):
    x, y = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    design, task = layout(len(pairs), 1, 1)
    found = correlate(design, task, x, y, method=method).value
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(oracle(method, x, y), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(METHODS), st.floats(0.1, 1e5), st.floats(-1e3, 1e3))
def test_units_do_not_matter_and_a_sign_turns_it_round(seed, method, unit, zero):
    design, task, x, y = study(seed)
    found = correlate(design, task, x, y, method=method)
    moved = correlate(design, task, zero + unit * x, y, method=method)
    turned = correlate(design, task, -x, y, method=method)
    ends = (found.estimate.low, found.estimate.high)
    assert same((moved.estimate.low, moved.estimate.high), ends)
    assert same((-turned.estimate.high, -turned.estimate.low), ends)
    assert same(correlate(design, task, y, x, method=method).value, found.value)


@pytest.mark.parametrize("method", ["spearman", "kendall"])
def test_ranks_are_all_that_matters_over_designs_of_one_seed(method):
    design, task, x, y = study(8, seeds=1)
    found = correlate(design, task, x, y, method=method)
    assert correlate(design, task, np.exp(3 * x), y**3, method=method) == found


@pytest.mark.parametrize("method", METHODS)
def test_without_a_design_or_a_task_it_is_that_of_the_others(method):
    design, task, x, y = study(9)
    found = correlate(design, task, x, y, method=method)
    for names, left in ((design, found.without_design), (task, found.without_task)):
        assert list(left) == list(dict.fromkeys(names))
        for name, value in left.items():
            kept = np.array([each != name for each in names])
            rest = [[v for v, keep in zip(column, kept, strict=True) if keep] for column in (design, task)]
            assert value == pytest.approx(correlate(*rest, x[kept], y[kept], method=method).value)


def test_a_partial_correlation_is_that_of_residuals():
    rng = np.random.default_rng(10)
    design, task, x, y = study(10, designs=12, tasks=1, seeds=1)
    z = x + rng.normal(size=12)
    ranks = [stats.rankdata(value) for value in (x, y, z)]
    for method, (a, b, c) in {"pearson": (x, y, z), "spearman": ranks}.items():
        basis = np.stack([np.ones(12), c], axis=1)
        rest = [v - basis @ np.linalg.lstsq(basis, v, rcond=None)[0] for v in (a, b)]
        found = correlate(design, task, x, y, given=z, method=method)
        assert found.value == pytest.approx(stats.pearsonr(*rest).statistic)
        assert found.estimate.low < found.value < found.estimate.high


def test_nothing_is_left_when_what_is_held_constant_explains_all_or_nothing_varies():
    design, task, x, y = study(11, tasks=1)
    assert np.isnan(correlate(design, task, x, y, given=np.ones(28)).value)
    assert np.isnan(correlate(design, task, x, y, given=2 * x, method="pearson").value)


@pytest.mark.parametrize("over", ["designs", "runs"])
def test_repeated_measures_are_an_analysis_of_covariance(over):
    """Bakdash and Marusich (2017): r = sign(slope) sqrt(SS of x / (SS of x + SS of error))."""
    import pandas as pd
    import statsmodels.formula.api as smf
    from statsmodels.stats.anova import anova_lm

    design, task, x, y = study(12)
    x = x * np.repeat([1.0, 5.0, 0.3], 28)
    frame = pd.DataFrame({"design": design, "task": task, "x": x, "y": y})
    if over == "designs":
        frame = frame.groupby(["design", "task"], as_index=False)[["x", "y"]].mean()
    fitted = smf.ols("y ~ C(task) + x", frame).fit()
    squares = anova_lm(fitted)["sum_sq"]
    expected = np.sign(fitted.params["x"]) * np.sqrt(squares["x"] / (squares["x"] + squares["Residual"]))
    found = correlate(design, task, x, y, method="pearson", how="repeated", over=over)
    assert found.value == pytest.approx(expected)
    assert found.value != pytest.approx(correlate(design, task, x, y, method="pearson", over=over).value)


def test_runs_with_a_nan_are_left_out():
    design, task, x, y = study(13)
    broken = x.copy()
    broken[[0, 5, 30]] = np.nan
    kept = np.isfinite(broken)
    names = [[name for name, keep in zip(column, kept, strict=True) if keep] for column in (design, task)]
    assert correlate(design, task, broken, y) == correlate(*names, x[kept], y[kept])
    assert correlate(design, task, broken, y).runs == 81


@pytest.mark.parametrize("tasks", [1, 3])
def test_two_designs_have_no_correlation_over_designs(tasks):
    design, task = layout(2, tasks, 4)
    x = np.random.default_rng(0).normal(size=8 * tasks)
    found = correlate(design, task, x, x)
    assert np.isnan(found.value)
    assert (found.designs, found.tasks, found.estimate.kind) == (2, tasks, "none")
    assert correlate(design, task, x, x, over="runs").value == pytest.approx(1)


def test_a_task_with_too_few_designs_does_not_count():
    design, task, x, y = study(14, tasks=2)
    kept = np.array([t == "t0" or d in {"d0", "d1"} for d, t in zip(design, task, strict=True)])
    names = [[name for name, keep in zip(column, kept, strict=True) if keep] for column in (design, task)]
    found = correlate(*names, x[kept], y[kept])
    assert found == correlate(design[:28], task[:28], x[:28], y[:28])
    assert (found.tasks, found.points, found.runs) == (1, 7, 28)


def test_no_variation_and_no_data_have_no_correlation():
    design, task = layout(6, 1, 1)
    for method in METHODS:
        assert np.isnan(correlate(design, task, [1.0] * 6, list(range(6)), method=method).value)
        assert np.isnan(correlate([], [], [], [], method=method).value)
        assert np.isnan(correlate(["a"], ["t"], [1.0], [2.0], method=method, over="runs").value)
    assert np.isnan(difference([], [], [], [], []).value)


def test_an_interval_is_given_from_five_designs_on_and_holds_the_estimate():
    for designs in (4, 5, 9):
        design, task, x, y = study(15, designs=designs)
        for method in METHODS:
            found = correlate(design, task, x, y, method=method).estimate
            assert (found.kind == "clusters") == np.isfinite(found.low) == (designs >= 5)
            if designs >= 5:
                assert -1 <= found.low <= found.value <= found.high <= 1
            wider = correlate(design, task, x, y, method=method, level=0.99).estimate
            assert designs < 5 or wider.high - wider.low > found.high - found.low


def test_tasks_of_opposite_sign_tell_nothing_of_further_tasks_but_something_of_themselves():
    """Forecasts that help on one task and hurt on the next say nothing of a third."""
    rng = np.random.default_rng(12)
    design, task = layout(10, 2, 3)
    x = rng.normal(size=(1, 10, 1)) + 0.2 * rng.normal(size=(2, 10, 3))
    y = x * np.array([1, -1])[:, None, None] + 0.3 * rng.normal(size=x.shape)
    found = correlate(design, task, x.ravel(), y.ravel())
    assert abs(found.value) < 0.3
    assert found.estimate.low < -0.9
    assert found.estimate.high > 0.9
    assert found.held.high - found.held.low < 0.7


def test_tasks_that_agree_have_a_narrow_interval():
    rng = np.random.default_rng(13)
    design, task = layout(10, 3, 3)
    x = rng.normal(size=(1, 10, 1)) + 0.2 * rng.normal(size=(3, 10, 3))
    y = x + 0.3 * rng.normal(size=x.shape)
    assert correlate(design, task, x.ravel(), y.ravel(), method="pearson").estimate.low > 0.7


@pytest.mark.parametrize("method", ["spearman", "kendall"])
@pytest.mark.parametrize("y", [[1, 2, 3, 4, 5], [1, 1, 1, 2, 2]])
def test_ranks_that_agree_by_few_designs_prove_little(method, y):
    design, task = layout(5, 1, 1)
    found = correlate(design, task, [1.0, 2, 3, 4, 5], y, method=method).estimate
    assert found.low < 0.2
    assert found.high == pytest.approx(1, abs=0.02)


def test_the_difference_is_that_of_both_on_the_runs_that_have_both():
    design, task, x, y = study(16)
    other = y + np.random.default_rng(0).normal(size=len(x))
    other[:3] = np.nan
    known = np.isfinite(other)
    names = [[name for name, keep in zip(column, known, strict=True) if keep] for column in (design, task)]
    for method in METHODS:
        found = difference(design, task, x, other, y, method=method)
        one, two = (correlate(*names, v[known], y[known], method=method).value for v in (x, other))
        assert found.value == pytest.approx(one - two)
        assert found.low < found.value < found.high
        back = difference(design, task, other, x, y, method=method)
        assert (back.low, back.high) == pytest.approx((-found.high, -found.low))


def test_equal_variables_do_not_differ():
    design, task, x, y = study(17)
    found = difference(design, task, x, x, y)
    assert (found.low, found.value, found.high) == (0, 0, 0)


def test_the_smallest_correlation_falls_with_designs_and_with_tasks_that_are_independent():
    def smallest(designs, tasks, shared):
        rng = np.random.default_rng(18)
        effects = np.sqrt(shared) * correlated(rng, (1, designs), 0) + np.sqrt(1 - shared) * correlated(
            rng, (tasks, designs), 0
        )
        design, task = layout(designs, tasks, 1)
        return correlate(design, task, effects[..., 0].ravel(), effects[..., 1].ravel()).detectable

    assert smallest(8, 1, 0) > smallest(16, 1, 0) > smallest(32, 1, 0)
    assert smallest(16, 6, 1) == pytest.approx(smallest(16, 1, 1))
    assert smallest(16, 6, 0) < 0.8 * smallest(16, 1, 0)
    design, task = layout(20, 1, 1)
    x = np.random.default_rng(1).normal(size=40)
    one = correlate(design, task, x[:20], x[20:], method="pearson").detectable
    t = stats.t.ppf([0.975, 0.8], 19).sum()
    assert one == pytest.approx(np.tanh(t / np.sqrt(17)))
