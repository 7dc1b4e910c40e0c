"""The part of the image whose prediction is trained."""

from __future__ import annotations

import torch
from torch import Tensor


def image_region(height: int, width: int, fraction: float, seed: int) -> Tensor:
    """A contiguous region of the image: the pixels nearest to a centre that depends on the seed alone.

    A smaller fraction of the same seed is a subset of a larger one. Four-connected, because a step towards
    the centre along an axis always comes nearer.

    Args:
        height: h.
        width: w.
        fraction: of the pixels, 0 to 1; rounded to whole pixels.
        seed: chooses the centre, uniformly.

    Returns:
        f32[h, w], 1 inside the region.
    """
    centre = torch.randint(height * width, (), generator=torch.Generator().manual_seed(seed))
    row, column = torch.arange(height)[:, None], torch.arange(width)[None, :]
    distance = (row - centre // width).square() + (column - centre % width).square()
    order = distance.flatten().argsort(stable=True)
    region = torch.zeros(height * width)
    region[order[: round(fraction * height * width)]] = 1
    return region.view(height, width)
