"""A planner of one's own: from one plan it takes random steps, ever smaller ones, to better plans."""

import torch
from torch import Tensor

from planners.types import ActionSpace, Budget, Context, Noise, Plan, Score


class HillClimber:
    version = 1

    def __init__(self, space: ActionSpace, budget: Budget, *, step: float = 0.5, decay: float = 0.8) -> None:
        if space.discrete:
            raise ValueError("HillClimber plans continuous actions only; for discrete ones there is cem")
        self.dim, self.step, self.decay = space.dim, step, decay
        self.horizon, self.iterations, self.proposals = budget

    def draws(self, batch: int) -> dict[str, tuple[tuple[int, ...], str]]:
        return {"steps": ((batch, self.iterations, self.proposals, self.horizon, self.dim), "normal")}

    def initial(self, batch: int) -> Tensor:
        return torch.zeros(batch, self.horizon, self.dim)  # the plan to climb from

    def plan(self, score: Score, context: Context, state: Tensor, noise: Noise) -> tuple[Plan, Tensor]:
        steps = noise["steps"]  # [B, iterations, C, H, A]
        best, rows = state.to(steps), torch.arange(len(steps), device=steps.device)
        for i in range(self.iterations):
            moves = self.step * self.decay**i * steps[:, i]
            moves[:, 0] = 0  # the first candidate stays: a plan gets no worse
            candidates = (best[:, None] + moves).clamp(-1, 1)  # [B, C, H, A]
            returns = score(context, candidates)  # [B, C]
            returns = torch.where(returns.isfinite(), returns, -torch.inf)
            value, winner = returns.max(1)
            best = candidates[rows, winner]
        shifted = torch.cat([best[:, 1:], torch.zeros_like(best[:, :1])], 1)  # for the next step
        return Plan(best[:, 0], best, value, {}), shifted
