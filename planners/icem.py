"""The improved cross-entropy method (iCEM; Pinneri et al. 2020, arXiv 2008.06389)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from planners.elites import Best, Elites, check_continuous, choose, elite_count, screen
from planners.sampling import coloured, filtered, shifted
from planners.types import ActionSpace, Budget, Context, Noise, Plan, Score

MOMENTUM = 0.1
"""Part of the distribution before that a refit keeps (the paper's value)."""


class Memory(NamedTuple):
    """What one call leaves to the next, already one step later."""

    mean: Tensor  # [B, H, A]
    elites: Tensor  # [B, kept, H, A]
    known: Tensor  # bool [B, kept]: which of them are elites, with a finite return


class ICEM:
    """CEM that samples smooth plans, fewer in each iteration, and carries the best ones on.

    Proposals are coloured over the horizon. A part of the elites takes the place of proposals in the next iteration
    and, one step later, of the next call (their new last step is a fresh one); in the last iteration so does the
    mean. The mean is always a warm start; its standard deviation starts anew. A candidate whose return is NaN or
    infinite never wins and is counted; where all are, the proposals stay.

    Args:
        space: A continuous dimensions, any number from 1.
        budget: H steps, refits, C candidates in the first iteration.
        elite_fraction: part of the proposals of the first iteration that is refitted to, at least one candidate.
        elites: their number instead; the same in every iteration.
        action: act by the `mean` of the last refit, or by the `best` candidate of all iterations (the paper's).
        initial_std: standard deviation of the first proposals (0.5 in the paper).
        std_floor: lower bound of the refitted standard deviation of each action dimension.
        noise_exponent: beta of the proposals' power spectrum 1 / f^beta over the horizon; 0 is white.
        shrink: each iteration has so many times fewer candidates than the one before, but 2 x elites at least.
        kept_elites: part of the elites that is carried on.

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
        action: Literal["mean", "best"] = "mean",
        initial_std: float = 1.0,
        std_floor: float = 0.0,
        noise_exponent: float = 2.0,
        shrink: float = 1.25,
        kept_elites: float = 0.3,
    ) -> None:
        check_continuous(space, budget, "icem")
        self.action_dim = space.dim
        self.horizon, self.iterations, _ = budget
        self.elites = elite_count(budget, elite_fraction, elites)
        least = min(2 * self.elites, budget.proposals)
        self.populations = [
            max(least, round(budget.proposals / shrink**iteration)) for iteration in range(self.iterations)
        ]
        fewest = self.populations[-1]
        self.kept = max(
            0, min(round(kept_elites * self.elites), fewest - 2)
        )  # a fresh one and the mean remain
        self.with_mean = fewest > 1
        self.action = action
        self.initial_std = initial_std
        self.std_floor = std_floor
        self.noise_exponent = noise_exponent

    def draws(self, batch: int) -> dict[str, tuple[tuple[int, ...], str]]:
        """One standard normal per environment, candidate of any iteration, step and action dimension."""
        shape = (batch, sum(self.populations), self.horizon, self.action_dim)
        return {"proposals": (shape, "normal")}

    def initial(self, batch: int) -> Memory:
        """Mean 0 and no elites, on the CPU."""
        mean = torch.zeros(batch, self.horizon, self.action_dim)
        elites = torch.zeros(batch, self.kept, self.horizon, self.action_dim)
        return Memory(mean, elites, torch.zeros(batch, self.kept, dtype=torch.bool))

    def plan(self, score: Score, context: Context, state: Memory, noise: Noise) -> tuple[Plan, Memory]:
        """Plans for B environments at once; see `planners.types.Planner`.

        A `mean` action's return is the mean of the elites', an estimate: the mean itself is not scored.
        """
        white = noise["proposals"]  # [B, candidates of all iterations, H, A]
        samples = filtered(white, coloured(self.horizon, self.noise_exponent, white))
        mean = state.mean.to(white)  # [B, H, A]
        std = torch.full_like(mean, self.initial_std)
        kept, known = state.elites.to(white), state.known.to(white.device)
        best = Best.none(mean)
        elite_return = best.returns
        for iteration, drawn in enumerate(torch.split(samples, self.populations, 1)):
            actions = (mean[:, None] + std[:, None] * drawn).clamp(-1, 1)  # [B, C, H, A]
            if iteration == 0:  # the last step of the plans from before is new
                kept = torch.cat([kept[:, :, :-1], actions[:, : self.kept, -1:]], 2)
            actions = self._with_guests(actions, kept, known, mean, last=iteration == self.iterations - 1)
            returns, rejected = screen(score(context, actions))  # [B, C]
            elites = choose(actions, returns, self.elites, "equal")
            best = best.after(elites, rejected)
            elite_return = elites.mean_return()
            mean, std = self._refitted(elites, mean, std)
            found = elites.found[:, None]
            kept = torch.where(found[..., None, None], elites.actions[:, : self.kept], kept)
            known = torch.where(found, elites.returns[:, : self.kept].isfinite(), known)
        by_mean = self.action == "mean"
        sequence = mean if by_mean else best.plan
        diagnostics = {"std": std.mean((1, 2)), "best_return": best.returns, "rejected": best.rejected}
        plan = Plan(sequence[:, 0], sequence, elite_return if by_mean else best.returns, diagnostics)
        return plan, Memory(shifted(mean), shifted(kept), known)

    def _with_guests(
        self, actions: Tensor, kept: Tensor, known: Tensor, mean: Tensor, *, last: bool
    ) -> Tensor:
        """Candidates [B, C, H, A], the first of which give way to kept elites, and the last to the mean."""
        first = torch.where(known[:, :, None, None], kept, actions[:, : self.kept])
        if last and self.with_mean:
            return torch.cat([first, actions[:, self.kept : -1], mean[:, None]], 1)
        return torch.cat([first, actions[:, self.kept :]], 1)

    def _refitted(self, elites: Elites, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation [B, H, A] of the elites, with momentum."""
        found = elites.found[:, None, None]
        elite_mean = elites.mean()
        variance = (elites.weights[:, :, None, None] * (elites.actions - elite_mean[:, None]).square()).sum(1)
        new_mean = (MOMENTUM * mean + (1 - MOMENTUM) * elite_mean).clamp(-1, 1)  # ones may round to more
        new_std = (MOMENTUM * std + (1 - MOMENTUM) * variance.sqrt()).clamp(min=self.std_floor)
        return torch.where(found, new_mean, mean), torch.where(found, new_std, std)
