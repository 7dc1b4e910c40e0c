"""Ranks under two conditions against scipy, closed forms and simulations."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.inference.ranks import _splits, agreement, mismatch_of, rank_correlation, rank_mismatch


def frames(first, second, tasks="t"):
    """Frames of blocks, tasks x seeds x designs."""

    def rows(block):
        return pd.DataFrame(
            [
                (f"d{d}", f"{tasks}{t}", s, block[t, s, d])
                for t, s, d in np.ndindex(*block.shape)
                if np.isfinite(block[t, s, d])
            ],
            columns=["design", "task", "seed", "value"],
        )

    return rows(np.asarray(first, float)), rows(np.asarray(second, float))


def noisy(rng, centres, seeds, noise=0.15):
    """Blocks of seeds about centres [T, D]."""
    T, D = np.shape(centres)
    return np.asarray(centres)[:, None] + noise * rng.normal(size=(T, seeds, D))


def test_tau_agrees_with_scipy():
    rng = np.random.default_rng(0)
    for D in (3, 6, 12):
        x, y = rng.normal(size=(2, D)).round(1)
        assert rank_correlation(x, y).value == pytest.approx(stats.kendalltau(x, y).statistic)
    tied = np.array([1.0, 1, 2, 3, 3, 4]), np.array([1.0, 2, 2, 2, 5, 4])
    assert rank_correlation(*tied).value == pytest.approx(stats.kendalltau(*tied).statistic)
    assert np.isnan(rank_correlation(np.ones(5), np.arange(5.0)).value)
    assert np.isnan(rank_correlation(np.ones(1), np.ones(1)).value)


def test_the_interval_of_tau_needs_five_designs_and_is_no_point_at_one():
    x = np.arange(6.0)
    assert rank_correlation(x[:4], x[:4]).kind == "none"
    found = rank_correlation(x, x)
    assert (found.value, found.high, found.kind, found.n) == (1, 1, "clusters", 6)
    assert 0 < found.low < 0.7
    assert rank_correlation(x, -x).low == -1


@pytest.mark.parametrize(("rho", "designs"), [(0.0, 6), (0.5, 8), (0.8, 12), (0.5, 30)])
def test_coverage_of_tau(rho, designs):
    rng, trials = np.random.default_rng(1), 2000
    x = rng.normal(size=(trials, designs))
    y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=(trials, designs))
    true = 2 / np.pi * np.arcsin(rho)
    found = [rank_correlation(*pair) for pair in zip(x, y, strict=True)]
    assert 0.915 <= np.mean([each.low <= true <= each.high for each in found]) <= 0.97


@pytest.mark.parametrize("seeds", [4, 5, 8, 14])
def test_splits_are_disjoint_halves_without_the_seed_left_out(seeds):
    left, right = _splits(seeds, ())
    assert left.shape == right.shape
    assert left.shape[0] == left.shape[2] == seeds
    assert np.all(left * right == 0)
    assert np.allclose(left.sum(axis=2), 1)
    assert set(np.count_nonzero(left, axis=2).ravel()) == {(seeds - 1) // 2}
    for out in range(seeds):
        assert not left[out, :, out].any()
        assert not right[out, :, out].any()
    if seeds < 10:  # all there are, each once
        assert len(np.unique(np.concatenate([left[0], right[0]], axis=1), axis=0)) == left.shape[1]


def test_agreement_without_noise_is_that_of_the_ranks():
    centres = np.array([[0.0, 1, 2, 3, 4], [0.0, 1, 2, 4, 3]])
    block = np.repeat(centres[:, None], 5, axis=1)
    whole, without = agreement(block)
    assert whole == pytest.approx([1, 1, 0.8])
    assert without == pytest.approx(np.tile([1, 1, 0.8], (5, 1)))


def test_agreement_by_hand():
    """Four seeds, of which splits compare two at a time: the mean of tau over all pairs of different seeds."""
    block = np.random.default_rng(2).normal(size=(2, 4, 5))
    tau = lambda a, b: stats.kendalltau(a, b).statistic
    pairs = [(s, r) for s in range(4) for r in range(4) if s != r]
    by_hand = [
        np.mean([tau(block[a, s], block[b, r]) for s, r in pairs]) for a, b in ((0, 0), (1, 1), (0, 1))
    ]
    assert agreement(block)[0] == pytest.approx(by_hand)


def test_opposite_ranks_are_a_mismatch_and_equal_ones_are_none():
    rng, centres = np.random.default_rng(3), np.tile(np.linspace(0, 1, 6), (2, 1))
    opposite = rank_mismatch(*frames(noisy(rng, centres, 5, 0.05), noisy(rng, 1 - centres, 5, 0.05)))
    assert opposite.mismatch.value > 1.5
    assert opposite.mismatch.low > 1
    assert (opposite.mismatch.n, opposite.mismatch.kind) == (10, "t")
    assert opposite.mismatch.value == pytest.approx(opposite.ceiling - opposite.across)
    task = opposite.tasks[0]
    assert (task.task, task.designs, task.seeds) == ("t0", 6, 5)
    assert task.tau.value < -0.8
    assert task.ceiling == min(task.first, task.second)
    equal = rank_mismatch(*frames(noisy(rng, centres, 5, 0.05), noisy(rng, centres, 5, 0.05)))
    assert abs(equal.mismatch.value) < 0.15
    assert equal.across > 0.7


def test_scores_closer_together_or_errors_of_another_scale_rank_alike():
    rng, centres = np.random.default_rng(4), np.tile(np.linspace(0, 1, 6), (2, 1))
    first, second = frames(noisy(rng, centres, 5), noisy(rng, centres, 5))
    scaled = second.assign(value=1e-3 * second["value"] + 7)
    assert rank_mismatch(first, scaled).mismatch == rank_mismatch(first, second).mismatch


def test_what_is_missing_is_said():
    rng = np.random.default_rng(5)
    first, second = frames(rng.normal(size=(3, 5, 5)), rng.normal(size=(3, 5, 5)))
    few = (second["task"] == "t0") & (second["seed"] > 2)
    gone = (second["task"] == "t1") & (second["design"].isin(["d0", "d1"]))
    found = rank_mismatch(first, second[~few & ~gone])
    assert [each.task for each in found.tasks] == ["t2"]
    assert list(found.missing) == [
        "t0: 5 designs with 3 seeds that all of them have under both conditions; 4 designs with 4 are needed",
        "t1: 3 designs with 5 seeds that all of them have under both conditions; 4 designs with 4 are needed",
    ]
    nothing = rank_mismatch(first[:0], second[:0])
    assert (nothing.mismatch.kind, nothing.mismatch.n, nothing.tasks) == ("none", 0, [])
    assert np.isnan(nothing.ceiling)


def test_a_design_with_few_seeds_does_not_cost_the_others_theirs():
    rng = np.random.default_rng(6)
    block = rng.normal(size=(1, 6, 6))
    holes = block.copy()
    holes[0, 2:, 5] = np.nan  # two seeds of one design
    holes[0, 0, 0] = np.nan
    found = rank_mismatch(*frames(block, holes)).tasks[0]
    assert (found.designs, found.seeds) == (5, 5)
    names = {"design": "category", "task": "category"}
    again = rank_mismatch(*(frame.astype(names) for frame in frames(block, holes))).tasks[0]
    assert again == found


def test_designs_that_all_fail_have_no_ranks_to_agree_on():
    first, second = frames(np.zeros((1, 5, 5)), np.random.default_rng(7).normal(size=(1, 5, 5)))
    found = rank_mismatch(first, second)
    assert (found.tasks[0].first, found.across) == (0, 0)
    assert found.ceiling <= 0
    assert found.mismatch.low < 0


SECOND = {
    "the same": lambda x: x,
    "closer together": lambda x: 0.3 * x,
    "warped": lambda x: x**4,
    "no ranks": lambda x: 0 * x,
}


def supported(rng, trials, second, seeds=5):
    """How often a mismatch is found, 3 tasks of 8 designs; `second` makes the second condition's truth."""
    found = 0
    for _ in range(trials):
        centres = rng.random((3, 8))
        pairs = zip(noisy(rng, centres, seeds), noisy(rng, second(centres), seeds), strict=True)
        found += mismatch_of({str(t): np.stack(pair) for t, pair in enumerate(pairs)}).mismatch.low > 0
    return found / trials


@pytest.mark.parametrize("how", SECOND)
@pytest.mark.parametrize("seeds", [4, 5, 7])
def test_equal_rankings_are_rarely_called_a_mismatch(how, seeds):
    assert supported(np.random.default_rng(8), 400, SECOND[how], seeds) <= 0.04  # at most 2.5 %, and chance


def test_independent_and_half_equal_rankings_are_found():
    rng = np.random.default_rng(9)
    assert supported(rng, 100, lambda x: rng.random(x.shape)) > 0.9
    assert supported(rng, 100, lambda x: 0.5 * x + 0.5 * rng.random(x.shape), 9) > 0.5
