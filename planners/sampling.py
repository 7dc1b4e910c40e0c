"""How planners turn the noise that they are given into plans: filters over the horizon, covariances, categoricals.

B environments, C candidates, H horizon, A action dimensions. All of it is built on the device of its arguments from
numbers, with nothing copied and no branch on data, so that a plan can be compiled and captured whole.
"""

from __future__ import annotations

import torch
from torch import Tensor

_RIDGE = 1e-4  # share of independence in a correlation matrix: its Cholesky factor then exists in float32


def filtered(noise: Tensor, matrix: Tensor) -> Tensor:
    """Mixes the steps of noise [.., H, A] by a matrix [H, H]: step t becomes the sum of matrix[t, s] x step s."""
    with torch.autocast(noise.device.type, enabled=False):
        return torch.einsum("ts,...sa->...ta", matrix, noise)


def coloured(horizon: int, exponent: float, like: Tensor) -> Tensor:
    """The matrix [H, H] that gives white noise the power spectrum 1 / f^exponent and unit variance at every step.

    The noise of iCEM (Pinneri et al. 2020, arXiv 2008.06389; Timmer and Koenig 1995): H steps are one period, and the
    zero frequency has the power of the lowest other one. The matrix is the symmetric root of the circulant
    covariance, so that exponent 0 leaves noise as it is.
    """
    steps = torch.arange(horizon, device=like.device, dtype=like.dtype)
    frequency = torch.minimum(steps, horizon - steps).clamp(min=1)  # of all H Fourier coefficients, in 1 / H
    amplitude = frequency ** (-exponent / 2)
    amplitude = amplitude / amplitude.square().mean().sqrt()
    angles = (steps[:, None] * steps) % horizon * (2 * torch.pi / horizon)
    column = (angles.cos() * amplitude).mean(1)  # the inverse transform of an even spectrum: [H]
    lags = (steps[:, None] - steps) % horizon
    return column[lags.long()]


def correlated(horizon: int, smoothing: float, like: Tensor) -> Tensor:
    """The matrix [H, H] of n_t = smoothing u_t + (1 - smoothing) n_{t-1}, n_{-1} = 0 (PDDM, equations 3 and 4)."""
    steps = torch.arange(horizon, device=like.device, dtype=like.dtype)
    lags = steps[:, None] - steps
    return torch.where(lags >= 0, smoothing * (1 - smoothing) ** lags.clamp(min=0), 0)


def covariance_root(actions: Tensor, mean: Tensor, weights: Tensor, std: Tensor) -> Tensor:
    """A root L of each step's covariance of plans, L L^T, with the given standard deviations on its diagonal.

    Args:
        actions: [B, K, H, A].
        mean: of them, [B, H, A].
        weights: of them, [B, K], sum 1.
        std: of each dimension, [B, H, A]; the correlations are those of the plans.

    Returns:
        Lower triangular [B, H, A, A]. The correlations are shrunk by 1e-4, which makes them positive definite however
        few plans there are; a dimension that does not vary is independent of the others.
    """
    deviations = ((actions - mean[:, None]) * weights.sqrt()[:, :, None, None]).permute(
        0, 2, 3, 1
    )  # [B, H, A, K]
    with torch.autocast(actions.device.type, enabled=False):
        scale = deviations.square().sum(-1, keepdim=True).sqrt()
        unit = deviations / scale.clamp(min=torch.finfo(scale.dtype).tiny)
        correlation = (1 - _RIDGE) * (unit @ unit.mT)
        eye = torch.eye(mean.shape[-1], device=mean.device, dtype=mean.dtype)
        correlation = correlation * (1 - eye) + eye
        root: Tensor = torch.linalg.cholesky_ex(correlation).L
        return std[..., None] * root


def rooted(root: Tensor, noise: Tensor) -> Tensor:
    """Noise [B, C, H, A] with the covariance whose root is [B, H, A, A]."""
    with torch.autocast(noise.device.type, enabled=False):
        return torch.einsum("bhij,bchj->bchi", root, noise)


def shifted(plan: Tensor, last: float = 0.0) -> Tensor:
    """A plan [.., H, A] one step later: the first step is done, the new last one is `last`."""
    return torch.cat([plan[..., 1:, :], torch.full_like(plan[..., :1, :], last)], -2)


def one_hot(index: Tensor, choices: int, like: Tensor) -> Tensor:
    """Indices [..] as vectors [.., choices] of the type of `like`."""
    return (index[..., None] == torch.arange(choices, device=index.device)).to(like.dtype)


def categorical(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Choices by the inverse of the distribution function.

    Args:
        probabilities: [.., A], sum 1; broadcasts over the candidates of `uniform`.
        uniform: numbers in [0, 1), [..].

    Returns:
        One-hot [.., A]; a choice of probability 0 is not taken.
    """
    bounds = probabilities.cumsum(-1)[..., :-1]
    return one_hot((uniform[..., None] >= bounds).sum(-1), probabilities.shape[-1], uniform)
