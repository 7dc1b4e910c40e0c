"""The oracle: a planner that asks the true simulator instead of a world model. Its returns normalise scores.

It sees no frame. Each step it takes a snapshot of every environment, and its planner's candidates are played from
there on simulators of their own (`harness.simulation`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Self

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.agent import AgentState, Envs
from harness.build import build_objective, build_planner
from harness.config import RunConfig
from harness.config.sections import EnvConfig, PlannerConfig
from harness.simulation import Simulators, simulator_of
from harness.streams import Streams
from harness.tasks.spec import Task
from models.types import Observation
from planners.objectives import Objective
from planners.types import Planner


class OracleAgent:
    """Plans for B environments on true simulators; close it when it is no longer needed.

    Args:
        planner: maximises the return.
        objective: from true rewards to a return.
        discount: of the objective.
        streams: of the run; the planner draws its noise from the same ones as that of a model.
        simulators: of the task; closed by `close`.
    """

    def __init__(
        self,
        planner: Planner[Any],
        objective: Objective,
        *,
        discount: float,
        streams: Streams,
        simulators: Simulators,
    ) -> None:
        self.planner = planner
        self.objective = objective
        self.discount = discount
        self.streams = streams
        self.simulators = simulators
        self.plan_seconds = 0.0  # spent in `plan` so far

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.simulators.close()

    def initial(self, batch: int) -> AgentState:
        """The state before anything was observed."""
        return AgentState(None, self.planner.initial(batch))

    def observe(
        self, state: AgentState, column: Observation, rows: Sequence[tuple[str | int, ...]], envs: Envs = ()
    ) -> AgentState:
        """Leaves the frames alone and takes a snapshot of each environment; see `Agent.observe`."""
        del column, rows
        return state._replace(model=[simulator_of(env).snapshot() for env in envs])

    @torch.inference_mode()
    def plan(self, state: AgentState, rows: Sequence[tuple[str | int, ...]]) -> tuple[Tensor, AgentState]:
        """See `Agent.plan`."""
        begun = time.monotonic()
        noise = self.streams.row_noise(self.planner.draws(1), "planner_noise", rows)
        plan, memory = self.planner.plan(self.score, state.model, state.planner, noise)
        self.plan_seconds += time.monotonic() - begun
        return plan.action, state._replace(planner=memory)

    def act(
        self, state: AgentState, env: gymnasium.Env[Any, Any], row: tuple[str | int, ...]
    ) -> tuple[NDArray[np.float32], AgentState]:
        """Plans for one environment as it is: the action [A], one-hot where discrete, and the new state."""
        planned, state = self.plan(state._replace(model=[simulator_of(env).snapshot()]), [row])
        action: NDArray[np.float32] = planned[0].numpy()
        return action, state

    def score(self, snapshots: Sequence[Any], actions: Tensor) -> Tensor:
        """The true return of candidates, summed in float64.

        Args:
            snapshots: of B environments.
            actions: [B, C, H, A].

        Returns:
            [B, C]. What would come behind an episode's end counts nothing.
        """
        outcomes = self.simulators.rollout(snapshots, actions.numpy())
        continues = torch.from_numpy(outcomes.goes_on).double()
        returns = self.objective(torch.from_numpy(outcomes.rewards), continues, self.discount)
        return returns.to(actions)


def make_oracle(
    settings: PlannerConfig, task: Task, env: EnvConfig, streams: Streams, processes: int
) -> OracleAgent:
    """The oracle of a budget on a task; simulators start with the first plan.

    Raises:
        UserError: the task cannot be simulated, or the planner cannot plan it.
    """
    simulators = Simulators(task, env, processes)
    return OracleAgent(
        build_planner(settings, task.spec),
        build_objective(settings.objective),
        discount=settings.discount,
        streams=streams,
        simulators=simulators,
    )


def oracle_of(config: RunConfig, task: Task, streams: Streams) -> OracleAgent:
    """The oracle of a run's configuration.

    Raises:
        UserError: see `make_oracle`.
    """
    processes = config.runtime.oracle_processes or torch.get_num_threads()
    return make_oracle(config.oracle, task, config.env, streams, processes)
