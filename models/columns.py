"""Which columns of training clips a term of the latent designs is computed on, from uniform draws."""

from __future__ import annotations

import math

import torch
from torch import Tensor

DECODED_PART = 4
"""One column in so many of an open-loop forecast is decoded in training."""


def forecast_starts(mask: Tensor, uniform: Tensor) -> Tensor:
    """The first column of each clip's forecast: uniform over 1 .. length - 1, from a uniform draw [B]."""
    length = mask.sum(1)
    return 1 + (uniform * (length - 1)).floor().clamp(max=length - 2).clamp(min=0).long()


def begins_window(t: int, split: Tensor | None, window: int, like: Tensor) -> Tensor:
    """Which clips begin a window at column t, bool[B]; the columns just before `split` make a whole one."""
    phase = like.new_zeros(len(like), dtype=torch.long) if split is None else split
    return (t - phase) % window == 0


def some_columns(mask: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Columns [B, n] drawn without replacement among those of `mask` [B, T], and their weights [B, n].

    n is T / 4, rounded up. The weighted sum over the drawn columns is an unbiased estimate of the sum over
    all of `mask`: a column drawn outside it, when it has fewer than n, weighs nothing.
    """
    count = math.ceil(mask.shape[1] / DECODED_PART)
    order, columns = torch.where(mask > 0, uniform, -1.0).topk(count, dim=1)
    available = mask.sum(1, keepdim=True)
    drawn = (order >= 0).float()
    return columns, drawn * available / drawn.sum(1, keepdim=True).clamp(min=1)


def some_rows(mask: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """`some_columns` as indices [B n] into [B T, ...], and their weights [B, n]."""
    columns, weight = some_columns(mask, uniform)
    rows = columns + mask.shape[1] * torch.arange(len(columns), device=columns.device)[:, None]
    return rows.flatten(), weight
