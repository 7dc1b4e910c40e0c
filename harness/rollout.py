"""Plays episodes: B environments in lock-step with one agent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

from harness.agent import Agent, EpisodeKey
from harness.build import action_space
from harness.episodes import Episode, Recorder
from harness.streams import Streams
from harness.tasks import steps
from harness.tasks.spec import TaskSpec
from models.types import Observation
from planners.exploration import Exploration

Tick = Callable[[], None]
"""Called after every environment step; may raise to stop."""


class _Row:
    """One environment, its episode so far, and its explorer. Actions are vectors, one-hot where discrete."""

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        spec: TaskSpec,
        key: EpisodeKey,
        exploration: Exploration,
        streams: Streams,
    ) -> None:
        self.env = env
        self.spec = spec
        self.explore = exploration.begin(
            action_space(spec), spec.max_steps, streams.numpy("exploration", *key)
        )
        self.image, info = steps.reset(env, streams.env_seed("episode", *key), spec.name)
        self.action = np.zeros(spec.action_dim, np.float32)
        self.reward = 0.0
        self.done = False
        self.recorder = Recorder(spec, self.image, info)

    def step(self, planned: NDArray[np.float32]) -> None:
        self.action = self.explore(planned)
        played = int(self.action.argmax()) if self.spec.discrete else self.action
        self.image, self.reward, terminated, truncated, info = steps.step(self.env, played, self.spec.name)
        steps.check_range(self.reward, self.spec)
        self.recorder.add(played, self.image, self.reward, terminated, info)
        self.done = terminated or truncated


def play(
    agent: Agent,
    envs: Sequence[gymnasium.Env[Any, Any]],
    spec: TaskSpec,
    keys: Sequence[EpisodeKey],
    exploration: Exploration,
    streams: Streams,
    tick: Tick,
) -> list[Episode]:
    """Plays one episode per key, the environments side by side.

    The belief sees every frame, also those that follow an action the exploration chose by itself. An episode's
    environment seed and exploration depend on the task, the seed and its key, not on the design or its neighbours.
    An environment that ends early is stepped no further; its row is ignored.
    """
    rows = [_Row(env, spec, key, exploration, streams) for env, key in zip(envs, keys, strict=False)]
    assert len(rows) == len(keys), "an environment for every episode"
    state = agent.initial(len(rows))
    step = 0
    while not all(row.done for row in rows):
        index = [(*key, step) for key in keys]
        state = agent.observe(state, _column(rows, first=step == 0), index, envs)
        if exploration.needs_plan:
            planned, state = agent.plan(state, index)
            actions = planned.numpy()
        else:
            actions = np.zeros((len(rows), spec.action_dim), np.float32)
        for row, action in zip(rows, actions, strict=True):
            if not row.done:
                row.step(action)
        step += 1
        tick()
    return [row.recorder.episode() for row in rows]


def play_all(
    agent: Agent,
    envs: Sequence[gymnasium.Env[Any, Any]],
    spec: TaskSpec,
    keys: Sequence[EpisodeKey],
    exploration: Exploration,
    streams: Streams,
    tick: Tick,
) -> list[Episode]:
    """Plays any number of episodes, as many side by side as there are environments."""
    groups = [keys[i : i + len(envs)] for i in range(0, len(keys), len(envs))]
    return [
        episode for group in groups for episode in play(agent, envs, spec, group, exploration, streams, tick)
    ]


def _column(rows: Sequence[_Row], *, first: bool) -> Observation:
    return Observation(
        image=torch.from_numpy(np.stack([row.image for row in rows])),
        action=torch.from_numpy(np.stack([row.action for row in rows])),
        reward=torch.tensor([row.reward for row in rows]),
        first=torch.full((len(rows),), first),
    )
