"""The cross-entropy method with diagonal Gaussian proposals (Rubinstein 1999; Hafner et al. 2019, arXiv 1811.04551)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from planners.types import ActionSpace, Budget, Context, Noise, Plan, Score


class CEM:
    """Samples action sequences, refits a diagonal Gaussian to the best of them, and repeats.

    Proposals start at N(0, 1), the middle and half the range of actions in [-1, 1], and are clipped to the range.
    A candidate whose return is NaN or infinite never wins and is counted.

    Args:
        space: A continuous dimensions, any number from 1.
        budget: H steps, refits (the last one decides a `mean` action), C candidates per iteration.
        elite_fraction: part of the proposals that is refitted to, at least one candidate.
        action: act by the `mean` of the last refit, or by the `best` candidate of all iterations.
        std_floor: lower bound of the refitted standard deviation.
    """

    version = 1

    def __init__(
        self,
        space: ActionSpace,
        budget: Budget,
        *,
        elite_fraction: float = 0.1,
        elites: int | None = None,
        covariance: Literal["diagonal", "full"] = "diagonal",
        refit: Literal["equal", "weighted"] = "equal",
        action: Literal["mean", "best"] = "mean",
        warm_start: bool = False,
        initial_std: float = 1.0,
        std_floor: float = 0.0,
    ) -> None:
        if covariance != "diagonal" or refit != "equal" or warm_start or initial_std != 1.0:
            raise ValueError("only a diagonal covariance, equal weights and a cold start")
        self.action_dim = space.dim
        self.horizon, self.iterations, self.proposals = budget
        self.elites = elites or max(1, round(elite_fraction * budget.proposals))
        self.action = action
        self.std_floor = std_floor

    def draws(self, batch: int) -> dict[str, tuple[tuple[int, ...], str]]:
        """One standard normal per environment, iteration, candidate, step and action dimension."""
        shape = (batch, self.iterations, self.proposals, self.horizon, self.action_dim)
        return {"proposals": (shape, "normal")}

    def initial(self, batch: int) -> None:
        """CEM starts every plan anew."""
        del batch

    def plan(self, score: Score, context: Context, state: None, noise: Noise) -> tuple[Plan, None]:
        """Plans for B environments at once; see `planners.types.Planner`."""
        samples = noise["proposals"]  # [B, iterations, C, H, A]
        mean = torch.zeros_like(samples[:, 0, 0])  # [B, H, A]
        std = torch.ones_like(mean)
        best = torch.zeros_like(mean)
        best_return = torch.full_like(mean[:, 0, 0], -torch.inf)  # [B]
        elite_return = best_return
        rejected = torch.zeros_like(best_return)
        for iteration in range(self.iterations):
            actions = (mean[:, None] + std[:, None] * samples[:, iteration]).clamp(-1, 1)  # [B, C, H, A]
            returns = score(context, actions)  # [B, C]
            finite = returns.isfinite()
            rejected = rejected + (~finite).sum(1)
            returns = torch.where(finite, returns, -torch.inf)
            elite_returns, indices = returns.topk(self.elites, dim=1)
            elites = _take(actions, indices)  # [B, elites, H, A], best first
            weights = _weights(elite_returns)[:, :, None, None]  # [B, elites, 1, 1]
            elite_return = torch.where(weights[..., 0, 0] > 0, elite_returns, 0).sum(1) * weights[:, 0, 0, 0]
            mean = (weights * elites).sum(1)
            variance = (weights * (elites - mean[:, None]).square()).sum(1)
            std = variance.sqrt().clamp(min=self.std_floor)
            better = elite_returns[:, 0] > best_return
            best = torch.where(better[:, None, None], elites[:, 0], best)
            best_return = torch.maximum(elite_returns[:, 0], best_return)
        by_mean = self.action == "mean"
        sequence = mean if by_mean else best
        diagnostics = {"std": std.mean((1, 2)), "best_return": best_return, "rejected": rejected}
        plan = Plan(sequence[:, 0], sequence, elite_return if by_mean else best_return, diagnostics)
        return plan, state


def _weights(elite_returns: Tensor) -> Tensor:
    """Equal weights [B, elites] of the elites with a finite return; of all of them where none has one."""
    finite = elite_returns.isfinite()
    counted = torch.where(finite.any(1, keepdim=True), finite, True).float()
    return counted / counted.sum(1, keepdim=True)


def _take(actions: Tensor, indices: Tensor) -> Tensor:
    """Rows of actions [B, C, H, A] by indices [B, K] -> [B, K, H, A]."""
    shape = (*indices.shape, *actions.shape[2:])
    return actions.gather(1, indices[:, :, None, None].expand(shape))
