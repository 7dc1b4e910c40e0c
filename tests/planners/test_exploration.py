import numpy as np

from planners.exploration import GaussianNoise, Greedy, UniformRandom
from planners.types import ActionSpace


def test_noise_has_its_scale_and_stays_in_range():
    rng = np.random.default_rng(0)
    noise = GaussianNoise(0.3).begin(ActionSpace(2), 4000, rng)
    taken = np.stack([noise(np.zeros(2, np.float32)) for _ in range(4000)])
    assert abs(taken.std() - 0.3) < 0.01
    at_bound = np.stack([noise(np.ones(2, np.float32)) for _ in range(100)])
    assert at_bound.max() == 1
    assert at_bound.dtype == np.float32


def test_uniform_covers_the_range_and_ignores_the_plan():
    rng = np.random.default_rng(0)
    explore = UniformRandom().begin(ActionSpace(1), 4000, rng)
    taken = np.stack([explore(np.full(1, 9.0, np.float32)) for _ in range(4000)])
    assert -1 <= taken.min() < -0.99
    assert 0.99 < taken.max() <= 1
    assert abs(taken.mean()) < 0.05


def test_greedy_changes_nothing():
    action = np.array([0.2, -0.4], np.float32)
    assert Greedy().begin(ActionSpace(2), 1, np.random.default_rng(0))(action) is action
