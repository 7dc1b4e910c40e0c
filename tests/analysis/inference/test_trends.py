"""Dose and response against scipy, closed forms and simulations."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.inference.paired import stratified
from analysis.inference.trends import dose_response, null_variance, trend, trends


def curves(response, tasks=2, seeds=3, doses=(0.1, 0.25, 0.5, 0.75, 1.0), base=("m",)):
    rows = [
        (b, f"t{t}", s, d, response(d, t, s, b))
        for b in base
        for t in range(tasks)
        for s in range(seeds)
        for d in doses
    ]
    return pd.DataFrame(rows, columns=["base", "task", "seed", "dose", "value"])


def test_one_curve_agrees_with_scipy():
    rng = np.random.default_rng(0)
    x, y = np.array([1.0, 2, 2, 5, 9, 20]), rng.normal(size=6).round(1)
    assert trend(x, y, "spearman") == pytest.approx(stats.spearmanr(x, y).statistic)
    assert trend(x, y, "slope") == pytest.approx(stats.linregress(x, y).slope)
    assert trend(x, y, "tenfold") == pytest.approx(stats.linregress(np.log10(x), y).slope)
    assert trend(x, y, "doubling") == pytest.approx(stats.linregress(np.log2(x), y).slope)


def test_what_has_no_trend():
    same, varies = np.ones(5), np.arange(5.0)
    for statistic in ("spearman", "slope"):
        assert np.isnan(trend(same, varies, statistic))
        assert trend(varies, same, statistic) == 0
    assert np.isnan(trend(varies, varies, "tenfold"))  # no logarithm of 0
    assert np.isnan(trend(varies[:1], varies[:1], "slope"))


def test_a_monotone_response_has_rank_correlation_1_and_a_line_its_slope():
    frame = curves(lambda d, t, s, b: (d + t) ** 3)
    assert dose_response(frame, "dose").value == pytest.approx(1)
    line = curves(lambda d, t, s, b: 2 * d + 5 * t + s)
    found = dose_response(line, "dose", statistic="slope")
    assert (found.value, found.n) == pytest.approx((2, 6))
    tenfold = curves(lambda d, t, s, b: 3 * np.log10(d) + s)
    assert dose_response(tenfold, "dose", statistic="tenfold").value == pytest.approx(3)
    assert dose_response(tenfold, "dose", statistic="doubling").value == pytest.approx(3 * np.log10(2))


def test_curves_that_agree_have_the_variance_of_no_trend():
    found = dose_response(curves(lambda d, t, s, b: d, tasks=1), "dose")
    assert (found.low, found.kind) == (pytest.approx(1 - 1.96 / np.sqrt(4 * 3), rel=1e-4), "t")
    assert dose_response(curves(lambda d, t, s, b: d), "dose", statistic="slope").kind == "none"
    assert np.isnan(null_variance(1))


def test_curves_of_a_seed_are_averaged_and_levels_of_designs_do_not_matter():
    frame = curves(lambda d, t, s, b: d * (1 if b == "m" else 4) + (100 if b == "m" else 0), base=("m", "n"))
    found = trends(frame, "dose", statistic="slope", within=["base"])
    assert list(found.columns) == ["task", "seed", "trend", "curves"]
    assert found["trend"].to_numpy() == pytest.approx(2.5)
    assert set(found["curves"]) == {2}


def test_too_few_doses_and_nans_are_left_out():
    frame = curves(lambda d, t, s, b: d)
    frame.loc[(frame["task"] == "t0") & (frame["seed"] == 0) & (frame["dose"] < 0.3), "value"] = np.nan
    found = trends(frame, "dose")
    assert len(found) == 5
    assert len(trends(frame, "dose", least=3)) == 6
    assert len(trends(frame, "dose", statistic="slope")) == 6
    assert trends(frame[:0], "dose").empty
    assert dose_response(frame[:0], "dose").kind == "none"


def test_the_estimate_is_the_stratified_mean_of_the_trends():
    rng = np.random.default_rng(1)
    frame = curves(lambda d, t, s, b: rng.normal())
    by_hand = {
        task: [
            stats.spearmanr(one["dose"], one["value"]).statistic for _, one in rows.groupby("seed", sort=True)
        ]
        for task, rows in frame.groupby("task")
    }
    ours, theirs = dose_response(frame, "dose"), stratified(by_hand)
    assert (ours.value, ours.low, ours.high) == pytest.approx((theirs.value, theirs.low, theirs.high))


def test_categories_of_tasks_do_not_add_empty_ones():
    frame = curves(lambda d, t, s, b: d).astype({"task": "category", "base": "category"})
    assert len(trends(frame[frame["task"] == "t1"], "dose", within=["base"])) == 3


@pytest.mark.parametrize(("tasks", "seeds"), [(1, 2), (1, 5), (3, 3), (4, 5)])
def test_no_trend_is_supported_at_its_nominal_rate(tasks, seeds):
    """The mean of Spearman's rho under no trend, in 5 doses: the interval lies above 0 in 2.5 % of samples."""
    rng, trials = np.random.default_rng(2), 2000
    ranks = rng.random((trials, tasks, seeds, 5)).argsort(axis=-1) - 2.0
    rho = ranks @ np.arange(-2, 3) / 10
    found = [stratified({str(t): x for t, x in enumerate(trial)}, variance=null_variance(5)) for trial in rho]
    assert np.mean([each.low > 0 for each in found]) <= 0.04
    assert 0.93 <= np.mean([each.low <= 0 <= each.high for each in found]) <= 0.975
