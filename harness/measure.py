"""What a run measures of its agent: noise-free returns, and open-loop errors of the same frozen weights."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from harness.agent import Agent, EpisodeKey, ModelAgent, NoModel
from harness.build import model_design
from harness.config import RunConfig
from harness.coverage import StateScale
from harness.datasets import Episodes, open_loop_starts, probe_dataset
from harness.environments import Environments
from harness.episodes import Episode
from harness.errors import UserError
from harness.openloop import OpenLoop, evaluate_open_loop
from harness.rollout import play_all
from harness.streams import Streams
from harness.tasks.spec import Task
from models.regions import image_region
from planners.exploration import Exploration, Greedy, UniformRandom

log = logging.getLogger("wm")
Phase = Literal["scheduled", "final"]


@dataclass
class Measurement:
    """Lines for metrics.jsonl, and what is kept beside them."""

    records: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    episodes: list[Episode] = field(default_factory=list)
    open_loop: dict[str, OpenLoop] = field(default_factory=dict)
    probe_digest: str | None = None

    @property
    def mean_return(self) -> float:
        return sum(episode.total_return for episode in self.episodes) / len(self.episodes)


class Measurer:
    """Evaluates the agent of one run.

    Args:
        config: what is measured, and how much of it.
        task: what is played.
        envs: to play in.
        streams: of the run.
        datasets: RUNS/datasets, where the task's probe dataset is, or is made.
        device: of the model.
        tick: called after every step; may raise to stop.
        heldout: episodes that an offline run does not train on.
    """

    def __init__(
        self,
        config: RunConfig,
        task: Task,
        envs: Environments,
        streams: Streams,
        datasets: Path,
        device: torch.device,
        tick: Callable[[], None],
        heldout: Episodes | None = None,
    ) -> None:
        self.config = config
        self.task = task
        self.envs = envs
        self.streams = streams
        self.datasets = datasets
        self.device = device
        self.tick = tick
        self.heldout = heldout
        self._probe: tuple[list[Episode], str] | None = None
        self._scale: list[StateScale | None] = []  # empty: not known yet

    def scheduled(self, agent: Agent, number: int) -> Measurement:
        """The evaluation after `number` iterations."""
        episodes = self.config.evaluation.episodes
        keys = [("evaluation", number * episodes + i) for i in range(episodes)]
        return self._measure(agent, keys, "scheduled")

    def final(self, agent: Agent) -> Measurement:
        """The final phase: returns and errors of the same frozen weights, on episodes common to all designs."""
        return self._measure(
            agent, [("final", i) for i in range(self.config.evaluation.final_episodes)], "final"
        )

    def state_scale(self) -> StateScale | None:
        """The unit of each dimension of the simulator's state, from the probe; None where there is no state."""
        if not self._scale:
            scale = StateScale.of(self.probe_episodes()[0]) if self.task.spec.state_dim else None
            self._scale.append(scale)
            if scale is None:
                log.info("%s has no simulator state that varies: coverage is not measured", self.config.task)
        return self._scale[0]

    def _measure(self, agent: Agent, keys: list[EpisodeKey], phase: Phase) -> Measurement:
        envs = self.envs.take(min(len(keys), self.config.runtime.parallel_envs))
        exploration: Exploration = UniformRandom() if isinstance(agent, NoModel) else Greedy()
        played = play_all(agent, envs, self.task.spec, keys, exploration, self.streams, self.tick)
        result = measured_returns(keys, played, phase)
        if isinstance(agent, ModelAgent):
            self._measure_open_loop(agent, result, phase)
        return result

    def _measure_open_loop(self, agent: ModelAgent, result: Measurement, phase: Phase) -> None:
        probe, result.probe_digest = self.probe_episodes()
        known: dict[str, Episodes] = {"probe": probe, "own": result.episodes}
        if self.heldout is not None:
            known["heldout"] = self.heldout
        for name, episodes in known.items():
            begun = time.monotonic()
            outcome = self.open_loop(agent, name, episodes)
            if outcome is not None:
                seconds = time.monotonic() - begun
                result.open_loop[name] = outcome
                result.records.append(("open_loop", {"phase": phase, "seconds": seconds, **outcome.record}))

    def open_loop(self, agent: ModelAgent, name: str, episodes: Episodes) -> OpenLoop | None:
        """Open-loop errors on episodes, from starts that depend on the dataset alone (`own`: on the seed too).

        None if no episode of the agent's own is long enough to hold a context and a horizon.
        """
        evaluation = self.config.evaluation
        common = Streams(0, self.config.task, "")
        rng = (self.streams if name == "own" else common).numpy("open_loop_starts", name)
        try:
            starts = open_loop_starts(
                episodes, evaluation.starts, evaluation.context, evaluation.horizon, rng
            )
        except UserError:
            if name == "own":
                return None
            raise
        return evaluate_open_loop(
            agent.model,
            episodes,
            starts,
            horizon=evaluation.horizon,
            samples=evaluation.samples,
            context=evaluation.context,
            streams=self.streams,
            dataset=name,
            device=self.device,
            tick=self.tick,
            autocast=agent.autocast,
            region=self._region(),
            shifted=self.config.legacy.shifted_evaluation,
        )

    def _region(self) -> Tensor | None:
        """The part of the image whose prediction is trained, f32[h, w]; None where it is all, or nothing."""
        design = model_design(self.config, self.streams)
        if not 0 < design.image_fraction < 1:
            return None
        region = image_region(*self.task.spec.image_shape[1:], design.image_fraction, design.region_seed)
        return region.to(self.device) if region.any() else None

    def probe_episodes(self) -> tuple[list[Episode], str]:
        """The task's probe, and its digest; read once."""
        if self._probe is None:
            count = self.config.evaluation.probe_episodes
            oracle = self.config.evaluation.probe_oracle
            dataset = probe_dataset(
                self.datasets, self.task, self.config.env, count, oracle=oracle, tick=self.tick
            )
            self._probe = (list(dataset), dataset.digest)
        return self._probe


def measured_returns(keys: Sequence[EpisodeKey], episodes: Sequence[Episode], phase: Phase) -> Measurement:
    """Episodes with their `evaluation` lines."""
    result = Measurement(episodes=list(episodes))
    for (_, number), episode in zip(keys, episodes, strict=True):
        record = {
            "return": episode.total_return,
            "length": episode.length,
            "episode": number,
            "phase": phase,
        }
        result.records.append(("evaluation", record))
    return result
