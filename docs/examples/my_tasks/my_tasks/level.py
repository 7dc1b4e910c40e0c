"""A task from nothing: a bar is to be kept at the height of a mark that wanders."""

import gymnasium
import numpy as np
from gymnasium import spaces

from harness.tasks.gym import FromGymnasium


class LevelEnv(gymnasium.Env):
    render_mode = "rgb_array"
    action_space = spaces.Box(-1, 1, (1,))  # up or down
    observation_space = spaces.Box(-1, 1, (2,))  # bar and mark; never shown to a model

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)  # from here on self.np_random is this episode's own
        self.bar, self.mark = 0.0, self.np_random.uniform(-1, 1)
        return np.array([self.bar, self.mark]), {}

    def step(self, action):
        self.bar = float(np.clip(self.bar + 0.2 * action[0], -1, 1))
        self.mark = float(np.clip(self.mark + 0.05 * self.np_random.normal(), -1, 1))
        return np.array([self.bar, self.mark]), 1 - abs(self.bar - self.mark), False, False, {}

    def render(self):
        picture, heights = np.zeros((32, 32, 3), np.uint8), np.linspace(1, -1, 32)
        picture[np.abs(heights - self.mark) < 0.1] = (60, 170, 90)
        picture[np.abs(heights - self.bar) < 0.1, 8:24] = (235, 110, 30)
        return picture


class Level(FromGymnasium):
    version = 1
    time_limit = 25
    reward_range = (-1.0, 1.0)
    terminates = False

    def environment(self):
        return LevelEnv()
