"""Diagonal Gaussians, masked means, and the squared error of a mean."""

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


def squared_error_of_mean(errors: Tensor) -> Tensor:
    """The squared error of a mean forecast, without bias, from N independent samples of the forecast.

    ::

        N = 1    e^2
        N > 1    mean over pairs i != j of e_i e_j = ((sum e)^2 - sum e^2) / (N (N - 1))

    Samples are independent given what is forecast, so E[e_i e_j] = E[e_i] E[e_j] = (E[e])^2: the spread of the
    samples costs nothing, where the mean of e^2 would hold it. It can be negative. With N = 1 it is that spread too.

    Args:
        errors: [N, ...], sample - truth.

    Returns:
        [...].
    """
    samples = errors.shape[0]
    if samples == 1:
        return errors[0].square()
    return (errors.sum(0).square() - errors.square().sum(0)) / (samples * (samples - 1))
