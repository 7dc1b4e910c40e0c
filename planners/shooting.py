"""Random shooting: the best of uniformly random plans."""

from __future__ import annotations

from torch import Tensor

from planners.elites import check, choose, screen
from planners.sampling import one_hot
from planners.types import ActionSpace, Budget, Context, Noise, Plan, Score


class RandomShooting:
    """Scores uniformly random plans once and plays the best one; continuous or discrete.

    A candidate whose return is NaN or infinite never wins and is counted; where all are, some candidate is played.

    Args:
        space: A continuous dimensions, or A choices; any number from 1.
        budget: H steps and C candidates; there are no iterations.
    """

    version = 1

    def __init__(self, space: ActionSpace, budget: Budget) -> None:
        check(space, budget)
        self.space = space
        self.horizon, _, self.proposals = budget

    def draws(self, batch: int) -> dict[str, tuple[tuple[int, ...], str]]:
        """A uniform number per environment, candidate, step and action dimension (1 where discrete)."""
        width = 1 if self.space.discrete else self.space.dim
        return {"proposals": ((batch, self.proposals, self.horizon, width), "uniform")}

    def initial(self, batch: int) -> None:
        """Every plan starts anew."""
        del batch

    def plan(self, score: Score, context: Context, state: None, noise: Noise) -> tuple[Plan, None]:
        """Plans for B environments at once; see `planners.types.Planner`."""
        actions = self._candidates(noise["proposals"])  # [B, C, H, A]
        returns, rejected = screen(score(context, actions))  # [B, C]
        best = choose(actions, returns, 1, "equal")
        sequence, best_return = best.actions[:, 0], best.returns[:, 0]
        diagnostics = {"best_return": best_return, "rejected": rejected}
        return Plan(sequence[:, 0], sequence, best_return, diagnostics), state

    def _candidates(self, uniform: Tensor) -> Tensor:
        if not self.space.discrete:
            return 2 * uniform - 1
        index = (uniform[..., 0] * self.space.dim).long().clamp(max=self.space.dim - 1)
        return one_hot(index, self.space.dim, uniform)
