"""Diagonal Gaussians and masked means."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Gaussian(NamedTuple):
    """A diagonal Gaussian over the last dimension."""

    mean: Tensor  # f32[.., S]
    std: Tensor  # f32[.., S]

    def sample(self, noise: Tensor) -> Tensor:
        """The sample [.., S] that standard normal `noise` [.., S] gives."""
        return self.mean + self.std * noise


def kl_divergence(left: Gaussian, right: Gaussian) -> Tensor:
    """KL(left || right) in nats, summed over the last dimension: [..]."""
    ratio = left.std / right.std
    distance = (left.mean - right.mean) / right.std
    return (0.5 * (ratio.square() + distance.square() - 1) - ratio.log()).sum(-1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of `values` where `mask` is 1, 0-d; zero if it is 1 nowhere."""
    return (values * mask).sum() / mask.sum().clamp(min=1)
