"""A task of one's own that breaks its interface or its spec: who is to blame, and where, in one message."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from harness.agent import NoModel
from harness.config.sections import EnvConfig
from harness.errors import RunError, UserError
from harness.rollout import play
from harness.streams import Streams
from harness.tasks import find_task
from harness.tasks.gym import FromGymnasium
from harness.tasks.spec import TaskSpec
from planners.exploration import UniformRandom

SPEC = TaskSpec("mine:Task", 1, False, (3, 8, 8), 1, 4, (0.0, 1.0))
FRAME = np.zeros((3, 8, 8), np.uint8)


class Told(gymnasium.Env):
    """Returns what it is told to."""

    action_space = spaces.Box(-1, 1, (1,))

    def __init__(self, begins=(FRAME, {}), steps=(FRAME, 1.0, False, True, {})):
        self.begins, self.steps = begins, steps

    def reset(self, *, seed=None, options=None):
        return self.begins

    def step(self, action):
        return self.steps


def played(env, spec=SPEC):
    return play(
        NoModel(1), [env], spec, [("collect", 0)], UniformRandom(), Streams(0, "t", "d"), lambda: None
    )


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"begins": FRAME}, r"its reset\(\) returned a ndarray, not observation, info"),
        ({"begins": (FRAME, None)}, r"its reset\(\) returned a NoneType as info"),
        (
            {"steps": (FRAME, 1.0, True, {})},
            r"its step\(\) returned 4 values, not observation, reward, termin",
        ),
        ({"steps": (FRAME, np.nan, False, True, {})}, r"its step\(\) returned the reward nan"),
        ({"steps": (FRAME, None, False, True, {})}, r"its step\(\) returned the reward None"),
    ],
)
def test_what_an_environment_may_not_return_is_told_with_the_task_and_the_place(told, says):
    with pytest.raises(RunError, match=says) as error:
        played(Told(**told))
    assert str(error.value).startswith("the task mine:Task: ")
    assert f"({__file__}:" in str(error.value)
    assert error.value.kind == "code"


def test_a_reward_outside_the_stated_range_ends_the_run():
    def paid(reward):
        return Told(steps=(FRAME, reward, False, True, {}))

    assert played(paid(1.0))[0].total_return == 1.0
    assert played(paid(1.0 + 1e-6))
    with pytest.raises(RunError, match=r"mine:Task: .* paid 1\.5, outside the range \[0, 1\]"):
        played(paid(1.5))
    assert played(paid(1.5), replace(SPEC, reward_range=None))


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("time_limit", "long", "time_limit is 'long'; expected a whole number of at least 1"),
        ("time_limit", 2.5, "time_limit is 2.5"),
        ("action_repeat", -1, "action_repeat is -1"),
        ("reward_range", (1.0, -1.0), r"reward_range is \(1.0, -1.0\); expected \(smallest, largest\)"),
        ("reward_range", (0.0, np.inf), "or None if rewards are unbounded"),
        ("reward_range", 1.0, "reward_range is 1.0"),
    ],
)
def test_a_spec_that_says_nothing_sensible_is_refused_when_the_task_is_made(monkeypatch, field, value, says):
    monkeypatch.setattr(Own, field, value)
    with pytest.raises(UserError, match=f"{__name__}:Own .*{says}"):
        find_task(f"{__name__}:Own", EnvConfig(image_size=8))


def test_an_environment_that_cannot_be_made_is_not_an_import_that_fails(monkeypatch):
    monkeypatch.setattr(Own, "environment", lambda _: spaces.Box(1.0, -1.0, (1,)))
    with pytest.raises(
        UserError, match=rf"{__name__}:Own: its environment\(\) fails: ValueError: .*{__file__}"
    ):
        find_task(f"{__name__}:Own", EnvConfig(image_size=9))


class Own(FromGymnasium):
    version = 1

    def environment(self):
        env = Told()
        env.observation_space, env.render_mode = spaces.Box(-1, 1, (1,)), "rgb_array"
        return env
