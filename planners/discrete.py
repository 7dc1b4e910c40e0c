"""The cross-entropy method for discrete actions: one categorical per step (Rubinstein 1999)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from planners.elites import Best, Refit, check, choose, elite_count, screen
from planners.sampling import categorical, one_hot
from planners.types import ActionSpace, Budget, Context, Noise, Plan, Score


class DiscreteCEM:
    """Samples sequences of choices, refits each step's categorical to the best of them, and repeats.

    No choice ever gets impossible: proposals are drawn as if one more elite chose uniformly, that is from
    (1 - u) x refit + u x uniform with u = 1 / (elites + 1), or `std_floor` where that is more. A candidate whose
    return is NaN or infinite never wins and is counted; where all are, the proposals stay.

    Args:
        space: A choices, any number from 1; candidates and plans are one-hot.
        budget: H steps, refits (the last one decides a `mean` action), C candidates per iteration.
        elite_fraction: part of the proposals that is refitted to, at least one candidate.
        elites: their number instead.
        refit: elites weigh `equal`, or `weighted` by a softmax of their standardised returns.
        action: act by the likeliest choices of the last refit (`mean`), or by the `best` candidate of all iterations.
        warm_start: start from the last proposals of the call before, one step later; the new last step is uniform.
        std_floor: share of uniformly random choices in the proposals, at least.
        covariance: means nothing here, as steps are independent and choices exclude one another; accepted since
            continuous and discrete CEM are one section of a configuration.
        initial_std: means nothing here: the first proposals are uniform.

    Raises:
        ValueError: the actions are continuous, or there are more elites than proposals.
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
        del covariance, initial_std
        check(space, budget)
        if not space.discrete:
            raise ValueError(
                "DiscreteCEM chooses among discrete actions; for continuous ones use planner cem"
            )
        self.choices = space.dim
        self.horizon, self.iterations, self.proposals = budget
        self.elites = elite_count(budget, elite_fraction, elites)
        self.refit: Refit = refit
        self.action = action
        self.warm_start = warm_start
        self.uniform_share = min(1.0, max(std_floor, 1 / (self.elites + 1)))

    def draws(self, batch: int) -> dict[str, tuple[tuple[int, ...], str]]:
        """One uniform number per environment, iteration, candidate and step."""
        return {"proposals": ((batch, self.iterations, self.proposals, self.horizon), "uniform")}

    def initial(self, batch: int) -> Tensor | None:
        """The probabilities [B, H, A] that a warm start begins with, on the CPU; None for a cold start."""
        shape = (batch, self.horizon, self.choices)
        return torch.full(shape, 1 / self.choices) if self.warm_start else None

    def plan(
        self, score: Score, context: Context, state: Tensor | None, noise: Noise
    ) -> tuple[Plan, Tensor | None]:
        """Plans for B environments at once; see `planners.types.Planner`.

        A `mean` action's return is the mean of the elites', an estimate: the likeliest plan itself is not scored.
        """
        uniform = noise["proposals"]  # [B, iterations, C, H]
        cold = torch.full_like(uniform[:, 0, 0, :, None].expand(-1, -1, self.choices), 1 / self.choices)
        refitted = cold if state is None else state.to(uniform)  # [B, H, A]
        best = Best.none(self._likeliest(refitted))
        elite_return = best.returns
        for iteration in range(self.iterations):
            proposed = (1 - self.uniform_share) * refitted + self.uniform_share * cold
            actions = categorical(proposed[:, None], uniform[:, iteration])  # [B, C, H, A]
            returns, rejected = screen(score(context, actions))  # [B, C]
            elites = choose(actions, returns, self.elites, self.refit)
            best = best.after(elites, rejected)
            elite_return = elites.mean_return()
            refitted = torch.where(elites.found[:, None, None], elites.mean(), refitted)
        by_mean = self.action == "mean"
        sequence = self._likeliest(refitted) if by_mean else best.plan
        entropy = -torch.xlogy(refitted, refitted).sum(-1).mean(1)
        diagnostics = {"entropy": entropy, "best_return": best.returns, "rejected": best.rejected}
        plan = Plan(sequence[:, 0], sequence, elite_return if by_mean else best.returns, diagnostics)
        later = torch.cat([refitted[:, 1:], cold[:, :1]], 1)
        return plan, None if state is None else later

    def _likeliest(self, probabilities: Tensor) -> Tensor:
        """The likeliest choice of each step, the first of equally likely ones: one-hot [B, H, A]."""
        return one_hot(probabilities.argmax(-1), self.choices, probabilities)
