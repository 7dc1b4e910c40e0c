"""Discrete actions: integers for the environment and on disk, one-hot vectors for the agent."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from harness.agent import NoModel
from harness.build import exploration_of
from harness.rollout import play
from harness.streams import Streams
from harness.tasks.spec import TaskSpec
from planners.exploration import EpsilonGreedy, GaussianNoise, Greedy, UniformRandom
from planners.types import ActionSpace
from tests.harness.runs import tiny_config

SPEC = TaskSpec("test/buttons", 3, True, (3, 4, 4), 1, 6, None)


class Buttons(gymnasium.Env):
    """Lights the pixel of the button that was pressed; pays its number."""

    action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.pressed = 0, []
        return np.zeros((3, 4, 4), np.uint8), {}

    def step(self, action):
        assert isinstance(action, int)
        self.steps += 1
        self.pressed.append(action)
        frame = np.zeros((3, 4, 4), np.uint8)
        frame[:, 0, action] = 255
        return frame, float(action), False, self.steps == 6, {}


class Presses(NoModel):
    """Plans the buttons 2, 1, 0, 2, ... and keeps what it sees."""

    def __init__(self):
        super().__init__(3)
        self.seen = []

    def observe(self, state, column, rows, envs=()):
        self.seen.append(column)
        return state

    def plan(self, state, rows):
        choice = 2 - rows[0][-1] % 3
        return torch.eye(3)[[choice]], state


def played(exploration):
    agent, env = Presses(), Buttons()
    (episode,) = play(agent, [env], SPEC, [("collect", 0)], exploration, Streams(0, "t", "d"), lambda: None)
    return agent, env, episode


def test_a_plan_is_played_as_its_choice_and_seen_as_a_vector():
    agent, env, episode = played(Greedy())
    assert env.pressed == [2, 1, 0, 2, 1, 0]
    assert episode.action.dtype == np.int64
    assert episode.action.tolist() == [0, 2, 1, 0, 2, 1, 0]
    seen = torch.cat([column.action for column in agent.seen])
    assert seen.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]]
    np.testing.assert_array_equal(seen.numpy(), episode.action_vectors(3)[:6])


def test_epsilon_replaces_plans_and_the_belief_sees_what_was_played():
    agent, env, episode = played(EpsilonGreedy(1.0))
    assert env.pressed != [2, 1, 0, 2, 1, 0]
    assert [int(column.action.argmax()) for column in agent.seen[1:]] == episode.action[1:-1].tolist()
    for t, column in enumerate(agent.seen):
        np.testing.assert_array_equal(column.image[0], episode.image[t])


def test_random_play_presses_every_button():
    assert set(played(UniformRandom())[1].pressed) == {0, 1, 2}


CONTINUOUS = TaskSpec("test/levers", 2, False, (3, 4, 4), 1, 6, None)


@pytest.mark.parametrize(
    ("spec", "fields", "expected"),
    [
        (CONTINUOUS, {}, GaussianNoise),
        (CONTINUOUS, {"exploration__epsilon": 0.1}, EpsilonGreedy),
        (SPEC, {}, EpsilonGreedy),
        (SPEC, {"exploration__epsilon": 0.0}, Greedy),
    ],
    ids=["noise", "noise and epsilon", "discrete", "discrete, greedy"],
)
def test_exploration_of_a_configuration(spec, fields, expected):
    config = tiny_config(**fields)
    assert isinstance(exploration_of(config, spec, 1), UniformRandom)  # of the cold start
    found = exploration_of(config, spec, 2)
    assert isinstance(found, expected)
    if isinstance(found, EpsilonGreedy):
        assert isinstance(found.base, Greedy if spec.discrete else GaussianNoise)
        assert found.epsilon == (0.2 if spec.discrete else 0.1)
    found.begin(ActionSpace(spec.action_dim, spec.discrete), 6, np.random.default_rng(0))
