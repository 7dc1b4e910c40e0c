"""Meta-analysis against closed forms, statsmodels, and its own coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from analysis.inference.pooling import fisher, pool, pool_correlations

BETWEEN = ("paule-mandel", "reml", "dersimonian-laird")
Y = np.array([0.10, 0.31, -0.06, 0.22, 0.41, 0.02, 0.17])
V = np.array([0.010, 0.004, 0.016, 0.009, 0.006, 0.020, 0.012])


@pytest.mark.parametrize("between", BETWEEN)
def test_equal_variances_have_a_closed_form(between):
    found = pool(Y, np.full(len(Y), 0.01), between=between)
    assert found.tau2 == pytest.approx(Y.var(ddof=1) - 0.01, abs=1e-6)
    assert found.estimate.value == pytest.approx(Y.mean())
    t = stats.ttest_1samp(Y, 0).confidence_interval(0.95)
    assert (found.estimate.low, found.estimate.high) == pytest.approx((t.low, t.high))
    assert found.q == pytest.approx(len(Y) * Y.var(ddof=0) / 0.01)
    assert found.p == pytest.approx(stats.chi2.sf(found.q, 6))
    assert found.h == pytest.approx(np.sqrt(found.q / 6))
    assert found.i2 == pytest.approx(1 - 6 / found.q)
    reach = stats.t.ppf(0.975, 6) * np.sqrt(Y.var(ddof=1) * (1 + 1 / 7))
    assert (found.low, found.high) == pytest.approx((Y.mean() - reach, Y.mean() + reach))


@pytest.mark.parametrize(("between", "theirs"), [("paule-mandel", "iterated"), ("dersimonian-laird", "chi2")])
def test_statsmodels_agrees(between, theirs):
    meta = pytest.importorskip("statsmodels.stats.meta_analysis")
    oracle = meta.combine_effects(Y, V, method_re=theirs, use_t=True)
    found = pool(Y, V, between=between)
    assert found.tau2 == pytest.approx(oracle.tau2, rel=1e-4)
    assert found.q == pytest.approx(oracle.q)
    assert found.i2 == pytest.approx(oracle.i2)
    assert found.h**2 == pytest.approx(oracle.h2)
    half = stats.t.ppf(0.975, len(Y) - 1) * oracle.sd_eff_w_re_hksj
    mean = oracle.mean_effect_re
    ours = (found.estimate.value, found.estimate.low, found.estimate.high)
    assert ours == pytest.approx((mean, mean - half, mean + half), rel=1e-4)


def test_reml_maximises_the_restricted_likelihood():
    def loss(tau2):
        V_all = np.diag(V + tau2)
        X = np.ones((len(Y), 1))
        W = np.linalg.inv(V_all)
        P = W - W @ X @ np.linalg.inv(X.T @ W @ X) @ X.T @ W
        return 0.5 * (np.linalg.slogdet(V_all)[1] + np.linalg.slogdet(X.T @ W @ X)[1] + Y @ P @ Y)

    best = optimize.minimize_scalar(loss, bounds=(0, 1), method="bounded", options={"xatol": 1e-10})
    assert pool(Y, V, between="reml").tau2 == pytest.approx(best.x, abs=1e-6)


@pytest.mark.parametrize("between", BETWEEN)
def test_effects_that_agree_have_no_variance_between_them(between):
    found = pool([0.2, 0.21, 0.19, 0.2], [0.1] * 4, between=between)
    assert found.tau2 == found.i2 == 0
    assert found.p > 0.99


def test_what_cannot_enter_is_counted():
    found = pool([*Y, np.nan, 0.5, 0.5], [*V, 0.01, 0.0, np.nan])
    assert found.left_out == 3
    assert found.estimate == pool(Y, V).estimate


def test_few_tasks():
    none, one, two = pool([], []), pool([0.3], [0.01]), pool([0.3, 0.5], [0.01, 0.01])
    assert (none.estimate.n, none.estimate.kind) == (0, "none")
    assert (one.estimate.value, one.estimate.n, one.estimate.kind) == (0.3, 1, "none")
    assert np.isnan([none.estimate.value, one.estimate.low, one.tau2, one.low]).all()
    assert two.estimate.low < 0.4 < two.estimate.high


@given(st.floats(-5, 5), st.floats(0.1, 10), st.sampled_from(BETWEEN))
def test_pooling_goes_with_shift_and_scale(shift, scale, between):
    plain, moved = pool(Y, V, between=between), pool(shift + scale * Y, scale**2 * V, between=between)
    assert moved.estimate.value == pytest.approx(shift + scale * plain.estimate.value, abs=1e-5 * scale)
    assert moved.tau2 == pytest.approx(scale**2 * plain.tau2, rel=1e-3)
    assert moved.q == pytest.approx(plain.q)


@pytest.mark.parametrize("tau", [0.0, 0.1, 0.4])
def test_intervals_cover(tau):
    """Tasks of unequal precision; the prediction interval is for what is measured on one further task."""
    rng, mean, hits, caught = np.random.default_rng(3), 0.3, 0, 0
    rounds = 1500
    for _ in range(rounds):
        v = rng.uniform(0.005, 0.03, size=7)
        found = pool(mean + tau * rng.normal(size=7) + np.sqrt(v) * rng.normal(size=7), v)
        hits += found.estimate.low <= mean <= found.estimate.high
        further = mean + np.sqrt(tau**2 + rng.uniform(0.005, 0.03)) * rng.normal()
        caught += found.low <= further <= found.high
    assert 0.93 <= hits / rounds <= 0.97
    assert 0.93 <= caught / rounds <= 0.97


def test_fishers_z_and_its_variance():
    z, variance = fisher([0.5, -0.2, 0.9], [8, 12, 3])
    assert z[:2] == pytest.approx(np.arctanh([0.5, -0.2]))
    assert variance[:2] == pytest.approx([1 / 5, 1 / 9])
    assert np.isnan([z[2], variance[2]]).all()
    assert fisher([0.5], [8], "spearman")[1] == pytest.approx([1.06 / 5])
    assert fisher([0.5], [8], "kendall")[1] == pytest.approx([0.437 / 4])


@pytest.mark.parametrize("coefficient", ["pearson", "spearman", "kendall"])
def test_full_agreement_is_finite_and_above_the_next(coefficient):
    below = {"pearson": 0.999, "spearman": 1 - 12 / (8 * 63), "kendall": 1 - 4 / (8 * 7)}[coefficient]
    z, _ = fisher([1.0, -1.0, below], [8, 8, 8], coefficient)
    assert np.isfinite(z).all()
    assert z[0] == -z[1] > z[2]


def test_correlations_are_pooled_on_the_scale_of_z():
    r, n = np.array([0.6, 0.3, 0.8, 0.5]), np.array([8, 8, 10, 12])
    found, z = pool_correlations(r, n, "spearman"), pool(*fisher(r, n, "spearman"))
    assert found.estimate.value == pytest.approx(np.tanh(z.estimate.value))
    assert (found.low, found.high) == pytest.approx((np.tanh(z.low), np.tanh(z.high)))
    assert (found.tau2, found.q, found.i2) == (z.tau2, z.q, z.i2)
    assert -1 < found.estimate.low < 0.55 < found.estimate.high < 1


@pytest.mark.parametrize("coefficient", ["pearson", "spearman"])
def test_pooled_correlations_cover(coefficient):
    """Seven tasks of 12 designs each, normal, with the same correlation."""
    rng, rounds, hits = np.random.default_rng(5), 800, 0
    rho = 0.5
    truth = rho if coefficient == "pearson" else 6 / np.pi * np.arcsin(rho / 2)
    for _ in range(rounds):
        x = rng.normal(size=(7, 12))
        y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=(7, 12))
        if coefficient == "spearman":
            x, y = stats.rankdata(x, axis=1), stats.rankdata(y, axis=1)
        x, y = (v - v.mean(axis=1, keepdims=True) for v in (x, y))
        r = (x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
        found = pool_correlations(r, [12] * 7, coefficient).estimate
        hits += found.low <= truth <= found.high
    assert 0.93 <= hits / rounds <= 0.97
