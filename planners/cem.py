"""The cross-entropy method with Gaussian proposals (Rubinstein 1999; Hafner et al. 2019, arXiv 1811.04551)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from planners.elites import Best, Elites, Refit, check_continuous, choose, elite_count, screen
from planners.sampling import covariance_root, rooted, shifted
from planners.types import ActionSpace, Budget, Context, Noise, Plan, Score


class CEM:
    """Samples action sequences, refits a Gaussian to the best of them, and repeats.

    Proposals start at N(0, 1), the middle and half the range of actions in [-1, 1], and are clipped to the range.
    A candidate whose return is NaN or infinite never wins and is counted; where all are, the proposals stay.

    Args:
        space: A continuous dimensions, any number from 1.
        budget: H steps, refits (the last one decides a `mean` action), C candidates per iteration.
        elite_fraction: part of the proposals that is refitted to, at least one candidate.
        elites: their number instead.
        covariance: of a step's proposals: `diagonal`, or `full` over its action dimensions.
        refit: elites weigh `equal`, or `weighted` by a softmax of their standardised returns.
        action: act by the `mean` of the last refit, or by the `best` candidate of all iterations.
        warm_start: start from the last mean of the call before, one step later (the new last step is 0); its
            standard deviation starts anew.
        initial_std: standard deviation of the first proposals.
        std_floor: lower bound of the refitted standard deviation of each action dimension.

    Raises:
        ValueError: the actions are discrete, or there are more elites than proposals.
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
        refit: Refit = "equal",
        action: Literal["mean", "best"] = "mean",
        warm_start: bool = False,
        initial_std: float = 1.0,
        std_floor: float = 0.0,
    ) -> None:
        check_continuous(space, budget, "cem")
        self.action_dim = space.dim
        self.horizon, self.iterations, self.proposals = budget
        self.elites = elite_count(budget, elite_fraction, elites)
        self.covariance = covariance
        self.refit: Refit = refit
        self.action = action
        self.warm_start = warm_start
        self.initial_std = initial_std
        self.std_floor = std_floor

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

        A `mean` action's return is the mean of the elites', an estimate: the mean itself is not scored.
        """
        samples = noise["proposals"]  # [B, iterations, C, H, A]
        mean = torch.zeros_like(samples[:, 0, 0]) if state is None else state.to(samples)  # [B, H, A]
        std = torch.full_like(mean, self.initial_std)
        root = torch.diag_embed(std) if self.covariance == "full" else None
        best = Best.none(mean)
        elite_return = best.returns
        for iteration in range(self.iterations):
            drawn = samples[:, iteration]
            spread = std[:, None] * drawn if root is None else rooted(root, drawn)
            actions = (mean[:, None] + spread).clamp(-1, 1)  # [B, C, H, A]
            returns, rejected = screen(score(context, actions))  # [B, C]
            elites = choose(actions, returns, self.elites, self.refit)
            best = best.after(elites, rejected)
            elite_return = elites.mean_return()
            mean, std, root = self._refitted(elites, mean, std, root)
        by_mean = self.action == "mean"
        sequence = mean.clamp(-1, 1) if by_mean else best.plan  # a mean of ones may round to more
        diagnostics = {"std": std.mean((1, 2)), "best_return": best.returns, "rejected": best.rejected}
        plan = Plan(sequence[:, 0], sequence, elite_return if by_mean else best.returns, diagnostics)
        return plan, None if state is None else shifted(mean)

    def _refitted(
        self, elites: Elites, mean: Tensor, std: Tensor, root: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Mean and standard deviation [B, H, A], and root of the full covariance, of the elites."""
        found = elites.found[:, None, None]
        new_mean = elites.mean()
        variance = (elites.weights[:, :, None, None] * (elites.actions - new_mean[:, None]).square()).sum(1)
        new_std = variance.sqrt().clamp(min=self.std_floor)
        if root is not None:
            new_root = covariance_root(elites.actions, new_mean, elites.weights, new_std)
            root = torch.where(found[..., None], new_root, root)
        return torch.where(found, new_mean, mean), torch.where(found, new_std, std), root
