"""A latent of a whole clip: inferred from the clip in training, drawn from N(0, I) in use (SV2P, arXiv 1710.11252).

The evidence lower bound of a clip holds its KL once. Losses here are means over the scored columns of all
clips, so the term of a batch is the sum of the clips' KLs divided by the number of scored columns. There are no free
nats: the prior is fixed, so that they would train nothing, and let each clip's latent tell so many nats of what is to
be forecast at no cost.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.distributions import Gaussian, kl_divergence

LOG_VARIANCE_FLOOR = -5.0
"""Lower bound of the posterior's log-variance, as in the SV2P of google-research/world_models."""


def clip_posterior(mean: Tensor, raw: Tensor) -> Gaussian:
    """The posterior that a network's outputs mean, in float32.

    Args:
        mean: [B, S].
        raw: [B, S], unbounded; the log-variance is LOG_VARIANCE_FLOOR + softplus(raw), which has a gradient
            everywhere and starts near the floor, where the latent says much.
    """
    return Gaussian(mean.float(), torch.exp(0.5 * (LOG_VARIANCE_FLOOR + F.softplus(raw.float()))))


def clip_kl(posterior: Gaussian) -> Tensor:
    """KL(posterior || N(0, I)) of each clip in nats: [B] for a posterior over [B, S]."""
    ones = torch.ones_like(posterior.std)
    return kl_divergence(posterior, Gaussian(torch.zeros_like(ones), ones))


def per_column(kl: Tensor, mask: Tensor) -> Tensor:
    """The clips' KL over the number of scored columns, 0-d; a clip without any has no part.

    Args:
        kl: [B], in nats per clip.
        mask: [B, T], 1 where a column is scored.
    """
    scored = (mask > 0).any(1)
    return (kl * scored).sum() / mask.sum().clamp(min=1)
