"""Aggregates against rliable 1.2.0: `make oracles` shows that the numbers kept of it are what it computes."""

import json

import numpy as np
import pytest

from analysis.inference import aggregates
from analysis.inference.estimate import generator
from analysis.inference.pivot import mean_and_error
from analysis.inference.strata import Strata, moments
from tests.analysis.oracles.rliable_oracle import GOLDEN, REPETITIONS, SHAPES, TAU, scores

THEIRS = json.loads(GOLDEN.read_text())
CLOSE = 0.06
"""Of the width of an interval: about four standard errors of either end, of as many draws."""
STATISTICS = {
    "mean": lambda x, count: mean_and_error(x, count)[0],
    "median": lambda x, count: np.median(moments(x, count)[0], axis=-1),
    "iqm": lambda x, count: aggregates.interquartile(x, count)[0],
    "optimality_gap": lambda x, count: 1 - mean_and_error(np.minimum(x, 1), count)[0],
}


def by_task(name):
    return {f"task {i}": column for i, column in enumerate(scores(name).T)}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("statistic", STATISTICS)
def test_estimates_are_those_of_rliable(name, statistic):
    ours = aggregates.AGGREGATES[statistic](by_task(name)).value
    assert ours == pytest.approx(THEIRS[name][statistic][0], abs=1e-9)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("statistic", STATISTICS)
def test_percentiles_of_the_stratified_bootstrap_are_those_of_rliable(name, statistic):
    strata = Strata.of(by_task(name))
    draws = strata.bootstrap(
        lambda x: STATISTICS[statistic](x, strata.count), generator("rliable"), REPETITIONS
    )
    _, low, high = THEIRS[name][statistic]
    assert np.quantile(draws, [0.025, 0.975]) == pytest.approx([low, high], abs=CLOSE * (high - low))


@pytest.mark.parametrize("name", ["many", "other"])
@pytest.mark.parametrize("statistic", ["mean", "iqm", "optimality_gap"])
def test_our_intervals_of_many_seeds_are_much_like_theirs(name, statistic):
    ours = aggregates.AGGREGATES[statistic](by_task(name))
    _, low, high = THEIRS[name][statistic]
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.15 * (high - low))


@pytest.mark.parametrize("name", ["odd", "few"])
def test_our_intervals_of_few_seeds_are_wider(name):
    for statistic, interval in aggregates.AGGREGATES.items():
        ours, (_, low, high) = interval(by_task(name)), THEIRS[name][statistic]
        assert ours.high - ours.low > 1.1 * (high - low)


@pytest.mark.parametrize("name", SHAPES)
def test_performance_profiles_are_those_of_rliable(name):
    ours = aggregates.performance_profile(by_task(name), TAU)
    theirs = np.array([THEIRS[name][f"profile {tau}"] for tau in TAU])
    assert ours.share == pytest.approx(theirs[:, 0], abs=1e-9)
    if name in {"many", "other"}:
        assert ours.low == pytest.approx(theirs[:, 1], abs=0.05)
        assert ours.high == pytest.approx(theirs[:, 2], abs=0.05)


@pytest.mark.parametrize(("first", "second"), [("many", "other"), ("odd", "few")])
def test_the_probability_of_improvement_is_that_of_rliable(first, second):
    ours = aggregates.probability_of_improvement(by_task(first), by_task(second))
    value, low, high = THEIRS[f"{first} > {second}"]["probability"]
    assert ours.value == pytest.approx(value, abs=1e-9)
    if first == "many":
        assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.15 * (high - low))
