"""Values of seeds where units lack seeds: their mean, and the interval that is made of them."""

import numpy as np
import pandas as pd
import pytest

from analysis.inference.incomplete import seed_values
from analysis.inference.paired import by_task, stratified


def cells(table, task="a"):
    """Of units x seeds; NaNs are runs that are not done."""
    rows = [(u, task, s, x) for u, row in enumerate(table) for s, x in enumerate(row)]
    return pd.DataFrame(rows, columns=["family", "task", "seed", "difference"])


def test_of_a_complete_table_it_is_the_mean_over_units_at_each_seed():
    table = np.random.default_rng(0).normal(size=(3, 5))
    found = seed_values(cells(table))
    assert found["difference"].to_numpy() == pytest.approx(table.mean(axis=0))
    assert found["seed"].tolist() == [0, 1, 2, 3, 4]
    assert found["task"].unique().tolist() == ["a"]


def test_units_count_the_same_whatever_seeds_they_have():
    table = np.array([[0.3, 0.31, 0.29, 0.3, 0.3], [-0.3] + [np.nan] * 4, [np.nan, 0.6, 0.7, np.nan, 0.8]])
    found = seed_values(cells(table))
    assert found["difference"].mean() == pytest.approx(np.nanmean(table, axis=1).mean())


def test_one_unit_without_some_seeds_has_the_interval_of_those_that_it_has():
    table = np.array([[1.0, np.nan, 3.0, 4.5, np.nan]])
    found = stratified(by_task(seed_values(cells(table))))
    plain = stratified({"a": [1.0, 3.0, 4.5]})
    assert (found.value, found.low, found.n) == pytest.approx((plain.value, plain.low, 3))


def test_the_values_are_jackknife_pseudo_values():
    table = np.random.default_rng(1).normal(size=(3, 5))
    table[0, 1] = table[2, 4] = np.nan
    whole = np.nanmean(table, axis=1).mean()
    without = [np.nanmean(np.delete(table, s, axis=1), axis=1).mean() for s in range(5)]
    expected = whole + 4 * (whole - np.array(without))
    found = seed_values(cells(table))["difference"].to_numpy()
    assert found - found.mean() == pytest.approx(expected - expected.mean())


def test_units_with_one_seed_each_give_a_single_value():
    found = seed_values(cells(np.array([[1.0, np.nan], [np.nan, 3.0]])))
    assert found["difference"].tolist() == [2.0]
    assert seed_values(cells(np.full((2, 2), np.nan))).empty


def missing(kind, rng, units, seeds):
    done = np.ones((units, seeds), dtype=bool)
    if kind == "at random":
        done = rng.random((units, seeds)) > 0.3
        done[np.arange(units), rng.integers(seeds, size=units)] = True
    elif kind != "nothing":
        done[: units // 2, int(kind.split()[0]) :] = False
    return done


@pytest.mark.parametrize("common", [0.0, 0.5])
@pytest.mark.parametrize("kind", ["nothing", "at random", "1 of half", "2 of half"])
def test_coverage_where_two_kinds_of_unit_differ(kind, common):
    """Half of the units lie 0.3 below 0, the others above; 4 units, 5 seeds, 2 tasks."""
    rng, held, trials = np.random.default_rng(5), 0, 100
    effect = np.repeat([-0.3, 0.3], 2)[:, None]
    for _ in range(trials):
        parts = []
        for task in ("a", "b"):
            own, shared = rng.normal(size=(4, 5)), rng.normal(size=5)
            table = effect + 0.1 * (np.sqrt(common) * shared + np.sqrt(1 - common) * own)
            parts.append(cells(np.where(missing(kind, rng, 4, 5), table, np.nan), task))
        found = stratified(by_task(seed_values(pd.concat(parts))))
        held += found.low <= 0 <= found.high
    assert held / trials >= 0.9
