"""One run's loop: collect an episode, train on the replay, evaluate now and then; exactly resumable.

::

    iteration i:  collect 1 episode --> updates_per_episode gradient steps --> every N: noise-free episodes
                  (random while i < cold_start)   (once the cold start is collected)   and open-loop errors
    at the end:   the final phase (`harness.final`), of the frozen weights

An offline run collects nothing: its iterations are gradient steps on a fixed dataset, and it has no cold start.
The position moves through (iteration, stage, update). At any position the state is the checkpoint's content plus
keyed streams, so a run can be left and continued anywhere between two gradient steps.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from harness.build import build_agent, build_model, exploration_of, make_streams
from harness.checkpoint import CheckpointStore
from harness.coverage import replay_coverage
from harness.environments import Environments
from harness.measure import Measurement, Measurer
from harness.metrics import MetricsLog
from harness.monitor import Stopped
from harness.offline import OfflineData
from harness.replay import EMPTY, Replay
from harness.rollout import play
from harness.session import Session
from harness.tensorboard import open_board
from harness.trainer import Sums, Trainer

log = logging.getLogger("wm")
Stage = Literal["collect", "train", "evaluate", "final"]


class Diverged(Exception):
    """The loss or the parameters became NaN or infinite: a result, not a failure."""


@dataclass
class Position:
    """Where the loop stands."""

    iteration: int = 0
    stage: Stage = "collect"
    update: int = 0  # gradient steps done of this iteration


class Loop:
    """The training loop of one run with a model.

    Args:
        session: what the attempt works with.
        store: checkpoints; the newest one is continued.
        measurer: evaluates the agent.
        envs: to collect in.
        data: what an offline run trains on in place of what it collects.
    """

    def __init__(
        self,
        session: Session,
        store: CheckpointStore,
        measurer: Measurer,
        envs: Environments,
        data: OfflineData | None = None,
    ) -> None:
        run, config, task, device = session.run, session.config, session.task, session.device
        self.config = config
        self.task = task
        self.device = device
        self.monitor = session.monitor
        self.store = store
        self.measurer = measurer
        self.envs = envs
        self.streams = make_streams(config)
        self.model = build_model(config, task.spec, self.streams)
        assert isinstance(self.model, torch.nn.Module)
        self.model.to(device)
        self.trainer = Trainer(config, self.model, self.streams, device)
        self.agent = build_agent(config, task.spec, self.streams, device, self.model)
        self.position = Position()
        self.sums: Sums = {}
        self.seconds = {"wall": 0.0, "collect": 0.0, "train": 0.0, "plan": 0.0}
        self.env_steps = self.grad_steps = 0
        saved = store.load()
        self.offline = data is not None
        self.replay: Replay = (
            data.replay if data else Replay.open(run.replay, task.spec, saved["replay"] if saved else EMPTY)
        )
        # Training begins with the iteration that completes the cold start.
        self.first_trained = 0 if data else config.exploration.cold_start - 1
        self.metrics = MetricsLog(run.metrics, saved["metrics"] if saved else 0)
        self.board = open_board(run, config)  # after metrics.jsonl was cut to the checkpoint
        if saved:
            self._restore(saved)
        self._begun = self._saved_at = time.monotonic()

    def train(self) -> None:
        """Runs to the final phase.

        Raises:
            Stopped: asked to stop; a checkpoint of the position was written.
            LostOwnership: the run was taken over.
            Diverged: the loss is no longer finite.
        """
        stages = {"collect": self._collect, "train": self._train, "evaluate": self._evaluate}
        try:
            while self.position.stage != "final":
                stages[self.position.stage]()
                if time.monotonic() - self._saved_at > 60 * self.config.storage.checkpoint_minutes:
                    self.save()
        except Stopped:
            self.save()
            raise

    def save(self) -> None:
        """Makes the position durable: replay and metrics first, then the checkpoint that counts on them."""
        assert isinstance(self.model, torch.nn.Module)
        if not self.offline:
            self.replay.flush()
        content = {
            "position": asdict(self.position),
            "model": self.model.state_dict(),
            "optimizer": self.trainer.optimizer.state_dict(),
            "replay": dict(self.replay.position()),
            "metrics": self.metrics.commit(),
            "sums": self.sums,
            "seconds": self.total_seconds(),
            "env_steps": self.env_steps,
            "grad_steps": self.grad_steps,
            "last_return": self.monitor.state.last_return,
        }
        self.store.save(content)
        self._saved_at = time.monotonic()

    def counters(self) -> dict[str, Any]:
        """What every metrics line carries."""
        return {
            "iteration": self.position.iteration,
            "env_steps": self.env_steps,
            "grad_steps": self.grad_steps,
            "wall_seconds": self.total_seconds()["wall"],
        }

    def total_seconds(self) -> dict[str, float]:
        """Seconds of all attempts: `wall`, `collect`, `train`, and `plan`, a part of collecting and evaluating."""
        wall = self.seconds["wall"] + time.monotonic() - self._begun
        return self.seconds | {"wall": wall, "plan": self.seconds["plan"] + self.agent.plan_seconds}

    def write_measurement(self, measurement: Measurement) -> None:
        """Appends the lines of an evaluation."""
        for kind, record in measurement.records:
            self.metrics.write(kind, self.counters() | record)
        if self.board:
            pictures = {name: outcome.pictures for name, outcome in measurement.open_loop.items()}
            self.board.measured(measurement.episodes, pictures)

    def _restore(self, saved: dict[str, Any]) -> None:
        assert isinstance(self.model, torch.nn.Module)
        self.position = Position(**saved["position"])
        self.model.load_state_dict(saved["model"])
        self.trainer.optimizer.load_state_dict(saved["optimizer"])
        self.sums = {name: value.to(self.device) for name, value in saved["sums"].items()}
        self.seconds = dict(saved["seconds"])
        self.env_steps, self.grad_steps = saved["env_steps"], saved["grad_steps"]
        self.monitor.state.last_return = saved["last_return"]

    def _collect(self) -> None:
        number = self.position.iteration
        self.measurer.state_scale()  # may take long and be stopped: before anything of this episode is written
        if self.offline:
            if number == 0:
                self._cover()
            self.position.stage = "train"
            return
        self._tick("collecting")
        random = number < self.config.exploration.cold_start
        exploration = exploration_of(self.config, self.task.spec, number)
        begun = time.monotonic()
        (episode,) = play(
            self.agent,
            self.envs.take(1),
            self.task.spec,
            [("collect", number)],
            exploration,
            self.streams,
            self.monitor.tick,
        )
        self.seconds["collect"] += time.monotonic() - begun
        self.replay.append(episode)
        self.env_steps += episode.length
        behaviour = "random" if random else "noise"
        log.info(
            "episode %d: return %.4g (%s), %d steps", number, episode.total_return, behaviour, episode.length
        )
        record = {
            "return": episode.total_return,
            "length": episode.length,
            "episode": number,
            "behaviour": behaviour,
        }
        self.metrics.write("episode", self.counters() | record)
        self._cover()
        self.position.stage = "train"

    def _cover(self) -> None:
        """How widely the states collected so far, or those of the dataset, are spread; nothing without states."""
        scale = self.measurer.state_scale()
        if scale is not None and self.replay.spec.state_dim:  # imported episodes may have no states
            rng = self.streams.numpy("coverage", self.position.iteration)
            self.metrics.write("coverage", self.counters() | replay_coverage(self.replay, scale, rng))

    def _train(self) -> None:
        steps = self.config.train.updates_per_episode
        if self.position.iteration >= self.first_trained and steps:
            begun = time.monotonic()
            try:
                while self.position.update < steps:
                    self._tick("training")
                    self.trainer.step(self.replay, self.grad_steps, self.sums)
                    self.position.update += 1
                    self.grad_steps += 1
            finally:
                self.seconds["train"] += time.monotonic() - begun
            self._write_training(time.monotonic() - begun)
        self.position.stage, self.position.update, self.sums = "evaluate", 0, {}

    def _write_training(self, seconds: float) -> None:
        means = {name: float(value) / self.position.update for name, value in self.sums.items()}
        self.metrics.write("train", self.counters() | means | {"seconds": seconds})
        log.info("%d updates in %.1f s: loss %.4g", self.position.update, seconds, means["loss"])
        if not all(math.isfinite(value) for value in means.values()):
            raise Diverged

    def _evaluate(self) -> None:
        done = self.position.iteration + 1
        trained = self.position.iteration >= self.first_trained
        last = done == self.config.train.episodes
        if trained and not last and done % self.config.evaluation.every == 0:
            self._tick("evaluating")
            measurement = self.measurer.scheduled(self.agent, done)
            self.write_measurement(measurement)
            self.monitor.state.last_return = measurement.mean_return
            log.info("evaluation after %d iterations: mean return %.4g", done, measurement.mean_return)
        if self.board:
            self.board.follow()
        self.position.iteration, self.position.stage = done, "final" if last else "collect"
        self._tick("training" if self.offline else "collecting")

    def _tick(self, phase: str) -> None:
        within = {
            "collect": 0.0,
            "train": self.position.update / max(1, self.config.train.updates_per_episode),
        }
        fraction = self.position.iteration + within.get(self.position.stage, 0.9)
        self.monitor.tick(
            phase=phase,
            iteration=self.position.iteration,
            env_steps=self.env_steps,
            grad_steps=self.grad_steps,
            progress=min(1.0, fraction / (self.config.train.episodes + 1)),
        )
