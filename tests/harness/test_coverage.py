import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.coverage import (
    NEIGHBOUR,
    RESOLUTION,
    STATES,
    StateScale,
    coverage,
    replay_coverage,
    sample_columns,
)
from harness.replay import EMPTY, Replay
from tests.harness.replays import DISCRETE, SPEC, make_episode


@pytest.mark.parametrize(("dim", "slack"), [(1, 0.05), (2, 0.08), (4, 0.25)])
def test_entropy_of_a_uniform_cube(dim, slack):
    """Balls reach over the edges, where nothing is: the estimate is a little high, more so in more dimensions."""
    side = 3.0
    points = np.random.default_rng(dim).uniform(0, side, (4000, dim))
    assert coverage(points).entropy == pytest.approx(dim * math.log(side), abs=slack)


@pytest.mark.parametrize("dim", [1, 3, 6])
def test_entropy_of_a_gaussian(dim):
    std = np.linspace(0.5, 2, dim)
    points = np.random.default_rng(dim).normal(size=(4000, dim)) * std
    exact = dim / 2 * math.log(2 * math.pi * math.e) + np.log(std).sum()
    assert coverage(points).entropy == pytest.approx(exact, abs=0.06 * dim)


def test_distance_to_the_third_neighbour_on_a_grid():
    """Inner points of a line have neighbours at 1, 1 and 2."""
    line = np.arange(1000.0)[:, None]
    assert coverage(line).knn_distance == pytest.approx(2.0, abs=0.01)
    assert coverage(line, k=2).knn_distance == pytest.approx(1.0, abs=0.01)


@given(st.integers(0, 2**31), st.floats(-100, 100), st.floats(0.5, 20))
def test_moving_and_mixing_points_changes_nothing_and_scaling_adds_its_logarithm(seed, shift, factor):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(60, 3))
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    plain = coverage(points)
    moved = coverage(rng.permutation(points @ rotation + shift))
    assert moved.entropy == pytest.approx(plain.entropy, abs=1e-6)
    assert moved.knn_distance == pytest.approx(plain.knn_distance)
    grown = coverage(points * factor)
    assert grown.entropy == pytest.approx(plain.entropy + 3 * math.log(factor))
    assert grown.knn_distance == pytest.approx(plain.knn_distance * factor)


def test_an_agent_that_stands_still_covers_least_and_finitely():
    still = coverage(np.zeros((500, 4)))
    assert still.knn_distance == pytest.approx(RESOLUTION)
    assert math.isfinite(still.entropy)
    half = np.random.default_rng(0).normal(size=(500, 4))
    half[250:] = 0
    wide = coverage(np.random.default_rng(0).normal(size=(500, 4)))
    assert still.entropy < coverage(half).entropy < wide.entropy


@pytest.mark.parametrize("count", range(1, NEIGHBOUR + 1))
def test_too_few_states_have_none(count):
    found = coverage(np.zeros((count, 2)))
    assert math.isnan(found.entropy)
    assert math.isnan(found.knn_distance)


class TestScale:
    def test_is_that_of_the_episodes_without_what_stands_still(self):
        state = np.random.default_rng(0).normal(size=(20, 3)) * [2, 1, 0] + [0, 0, 1e6]
        parts = make_episode(10, state=state[:10]), make_episode(10, state=state[10:])
        scale = StateScale.of(parts)
        assert scale.kept.tolist() == [True, True, False]
        np.testing.assert_allclose(scale.apply(state).std(axis=0), 1)

    def test_rounding_is_no_movement(self):
        state = np.stack([np.arange(10.0), 0.1 + 1e-13 * np.arange(10)], axis=1)
        assert StateScale.of([make_episode(10, state=state)]).kept.tolist() == [True, False]

    def test_there_is_none_without_states(self):
        assert StateScale.of([]) is None
        assert StateScale.of([make_episode(5), make_episode(5, state=None)]) is None
        assert StateScale.of([make_episode(5, state=np.zeros((5, 3)))]) is None


class TestReplay:
    def test_states_are_those_of_the_columns(self, tmp_path):
        episodes = [make_episode(columns, seed) for seed, columns in enumerate((5, 7))]
        replay = Replay.open(tmp_path, SPEC, EMPTY)
        for episode in episodes:
            replay.append(episode)
        every = np.concatenate([episode.state for episode in episodes])
        np.testing.assert_array_equal(replay.states(np.array([0, 4, 5, 11])), every[[0, 4, 5, 11]])

    def test_a_task_without_states_says_so(self, tmp_path):
        replay = Replay.open(tmp_path, DISCRETE, EMPTY)
        with pytest.raises(ValueError, match="no simulator state"):
            replay.states(np.array([0]))

    def test_the_cost_is_bounded(self, tmp_path):
        replay = Replay.open(tmp_path, SPEC, EMPTY)
        for seed in range(8):
            replay.append(make_episode(400, seed))
        scale = StateScale(np.ones(3), np.ones(3, bool))
        begun = time.process_time()
        record = replay_coverage(replay, scale, np.random.default_rng(0))
        assert time.process_time() - begun < 2
        assert (record["states"], record["episodes"]) == (STATES, 8)
        again = replay_coverage(replay, scale, np.random.default_rng(0))
        assert record == again

    def test_columns_are_drawn_without_replacement(self):
        chosen = sample_columns(5000, np.random.default_rng(0))
        assert len(set(chosen.tolist())) == STATES
        assert sample_columns(10, np.random.default_rng(0)).tolist() == list(range(10))
