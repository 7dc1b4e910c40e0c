"""What a plan is worth: from forecast rewards to a return."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Objective = Callable[[Tensor, Tensor | None, float], Tensor]
"""(reward [.., H], probability of continuing after each step [.., H] or None, discount) -> return [..]."""


def reward(rewards: Tensor, continues: Tensor | None, discount: float) -> Tensor:
    """The sum of rewards, each discounted per step and by the probability that the episode still goes on.

    Step h counts with ``discount**h`` and the product of `continues` before it.
    """
    horizon = rewards.shape[-1]
    weights = discount ** torch.arange(horizon, device=rewards.device, dtype=rewards.dtype)
    if continues is not None:
        alive = continues.to(rewards.dtype).cumprod(-1)
        weights = weights * torch.cat([torch.ones_like(alive[..., :1]), alive[..., :-1]], -1)
    return (rewards * weights).sum(-1)


def undiscounted(rewards: Tensor, continues: Tensor | None, discount: float) -> Tensor:
    """The plain sum of rewards, which google-research/world_models calls "DiscountedReward"."""
    del continues, discount
    return rewards.sum(-1)


def indifferent(rewards: Tensor, continues: Tensor | None, discount: float) -> Tensor:
    """Every plan is worth the same: the proposals alone decide. Called `random`; a lower bound for any planner."""
    del continues, discount
    return torch.zeros_like(rewards[..., 0])


OBJECTIVES: dict[str, Objective] = {"reward": reward, "undiscounted": undiscounted, "random": indifferent}
"""By the names that a configuration uses."""
