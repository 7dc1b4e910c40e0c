import math
import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.datasets.selection import EVERYTHING, Quota, Range, choose, held_out, parse_ranges
from harness.datasets.sources import Found
from harness.errors import UserError


def origin(design, seed):
    run_id = f"{design}-s{seed}-{sum(map(ord, design)) * 100 + seed:012x}"
    return SimpleNamespace(
        id=run_id, design=design, study="s", config=SimpleNamespace(seed=seed, agent="model")
    )


def make(counts, first_return=0.0):
    """Episodes with returns 0, 1, 2, ... by (design, seed) -> how many."""
    return [
        Found(source, "replay", index, 11, first_return + index, True, True, Path("f"), 10)
        for (design, seed), count in counts.items()
        for source in [origin(design, seed)]
        for index in range(count)
    ]


def test_a_quota_is_spread_evenly_over_the_runs_of_a_design():
    found = make({("a", 0): 100, ("a", 1): 100, ("a", 2): 2, ("b", 0): 100})
    choice = choose(found, ["a", "b", "c"], Quota(8))
    taken = Counter((one.origin.design, one.origin.config.seed) for one in choice.episodes)
    assert taken == {("a", 0): 3, ("a", 1): 3, ("a", 2): 2, ("b", 0): 8}
    assert [(c.design, c.wanted, c.found, c.taken, c.short) for c in choice.cells] == [
        ("a", 8, 202, 8, False),
        ("b", 8, 100, 8, False),
        ("c", 8, 0, 0, True),
    ]


def test_without_a_quota_all_is_taken():
    found = make({("a", 0): 7, ("b", 1): 3})
    choice = choose(found, ["a", "b"], Quota())
    assert len(choice.episodes) == 10
    assert not any(cell.short for cell in choice.cells)
    assert set(choice.parts) == {"train"}


def test_each_return_range_has_its_quota():
    found = make({("a", 0): 20, ("a", 1): 20})
    choice = choose(found, ["a"], Quota(4, parse_ranges("0:5,10:12,19:")))
    assert [cell.taken for cell in choice.cells] == [4, 4, 2]
    returns = [one.total_return for one in choice.episodes]
    assert all(0 <= value < 5 or 10 <= value < 12 or value >= 19 for value in returns)
    assert choice.cells[2].short


@pytest.mark.parametrize("text", ["5", "5:5", "7:5", "a:b", "", "0:10,5:20", ":,3:4", "nan:2", "1:2,"])
def test_ranges_that_make_no_sense_are_refused(text):
    with pytest.raises(UserError, match="--returns"):
        parse_ranges(text)


def test_ranges_are_read():
    assert parse_ranges(":0, 0:1.5,1e3:") == (Range(-math.inf, 0), Range(0, 1.5), Range(1000, math.inf))
    assert [str(one) for one in parse_ranges(":-2,-1:0.5,7:")] == [":-2", "-1:0.5", "7:"]
    assert str(EVERYTHING) == ":"


COUNTS = st.dictionaries(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), st.integers(0, 12), max_size=8)


@settings(deadline=None, max_examples=150)
@given(
    counts=COUNTS,
    episodes=st.none() | st.integers(1, 20),
    heldout=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]),
    seed=st.integers(0, 3),
    ranges=st.sampled_from(["", "0:3,6:8", "2:"]),
    shuffle=st.randoms(use_true_random=False),
)
def test_quotas_are_never_exceeded_and_parts_are_disjoint_and_complete(
    counts, episodes, heldout, seed, ranges, shuffle: random.Random
):
    quota = Quota(episodes, parse_ranges(ranges) if ranges else (EVERYTHING,), heldout, seed)
    found = make(counts)
    choice = choose(found, ["a", "b", "c"], quota)
    keys = [one.key for one in choice.episodes]
    assert len(set(keys)) == len(keys) == len(choice.parts)
    assert set(keys) <= {one.key for one in found}
    for cell in choice.cells:
        inside = [
            one
            for one in choice.episodes
            if one.origin.design == cell.design and cell.range.low <= one.total_return < cell.range.high
        ]
        there = sum(
            one.origin.design == cell.design and cell.range.low <= one.total_return < cell.range.high
            for one in found
        )
        assert cell.found == there
        assert len(inside) == cell.taken == min(there, episodes or there)
        runs = Counter(one.origin.id for one in inside)
        for run, number in runs.items():  # a run gives more than another only if that one has no more
            for other in {one.origin.id for one in found if one.origin.design == cell.design}:
                has = sum(
                    one.origin.id == other and cell.range.low <= one.total_return < cell.range.high
                    for one in found
                )
                assert runs[other] >= min(has, number - 1), run
    total, out = len(keys), choice.parts.count("heldout")
    assert abs(out - heldout * total) <= 1
    if heldout in {0.0, 1.0}:
        assert out == heldout * total
    elif total > 1:
        assert 0 < out < total
    shuffled = list(found)
    shuffle.shuffle(shuffled)
    again = choose(shuffled, ["a", "b", "c"], quota)
    assert ([one.key for one in again.episodes], again.parts) == (keys, choice.parts)


@settings(deadline=None)
@given(counts=COUNTS, small=st.integers(1, 6), more=st.integers(0, 6), seed=st.integers(0, 3))
def test_a_larger_quota_keeps_what_a_smaller_one_took(counts, small, more, seed):
    found = make(counts)
    few, many = (
        {one.key for one in choose(found, ["a", "b", "c"], Quota(n, seed=seed)).episodes}
        for n in (small, small + more)
    )
    assert few <= many


def test_another_seed_takes_others():
    found = make({("a", 0): 50})
    chosen = {tuple(one.key for one in choose(found, ["a"], Quota(5, seed=s)).episodes) for s in range(5)}
    assert len(chosen) == 5


def test_the_held_out_part_is_stratified():
    groups = [
        [f"{name}{i}" for i in range(count)] for name, count in (("a", 20), ("b", 40), ("c", 10), ("d", 0))
    ]
    out = held_out(groups, 0.1, 0)
    assert [len(out & set(group)) for group in groups] == [2, 4, 1, 0]
    assert held_out([["x"]], 0.5, 0) == set()
    assert held_out([["x"]], 1.0, 0) == {"x"}
    assert held_out([], 0.5, 0) == set()


def test_the_choice_is_the_same_today_as_ever():
    """Datasets of one recipe must not change with the code."""
    choice = choose(make({("a", 0): 9, ("a", 1): 9}), ["a"], Quota(5, heldout=0.4, seed=1))
    assert [
        (one.origin.config.seed, one.index, part)
        for one, part in zip(choice.episodes, choice.parts, strict=True)
    ] == [(0, 5, "heldout"), (0, 8, "train"), (1, 0, "train"), (1, 1, "heldout"), (1, 6, "train")]
