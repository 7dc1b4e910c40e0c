import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.config.sections import EnvConfig
from harness.rollout import play
from harness.streams import Streams
from harness.tasks import find_task
from planners.exploration import (
    EpsilonGreedy,
    GaussianNoise,
    Greedy,
    UniformRandom,
    coloured_noise,
    uniform_action,
)
from planners.types import ActionSpace

CHOICES = ActionSpace(4, discrete=True)


def _rng(seed=0):
    return np.random.default_rng(seed)


def _taken(exploration, space, steps, plan, seed=0):
    explore = exploration.begin(space, steps, _rng(seed))
    return np.stack([explore(plan) for _ in range(steps)])


def test_noise_has_its_scale_and_stays_in_range():
    taken = _taken(GaussianNoise(0.3), ActionSpace(2), 4000, np.zeros(2, np.float32))
    assert abs(taken.std() - 0.3) < 0.01
    at_bound = _taken(GaussianNoise(0.3), ActionSpace(2), 100, np.ones(2, np.float32))
    assert at_bound.max() == 1
    assert at_bound.dtype == np.float32


def test_uniform_covers_the_range_and_ignores_the_plan():
    taken = _taken(UniformRandom(), ActionSpace(1), 4000, np.full(1, 9.0, np.float32))
    assert -1 <= taken.min() < -0.99
    assert 0.99 < taken.max() <= 1
    assert abs(taken.mean()) < 0.05


def test_uniform_choices_are_one_hot_and_equally_frequent():
    taken = _taken(UniformRandom(), CHOICES, 4000, np.eye(4, dtype=np.float32)[1])
    assert set(taken.flatten()) == {0.0, 1.0}
    np.testing.assert_allclose(taken.mean(0), 0.25, atol=0.03)
    assert (taken.sum(1) == 1).all()


def test_greedy_changes_nothing():
    action = np.array([0.2, -0.4], np.float32)
    assert Greedy().begin(ActionSpace(2), 1, _rng())(action) is action


def test_gaussian_noise_refuses_discrete_actions():
    with pytest.raises(ValueError, match="explore discrete ones with epsilon"):
        GaussianNoise(0.3).begin(CHOICES, 10, _rng())
    with pytest.raises(ValueError, match="explore discrete ones with epsilon"):
        EpsilonGreedy(0.1, GaussianNoise(0.3)).begin(CHOICES, 10, _rng())


@pytest.mark.parametrize(("epsilon", "part"), [(0.0, 0.0), (0.2, 0.15), (1.0, 0.75)])
def test_epsilon_is_the_part_of_random_steps(epsilon, part):
    """A random choice of four is another one in three of four cases."""
    plan = np.eye(4, dtype=np.float32)[2]
    taken = _taken(EpsilonGreedy(epsilon), CHOICES, 4000, plan)
    assert (taken.argmax(1) != 2).mean() == pytest.approx(part, abs=0.02)


def test_wrappers_compose():
    """A tenth of the steps is uniform over the whole range, the others are noisy plans."""
    plan = np.full(1, 0.8, np.float32)
    taken = _taken(EpsilonGreedy(0.1, GaussianNoise(0.01)), ActionSpace(1), 4000, plan)[:, 0]
    near = np.abs(taken - 0.8) < 0.05
    assert (~near).mean() == pytest.approx(0.1 * 0.95, abs=0.02)
    assert taken[near].std() == pytest.approx(0.01, rel=0.3)
    twice = _taken(GaussianNoise(0.3, base=GaussianNoise(0.4)), ActionSpace(1), 4000, np.zeros(1, np.float32))
    assert twice.std() == pytest.approx(0.5, rel=0.05)


def test_a_wrapper_needs_a_plan_if_what_it_wraps_does():
    assert EpsilonGreedy(0.1, GaussianNoise(0.1)).needs_plan
    assert not EpsilonGreedy(0.1, UniformRandom()).needs_plan
    assert not GaussianNoise(0.1, base=UniformRandom()).needs_plan


def test_coloured_noise_goes_on_while_a_random_action_is_played():
    steps, zero = 50, np.zeros(2, np.float32)
    plain = _taken(GaussianNoise(0.1, 2.0), ActionSpace(2), steps, zero)
    mixed = _taken(EpsilonGreedy(0.5, GaussianNoise(0.1, 2.0)), ActionSpace(2), steps, zero)
    same = (plain == mixed).all(1)
    assert 0.2 < same.mean() < 0.8


@pytest.mark.parametrize(
    "exploration", [UniformRandom(), EpsilonGreedy(0.3), GaussianNoise(0.3), GaussianNoise(0.3, 1)]
)
def test_an_episode_is_determined_by_its_stream(exploration):
    plan = np.zeros(3, np.float32)
    one, same, other = (_taken(exploration, ActionSpace(3), 40, plan, seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


@given(exponent=st.floats(0, 3), steps=st.integers(1, 40), dim=st.integers(1, 3), seed=st.integers(0, 99))
def test_any_exploration_of_any_length_stays_in_range(exponent, steps, dim, seed):
    explore = EpsilonGreedy(0.2, GaussianNoise(2.0, exponent))
    taken = _taken(explore, ActionSpace(dim), steps, np.ones(dim, np.float32), seed)
    assert taken.shape == (steps, dim)
    assert np.abs(taken).max() <= 1


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("steps", [64, 65])
def test_coloured_noise_has_unit_variance_and_the_slope_of_its_spectrum(exponent, steps):
    noise = coloured_noise(exponent, steps, 20_000, _rng())
    np.testing.assert_allclose(noise.var(1), 1, atol=0.06)
    power = (np.abs(np.fft.rfft(noise, axis=0)) ** 2).mean(1)[1:]
    frequency = np.arange(1, len(power) + 1)
    slope = np.polyfit(np.log(frequency), np.log(power), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.02)


def test_dimensions_of_coloured_noise_are_independent():
    noise = coloured_noise(1.0, 4096, 2, _rng())
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.2
    assert uniform_action(CHOICES, _rng()).dtype == np.float32


class _Watcher:
    """Plans the same action always, and keeps what it is shown."""

    def __init__(self):
        self.columns, self.plans = [], 0

    def initial(self, batch):
        return batch

    def observe(self, state, column, rows, envs=()):
        self.columns.append(column)
        return state

    def plan(self, state, rows):
        self.plans += 1
        return torch.full((state, 2), 0.123), state


def test_a_random_step_of_epsilon_greedy_hides_no_frame_from_the_belief():
    """A fault of the reference (REFERENCE.md 4.9): there, random steps skip the planner, and with it the belief."""
    task = find_task("toy/point-mass", EnvConfig(image_size=16, time_limit=40))
    agent = _Watcher()
    exploration = EpsilonGreedy(0.5)
    (episode,) = play(
        agent, [task.make()], task.spec, [("collect", 0)], exploration, Streams(0, "toy", "x"), lambda: None
    )
    random = (np.abs(episode.action[1:] - 0.123) > 1e-6).any(1)
    assert 0.2 < random.mean() < 0.8
    assert len(agent.columns) == agent.plans == episode.length
    for t, column in enumerate(agent.columns):
        np.testing.assert_array_equal(column.image[0], episode.image[t])
        np.testing.assert_array_equal(column.action[0], episode.action[t])
