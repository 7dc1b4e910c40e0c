"""The agent: a world model's belief, and a planner on its forecasts. State is passed in and returned."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Protocol

import gymnasium
import torch
from torch import Tensor

from harness.streams import Streams
from models.types import AnyWorldModel, Noise, Observation
from planners.objectives import Objective
from planners.types import Planner

EpisodeKey = tuple[str, int]
"""What an episode is for (`collect`, `evaluation`, `final`) and its number: it names the episode's streams."""


Envs = Sequence["gymnasium.Env[Any, Any]"]


class AgentState(NamedTuple):
    """The belief of B environments and the planner's memory."""

    model: Any
    planner: Any


class Agent(Protocol):
    """Sees columns and plans actions for B environments side by side."""

    def initial(self, batch: int) -> Any: ...

    def observe(
        self, state: Any, column: Observation, rows: Sequence[tuple[str | int, ...]], envs: Envs = ()
    ) -> Any:
        """Takes in one column.

        Args:
            state: before it.
            column: what B environments show.
            rows: row b draws its noise from the streams of index rows[b] = (purpose, episode, step).
            envs: the environments themselves, which an agent that knows only frames leaves alone.
        """
        ...

    def plan(self, state: Any, rows: Sequence[tuple[str | int, ...]]) -> tuple[Tensor, Any]:
        """Planned actions [B, A] in [-1, 1], or one-hot, on the CPU, and the new state."""
        ...


class NoModel:
    """Has no belief and no plan: the random agent, whose actions come from its exploration."""

    def __init__(self, action_dim: int) -> None:
        self.action_dim = action_dim

    def initial(self, batch: int) -> int:
        return batch

    def observe(
        self, state: int, column: Observation, rows: Sequence[tuple[str | int, ...]], envs: Envs = ()
    ) -> int:
        del column, rows, envs
        return state

    def plan(self, state: int, rows: Sequence[tuple[str | int, ...]]) -> tuple[Tensor, int]:
        del rows
        return torch.zeros(state, self.action_dim), state


class ModelAgent:
    """Observes each frame once, at batch B, and expands the belief to all candidates of a plan.

    Args:
        model: the world model, on `device`.
        planner: maximises the expected return.
        objective: from forecast rewards to a return.
        discount: of the objective.
        particles: K futures averaged per candidate; the same noise for all candidates and iterations of a call, so
            that a lucky draw cannot win (one particle is enough to compare candidates fairly).
        streams: of the run.
        device: of the model.
        bfloat16: arithmetic of the networks.
    """

    def __init__(
        self,
        model: AnyWorldModel,
        planner: Planner[Any],
        objective: Objective,
        *,
        discount: float,
        particles: int,
        streams: Streams,
        device: torch.device,
        bfloat16: bool = False,
    ) -> None:
        self.model = model
        self.planner = planner
        self.objective = objective
        self.discount = discount
        self.particles = particles if model.spec.stochastic else 1
        self.streams = streams
        self.device = device
        self.bfloat16 = bfloat16
        self.plan_seconds = 0.0  # spent in `plan` so far

    def initial(self, batch: int) -> AgentState:
        """The state before anything was observed."""
        return AgentState(self.model.initial(batch), self.planner.initial(batch))

    @torch.inference_mode()
    def observe(
        self,
        state: AgentState,
        column: Observation,
        rows: Sequence[tuple[str | int, ...]],
        envs: Envs = (),
    ) -> AgentState:
        """See `Agent.observe`."""
        del envs
        noise = self._noise(self.model.draws("observe", (1,)), "observe_noise", rows)
        with self.autocast():
            belief = self.model.observe(state.model, Observation(*(x.to(self.device) for x in column)), noise)
        return state._replace(model=belief)

    @torch.inference_mode()
    def plan(self, state: AgentState, rows: Sequence[tuple[str | int, ...]]) -> tuple[Tensor, AgentState]:
        """See `Agent.plan`."""
        begun = time.monotonic()
        proposals = self._noise(self.planner.draws(1), "planner_noise", rows)
        draws = self.model.draws("predict", (1, self.particles), self.planner.horizon)
        futures = self._noise(draws, "predict_noise", rows)
        with self.autocast():
            plan, memory = self.planner.plan(
                lambda belief, actions: self.score(belief, actions, futures),
                state.model,
                state.planner,
                proposals,
            )
        action = plan.action.float().cpu()
        self.plan_seconds += time.monotonic() - begun
        return action, state._replace(planner=memory)

    def score(self, belief: Any, actions: Tensor, futures: Noise) -> Tensor:
        """The expected return of candidates.

        Args:
            belief: the model's state, leading dimension B.
            actions: [B, C, H, A].
            futures: noise of `predict` with leading dimensions [B, K]; shared by the candidates.

        Returns:
            [B, C], averaged over the K particles.
        """
        batch, candidates = actions.shape[:2]
        count = self.particles
        state = self.model.expand(belief, candidates * count)
        if count > 1:
            actions = actions.repeat_interleave(count, 1)
            futures = {
                name: noise.repeat(1, candidates, *[1] * (noise.dim() - 2)) for name, noise in futures.items()
            }
        forecast = self.model.predict(state, actions, futures, decode=False)
        returns = self.objective(forecast.reward.float(), forecast.continues, self.discount)
        return returns.reshape(batch, candidates, count).mean(2)

    def _noise(self, draws: Any, purpose: str, rows: Sequence[tuple[str | int, ...]]) -> dict[str, Tensor]:
        noise = self.streams.row_noise(draws, purpose, rows)
        return {name: tensor.to(self.device) for name, tensor in noise.items()}

    def autocast(self) -> AbstractContextManager[Any]:
        """The arithmetic that the networks run in."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bfloat16 else nullcontext()
