"""The mixed model against closed forms, statsmodels in another form, and its own coverage."""

import itertools
import warnings

import numpy as np
import pytest
from scipy import stats

from analysis.inference import mixed as module
from analysis.inference.factorial import contrasts, terms
from analysis.inference.mixed import INSTALL, mixed
from tests.analysis.inference.test_factorial import AXES, PLANTED, frame

pytest.importorskip("statsmodels")


def test_on_complete_data_it_is_a_t_test_over_tasks():
    """Where effects differ between tasks: then the contrasts of the tasks are the sample."""
    rows = frame(np.random.default_rng(0), tasks=6, planted=PLANTED, differ=1.5)
    found = mixed(rows, AXES)
    for one, two in zip(found.effects, contrasts(rows, AXES), strict=True):
        assert one.estimate.value == pytest.approx(two.estimate.value)
        values = [
            contrast.estimate.value
            for _, each in rows.groupby("task")
            for contrast in contrasts(each, AXES)
            if contrast.terms == one.terms
        ]
        t = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert (one.estimate.low, one.estimate.high) == pytest.approx((t.low, t.high), rel=1e-3, abs=1e-3)
        assert (one.estimate.n, one.tasks, one.seeds, one.runs, one.left_out) == (6, 6, 30, 240, 0)
    assert min(found.components.values()) > 0
    assert found.note == ""


def test_components_are_those_of_the_anova():
    rows = frame(np.random.default_rng(1), tasks=8, seeds=6, axes=("a",), differ=0.5, shared=0.4)
    found = mixed(rows, ("a",)).components
    y = rows["response"].to_numpy().reshape(8, 6, 2)
    slope, middle = y[..., 1] - y[..., 0], y.mean(axis=2)
    residual = slope.var(axis=1, ddof=1).mean() / 2
    seed = middle.var(axis=1, ddof=1).mean() - residual / 2
    by_slope = slope.mean(axis=1).var(ddof=1) - 2 * residual / 6
    task = middle.mean(axis=1).var(ddof=1) - seed / 6 - residual / 12
    expected = {"task": task, "task x a": by_slope, "seed": seed, "residual": residual}
    assert {name: sd**2 for name, sd in found.items()} == pytest.approx(expected, rel=1e-3)


def test_another_form_of_the_same_model_agrees():
    """Fixed effects coded 0 and 1, the formulas of statsmodels, runs missing."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    rng = np.random.default_rng(2)
    rows = frame(rng, tasks=6, seeds=4, axes=("a", "b"), planted={("a",): 0.3}, differ=0.3)
    rows = rows[rng.random(len(rows)) > 0.1].copy()
    rows["ab"] = rows["a"] * rows["b"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = MixedLM.from_formula(
            "response ~ C(a) * C(b)",
            rows,
            groups="task",
            re_formula="1",
            vc_formula={"a": "0 + a", "b": "0 + b", "ab": "0 + ab", "seed": "0 + C(seed)"},
        ).fit(reml=True, method=["powell", "lbfgs"])
    _, a, b, ab = fit.fe_params
    cov = fit.cov_params().to_numpy()[:4, :4]
    for effect, expected, row in zip(
        mixed(rows, ("a", "b")).effects,
        (a + ab / 2, b + ab / 2, ab),
        ([0, 1, 0, 0.5], [0, 0, 1, 0.5], [0, 0, 0, 1]),
        strict=True,
    ):
        found = effect.estimate
        assert found.value == pytest.approx(expected, abs=1e-4)
        wald = np.sqrt(np.array(row) @ cov @ np.array(row))
        half = (found.high - found.low) / 2
        assert stats.t.ppf(0.975, 7) < half / wald < stats.t.ppf(0.975, 3)  # about 5 degrees of freedom


def test_no_variances_are_likelier():
    """The restricted likelihood, written out, is highest at the variances that were found."""
    rng = np.random.default_rng(3)
    rows = frame(rng, tasks=5, seeds=3, axes=("a", "b"), differ=0.1)
    rows = rows[rng.random(len(rows)) > 0.15]
    y = rows["response"].to_numpy()
    columns = {term: rows[list(term)].prod(axis=1).to_numpy() for term in terms(("a", "b"))}
    X = np.column_stack([np.ones(len(y)), *columns.values()])
    task = np.equal.outer(rows["task"].to_numpy(), rows["task"].to_numpy()).astype(float)
    seed = task * np.equal.outer(rows["seed"].to_numpy(), rows["seed"].to_numpy())
    parts = [task, *(task * np.outer(x, x) for x in columns.values()), seed, np.eye(len(y))]

    def likelihood(variances):
        W = np.linalg.inv(np.tensordot(variances, parts, 1))
        XWX = X.T @ W @ X
        rest = y - X @ np.linalg.solve(XWX, X.T @ W @ y)
        return 0.5 * (np.linalg.slogdet(W)[1] - np.linalg.slogdet(XWX)[1] - rest @ W @ rest)

    found = np.array(list(mixed(rows, ("a", "b")).components.values())) ** 2
    best = likelihood(found)
    for factor in itertools.product((0.8, 1, 1.25), repeat=len(found)):
        assert likelihood(found * factor) <= best + 1e-3
    for i in range(len(found)):
        more = found.copy()
        more[i] += 0.05 * found.sum()
        assert likelihood(more) <= best + 1e-3


def test_missing_runs_enter_where_contrasts_leave_seeds_out():
    rng = np.random.default_rng(4)
    rows = frame(rng, tasks=4, planted=PLANTED, differ=0.05)
    rows.loc[rng.random(len(rows)) < 0.1, "response"] = np.nan
    there = int(rows["response"].notna().sum())
    assert {(each.runs, each.left_out) for each in mixed(rows, AXES).effects} == {(there, 0)}
    assert contrasts(rows, AXES)[0].left_out > 20


@pytest.mark.parametrize("tasks", [1, 2])
def test_few_tasks_are_fixed(tasks):
    rows = frame(np.random.default_rng(5), tasks=tasks, planted=PLANTED)
    found = mixed(rows, AXES)
    assert found.note == "tasks are fixed: 3 are the least that say how tasks differ"
    assert list(found.components) == ["seed", "residual"]
    for one, two in zip(found.effects, contrasts(rows, AXES), strict=True):
        assert one.estimate.value == pytest.approx(two.estimate.value)
        assert one.estimate.n == 5 * tasks
    y = rows["response"].to_numpy().reshape(tasks, 5, 8)
    rest = (
        y - y.mean(axis=1, keepdims=True) - y.mean(axis=2, keepdims=True) + y.mean(axis=(1, 2), keepdims=True)
    )
    free = tasks * 4 * 7
    error = np.sqrt((rest**2).sum() / free * 4 / (5 * 8) / tasks)
    half = (found.effects[0].estimate.high - found.effects[0].estimate.low) / 2
    assert half == pytest.approx(stats.t.ppf(0.975, free) * error, rel=1e-3)


def test_one_seed_a_task():
    rows = frame(np.random.default_rng(6), tasks=6, seeds=1, planted=PLANTED, differ=0.2)
    found = mixed(rows, AXES)
    assert found.note == "interactions are taken as equal on all tasks: these have one seed"
    assert list(found.components)[:4] == ["task", "task x predict", "task x space", "task x dynamics"]
    assert "seed" not in found.components
    assert {each.estimate.n for each in found.effects} == {6}


def test_what_cannot_be_fitted_says_why(monkeypatch):
    rng = np.random.default_rng(7)
    rows = frame(rng)
    one = rows[(rows["task"] == "task00") & (rows["seed"] == 0)]
    corner = rows[(rows[list(AXES)] != 0.5).any(axis=1)]
    for given, why in (
        (one, "no task has two seeds"),
        (corner, "a corner has no run"),
        (rows.iloc[:0], "a corner has no run"),
        (rows.assign(response=1.0), "runs do not differ within their corner"),
        (rows.assign(response=rows["predict"]), "runs do not differ within their corner"),
    ):
        assert mixed(given, AXES).note == f"no mixed model: {why}"
        assert not mixed(given, AXES).effects
    monkeypatch.setattr(module, "available", lambda: False)
    assert INSTALL in mixed(rows, AXES).note


def test_units_do_not_matter():
    rows = frame(np.random.default_rng(8), tasks=4, axes=("a", "b"), differ=0.3)
    plain = mixed(rows, ("a", "b")).effects[0].estimate
    large = mixed(rows.assign(response=1e4 * rows["response"] + 3e4), ("a", "b")).effects[0].estimate
    assert large.value == pytest.approx(1e4 * plain.value)
    assert large.high == pytest.approx(1e4 * plain.high, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tasks", "seeds", "differ", "heavy"),
    [(7, 4, 0.1, False), (7, 3, 0.05, True), (2, 5, 0.0, False)],
)
def test_intervals_cover(tasks, seeds, differ, heavy):
    """Other tasks: the truth is the mean effect over all there are, 0; it is found to be above in 2.5 %."""
    rng, axes, inside, above = np.random.default_rng(9), ("a", "b"), [], []
    for _ in range(60):
        found = mixed(frame(rng, tasks, seeds, axes, differ=differ, heavy=heavy, shared=0.2), axes)
        inside += [each.estimate.low <= 0 <= each.estimate.high for each in found.effects]
        above += [each.estimate.low > 0 for each in found.effects]
    assert 0.92 <= np.mean(inside) <= 0.985  # 93 to 97 %, give or take what 180 effects leave open
    assert np.mean(above) <= 0.05
