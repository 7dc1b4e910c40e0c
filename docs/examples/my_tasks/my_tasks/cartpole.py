"""A task from an environment that exists: CartPole, rewarded for standing in the middle of the track."""

import gymnasium

from harness.tasks.gym import FromGymnasium


class Middle(gymnasium.Wrapper):
    def step(self, action):
        observation, _, terminated, truncated, info = self.env.step(action)
        reward = 1.0 - abs(observation[0]) / 2.4  # the track ends at 2.4
        return observation, max(reward, 0.0), terminated, truncated, info


class MiddleCartPole(FromGymnasium):
    version = 1
    action_repeat = 2
    reward_range = (0.0, 1.0)

    def environment(self):
        return Middle(gymnasium.make("CartPole-v1", render_mode="rgb_array"))
