import math
import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.datasets.holdout import episode_key, one_sided, part_by_key
from harness.datasets.selection import EVERYTHING, Quota, Range, choose, parse_ranges
from harness.datasets.sources import Found
from harness.errors import UserError


def origin(design, seed):
    run_id = f"{design}-s{seed}-{sum(map(ord, design)) * 100 + seed:012x}"
    return SimpleNamespace(
        id=run_id, design=design, study="s", config=SimpleNamespace(seed=seed, agent="model")
    )


def make(counts, shared=0):
    """Episodes with returns 0, 1, 2, ... by (design, seed) -> how many; all designs share the first ones of a seed."""
    return [
        Found(source, "replay", index, key, 11, float(index), True, True, Path("f"), 10)
        for (design, seed), count in counts.items()
        for source in [origin(design, seed)]
        for index in range(count)
        for key in [f"{design if index >= shared else ''} {seed} {index}"]
    ]


def places(choice):
    return [one.place for one in choice.episodes]


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


FRACTIONS = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])
DESIGNS = ["a", "b", "c"]


@settings(deadline=None, max_examples=150)
@given(
    counts=COUNTS,
    shared=st.integers(0, 4),
    episodes=st.none() | st.integers(1, 20),
    heldout=FRACTIONS,
    seed=st.integers(0, 3),
    ranges=st.sampled_from(["", "0:3,6:8", "2:"]),
    shuffle=st.randoms(use_true_random=False),
)
def test_quotas_count_each_episode_once_and_are_never_exceeded(
    counts, shared, episodes, heldout, seed, ranges, shuffle: random.Random
):
    quota = Quota(episodes, parse_ranges(ranges) if ranges else (EVERYTHING,), heldout, seed)
    found = make(counts, shared)
    choice = choose(found, DESIGNS, quota)
    keys = [one.key for one in choice.episodes]
    assert len(set(keys)) == len(keys) == len(choice.parts) == len(choice.twins)
    for one, twins in zip(choice.episodes, choice.twins, strict=True):
        same = {other.place for other in found if other.key == one.key}
        assert {one.place, *(twin.place for twin in twins)} == same
        assert len(twins) == len(same) - 1
    for cell in choice.cells:
        inside, there = (
            [
                one
                for one in some
                if one.origin.design == cell.design and cell.range.low <= one.total_return < cell.range.high
            ]
            for some in (choice.episodes, found)
        )
        assert cell.found + cell.twins == len(there)
        assert len(inside) == cell.taken == min(cell.found, episodes or cell.found)
    for bounds in quota.ranges:  # every distinct episode counts for one design
        distinct = {one.key for one in found if bounds.low <= one.total_return < bounds.high}
        assert sum(cell.found for cell in choice.cells if cell.range == bounds) == len(distinct)
    shuffled = list(found)
    shuffle.shuffle(shuffled)
    again = choose(shuffled, DESIGNS, quota)
    assert (places(again), again.parts) == (places(choice), choice.parts)


@settings(deadline=None)
@given(counts=COUNTS, episodes=st.integers(1, 12), seed=st.integers(0, 3))
def test_a_run_gives_more_than_another_of_its_design_only_if_that_one_has_no_more(counts, episodes, seed):
    choice = choose(make(counts), DESIGNS, Quota(episodes, seed=seed))
    taken = Counter((one.origin.design, one.origin.config.seed) for one in choice.episodes)
    for (design, _), number in taken.items():
        assert all(
            taken[run] >= min(has, number - 1) for run, has in counts.items() if run[0] == design and has
        )


@settings(deadline=None, max_examples=150)
@given(
    counts=COUNTS,
    shared=st.integers(0, 4),
    quotas=st.tuples(*[st.none() | st.integers(1, 12)] * 2),
    seeds=st.tuples(*[st.integers(0, 3)] * 2),
    fractions=st.tuples(FRACTIONS, FRACTIONS).map(sorted),
    designs=st.sampled_from([(DESIGNS, ["a"]), (["a"], ["b"]), (DESIGNS, DESIGNS), (["a", "b"], ["b", "c"])]),
    heldout_seed=st.integers(0, 3),
)
def test_what_one_dataset_holds_out_no_other_trains_on(
    counts, shared, quotas, seeds, fractions, designs, heldout_seed
):
    """Whatever the quotas, designs and choices of the two, and if the other one holds out more."""
    found = make(counts, shared)
    one, other = (
        choose(found, who, Quota(n, heldout=fraction, seed=seed, heldout_seed=heldout_seed))
        for who, n, fraction, seed in zip(designs, quotas, fractions, seeds, strict=True)
    )
    assert not _keys(one, "heldout") & _keys(other, "train")
    assert not _keys(one, "heldout") & _keys(one, "train")
    if fractions[0] == fractions[1]:
        assert not _keys(one, "train") & _keys(other, "heldout")


def _keys(choice, part):
    return {one.key for one, of in zip(choice.episodes, choice.parts, strict=True) if of == part}


@settings(deadline=None)
@given(
    counts=COUNTS,
    shared=st.integers(0, 4),
    small=st.integers(1, 6),
    more=st.integers(0, 6),
    seed=st.integers(0, 3),
)
def test_a_larger_quota_keeps_what_a_smaller_one_took(counts, shared, small, more, seed):
    found = make(counts, shared)
    few, many = (set(places(choose(found, DESIGNS, Quota(n, seed=seed)))) for n in (small, small + more))
    assert few <= many


def test_designs_share_their_cold_start_evenly():
    choice = choose(make({(d, s): 20 for d in "abc" for s in range(20)}, shared=5), DESIGNS, Quota())
    assert (len(choice.episodes), choice.left_out) == (3 * 20 * 15 + 20 * 5, 2 * 20 * 5)
    starts = Counter(one.origin.design for one in choice.episodes if one.index < 5)
    assert all(20 <= starts[design] <= 47 for design in DESIGNS)  # of 100: 3 standard deviations


def test_another_seed_takes_others():
    found = make({("a", 0): 50})
    assert len({tuple(places(choose(found, ["a"], Quota(5, seed=s)))) for s in range(5)}) == 5


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_the_held_out_part_is_about_the_fraction(fraction):
    for seed in range(3):
        parts = [part_by_key(f"key {i}", fraction, seed) for i in range(2000)]
        assert abs(parts.count("heldout") / 2000 - fraction) < 4 * math.sqrt(fraction * (1 - fraction) / 2000)


def test_all_or_nothing_is_held_out_exactly():
    keys = [f"key {i}" for i in range(1000)]
    assert {part_by_key(key, 0.0, 0) for key in keys} == {"train"}
    assert {part_by_key(key, 1.0, 0) for key in keys} == {"heldout"}


def test_a_part_that_comes_out_empty_is_said():
    assert "all 3 episodes are left for training" in one_sided(["train"] * 3, 0.1)
    assert "another --heldout-seed" in one_sided(["train"] * 3, 0.1)
    assert "nothing is left to train on" in one_sided(["heldout"] * 2, 0.5)
    assert not one_sided(["heldout"] * 2, 1.0)
    assert not one_sided(["train"] * 2, 0.0)
    assert not one_sided(["train", "heldout"], 0.5)


def test_a_key_tells_apart_what_happened_and_where_it_began():
    action, reward, state = np.ones((4, 2), np.float32), np.ones(4, np.float32), np.zeros(3)
    key = episode_key("toy/point-mass", 1, action, reward, state)
    assert key == episode_key("toy/point-mass", 1, np.asfortranarray(action), reward.copy(), state.copy())
    others = {
        episode_key("toy/other", 1, action, reward, state),
        episode_key("toy/point-mass", 2, action, reward, state),
        episode_key("toy/point-mass", 1, 0.5 * action, reward, state),
        episode_key("toy/point-mass", 1, action, 0.5 * reward, state),
        episode_key("toy/point-mass", 1, action, reward, state + 1),
        episode_key("toy/point-mass", 1, action, reward),
        episode_key("toy/point-mass", 1, action[:3], reward[:3], state),
    }
    assert len(others | {key}) == 8


def test_the_choice_is_the_same_today_as_ever():
    """Datasets of one recipe must not change with the code."""
    found = make({(design, seed): 9 for design in "ab" for seed in range(2)}, shared=3)
    choice = choose(found, ["a", "b"], Quota(4, heldout=0.4, seed=1, heldout_seed=2))
    assert [
        (one.origin.design, one.origin.config.seed, one.index, part)
        for one, part in zip(choice.episodes, choice.parts, strict=True)
    ] == [
        ("a", 0, 5, "heldout"),
        ("a", 0, 8, "train"),
        ("a", 1, 6, "train"),
        ("a", 1, 8, "train"),
        ("b", 0, 7, "train"),
        ("b", 0, 8, "heldout"),
        ("b", 1, 1, "train"),
        ("b", 1, 5, "train"),
    ]
