"""Model-predictive path integral control as in PDDM (Nagabandi et al. 2019, arXiv 1909.11652)."""

from __future__ import annotations

import torch
from torch import Tensor

from planners.elites import check_continuous, screen
from planners.sampling import correlated, filtered, shifted
from planners.types import ActionSpace, Budget, Context, Noise, Plan, Score


class MPPI:
    """Moves the mean to the average of all candidates, each weighted by exp(reward_weight x return).

    The noise of a step goes on from that of the step before, n_t = smoothing u_t + (1 - smoothing) n_{t-1}; the
    proposals' standard deviation stays the same in all iterations. A candidate whose return is NaN or infinite weighs
    nothing and is counted; where all are, the mean stays.

    Args:
        space: A continuous dimensions, any number from 1.
        budget: H steps, updates of the mean (PDDM has one, and a warm start), C candidates per iteration.
        warm_start: start from the last mean of the call before, one step later; the new last step is 0.
        initial_std: standard deviation of u, in all iterations.
        reward_weight: gamma, per unit of return; 0 weighs all alike.
        smoothing: beta; 1 is white noise.

    Raises:
        ValueError: the actions are discrete.
    """

    version = 1

    def __init__(
        self,
        space: ActionSpace,
        budget: Budget,
        *,
        warm_start: bool = False,
        initial_std: float = 1.0,
        reward_weight: float = 0.1,
        smoothing: float = 0.6,
    ) -> None:
        check_continuous(space, budget, "mppi")
        self.action_dim = space.dim
        self.horizon, self.iterations, self.proposals = budget
        self.warm_start = warm_start
        self.initial_std = initial_std
        self.reward_weight = reward_weight
        self.smoothing = smoothing

    def draws(self, batch: int) -> dict[str, tuple[tuple[int, ...], str]]:
        """One standard normal per environment, iteration, candidate, step and action dimension."""
        shape = (batch, self.iterations, self.proposals, self.horizon, self.action_dim)
        return {"proposals": (shape, "normal")}

    def initial(self, batch: int) -> Tensor | None:
        """The mean [B, H, A] that a warm start begins with, on the CPU; None for a cold start."""
        return torch.zeros(batch, self.horizon, self.action_dim) if self.warm_start else None

    def plan(
        self, score: Score, context: Context, state: Tensor | None, noise: Noise
    ) -> tuple[Plan, Tensor | None]:
        """Plans for B environments at once; see `planners.types.Planner`.

        The plan's return is the weighted mean of the candidates' in the last iteration: the mean is not scored.
        """
        white = noise["proposals"]  # [B, iterations, C, H, A]
        samples = self.initial_std * filtered(white, correlated(self.horizon, self.smoothing, white))
        mean = torch.zeros_like(white[:, 0, 0]) if state is None else state.to(white)  # [B, H, A]
        none = torch.zeros_like(mean[:, 0, 0])  # [B]
        expected, best, rejected, effective = none, none - torch.inf, none, none
        for iteration in range(self.iterations):
            actions = (mean[:, None] + samples[:, iteration]).clamp(-1, 1)  # [B, C, H, A]
            returns, refused = screen(score(context, actions))  # [B, C]
            weights, found = self._weights(returns)
            moved = (weights[:, :, None, None] * actions).sum(1).clamp(-1, 1)  # ones may round to more
            mean = torch.where(found[:, None, None], moved, mean)
            expected = torch.where(found, torch.where(weights > 0, weights * returns, 0).sum(1), -torch.inf)
            effective = 1 / weights.square().sum(1)
            best = torch.maximum(best, returns.amax(1))
            rejected = rejected + refused
        diagnostics = {"effective": effective, "best_return": best, "rejected": rejected}
        plan = Plan(mean[:, 0], mean, expected, diagnostics)
        return plan, None if state is None else shifted(mean)

    def _weights(self, returns: Tensor) -> tuple[Tensor, Tensor]:
        """Softmax of screened returns [B, C], and whether any is finite [B]; equal weights where none is."""
        best = returns.amax(1, keepdim=True)
        found = best.isfinite()
        above = torch.where(found, returns - best, 0)  # at most 0: exp never overflows
        counted = above.isfinite()  # 0 x -inf would be NaN
        weights = torch.where(counted, (self.reward_weight * torch.where(counted, above, 0)).exp(), 0)
        return weights / weights.sum(1, keepdim=True), found[:, 0]
