"""What CEM, iCEM and discrete CEM share: which candidates are refitted to, how they count, and the best plan so far.

B environments, C candidates, K elites, H horizon, A action dimensions. Everything is a pure function of tensors.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from planners.types import ActionSpace, Budget

Refit = Literal["equal", "weighted"]


class Elites(NamedTuple):
    """The best K candidates of one iteration, best first."""

    actions: Tensor  # [B, K, H, A]
    returns: Tensor  # [B, K]; -inf where a candidate's return is not finite
    weights: Tensor  # [B, K], sum 1; 0 where the return is not finite, unless none of them is
    found: Tensor  # bool [B]: some return is finite, so there is something to refit to

    def mean(self) -> Tensor:
        """The weighted mean plan [B, H, A]."""
        return (self.weights[:, :, None, None] * self.actions).sum(1)

    def mean_return(self) -> Tensor:
        """The weighted mean of the returns [B]; -inf where none is finite."""
        first = self.weights[:, :1]  # the greatest
        counted = torch.where(self.weights > 0, self.returns * (self.weights / first), 0)
        return counted.sum(1) * first[:, 0]


class Best(NamedTuple):
    """The best plan of a call so far, and how many candidates were refused."""

    plan: Tensor  # [B, H, A]
    returns: Tensor  # [B]; -inf while no return was finite
    rejected: Tensor  # [B], candidates whose return was NaN or infinite

    @classmethod
    def none(cls, plan: Tensor) -> Best:
        """Nothing was scored yet: what to play if nothing will be finite."""
        empty = torch.zeros_like(plan[:, 0, 0])
        return cls(plan, empty - torch.inf, empty)

    def after(self, elites: Elites, rejected: Tensor) -> Best:
        """The better of this and the first elite; the earlier one where they tie."""
        first = elites.returns[:, 0]
        better = first > self.returns
        plan = torch.where(better[:, None, None], elites.actions[:, 0], self.plan)
        return Best(plan, torch.where(better, first, self.returns), self.rejected + rejected)


def screen(returns: Tensor) -> tuple[Tensor, Tensor]:
    """Returns [B, C] with -inf for those that are NaN or infinite, of either sign; and how many were, [B]."""
    finite = returns.isfinite()
    return torch.where(finite, returns, -torch.inf), (~finite).sum(1).to(returns.dtype)


def choose(actions: Tensor, returns: Tensor, count: int, refit: Refit) -> Elites:
    """The elites among candidates.

    Args:
        actions: [B, C, H, A].
        returns: [B, C], screened.
        count: K, at most C.
        refit: `equal` weights, or `weighted` by a softmax of the standardised returns.
    """
    best, indices = returns.topk(count, dim=1)
    shape = (*indices.shape, *actions.shape[2:])
    taken = actions.gather(1, indices[:, :, None, None].expand(shape))
    finite = best.isfinite()
    found = finite.any(1)
    counted = torch.where(found[:, None], finite, torch.ones_like(finite))
    weights = counted.float() if refit == "equal" else _softmax(best, counted)
    return Elites(taken, best, weights / weights.sum(1, keepdim=True), found)


def _softmax(returns: Tensor, counted: Tensor) -> Tensor:
    """The exponential of the standardised returns [B, K], best first, the greatest being 1; 0 where not counted.

    Standardising makes the weights independent of the scale and the zero of the rewards. Equal returns weigh alike.
    """
    below = torch.where(counted & returns.isfinite(), returns * 0.5 - returns[:, :1] * 0.5, 0)  # no overflow
    unit = below / (-below.amin(1, keepdim=True)).clamp(min=torch.finfo(below.dtype).tiny)  # in [-1, 0]
    number = counted.sum(1, keepdim=True)
    mean = unit.sum(1, keepdim=True) / number
    variance = torch.where(counted, (unit - mean).square(), 0).sum(1, keepdim=True) / number
    standardised = unit / variance.sqrt().clamp(min=1e-6)
    return torch.where(counted, standardised.exp(), 0)


def elite_count(budget: Budget, elite_fraction: float, elites: int | None) -> int:
    """K, from a number or a part of the proposals, at least one.

    Raises:
        ValueError: there are not so many proposals.
    """
    if elites is None:
        if not 0 < elite_fraction <= 1:
            raise ValueError(f"elite_fraction {elite_fraction} must be above 0 and at most 1")
        return max(1, round(elite_fraction * budget.proposals))
    if elites < 1:
        raise ValueError(f"elites {elites} must be at least 1")
    if elites > budget.proposals:
        raise ValueError(
            f"elites {elites} cannot be more than proposals {budget.proposals}; lower elites, or raise proposals"
        )
    return elites


def check(space: ActionSpace, budget: Budget) -> None:
    """Refuses a space or a budget with nothing in it.

    Raises:
        ValueError: says what must be at least 1.
    """
    if space.dim < 1:
        raise ValueError(f"an action has at least one dimension or choice, not {space.dim}")
    for name, value in budget._asdict().items():
        if value < 1:
            raise ValueError(f"{name} {value} must be at least 1")


def check_continuous(space: ActionSpace, budget: Budget, name: str) -> None:
    """Refuses what `check` refuses, and discrete actions.

    Raises:
        ValueError: says which planners choose among discrete actions.
    """
    check(space, budget)
    if space.discrete:
        raise ValueError(f"{name} plans continuous actions; for discrete ones use planner cem or shooting")
