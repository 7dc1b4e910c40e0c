"""A reward that is read from two frames and the action between them.

::

    frame t-1 --> convolutions --> code --+
    frame t   --> the same     --> code --+--> layers --> reward of step t, and a logit of the continuation
    action t, extras ---------------------+

The net has no horizon: it reads any pair of consecutive frames, so that a frame is encoded once and serves as
the later one of a pair and as the earlier one of the next. The reward net of google-research/world_models has
layers of the same kind, but reads all predicted frames at once, for one horizon.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.networks import MLP, ValidEncoder


class FrameReward(nn.Module):
    """Reward of a step from the frames before and after it and its action.

    Args:
        image_shape: (3, h, w); h and w are equal and at least 8.
        actions: A.
        channels: of the convolutions (kernel 3, stride 2, ReLU), of which only as many are built as a map of more
            than 3 x 3 can be halved: four for 64 pixels, three for 32.
        code: width of a frame's code.
        hidden: widths of the layers that read both codes.
        extras: E, width of whatever else is read; 0 for nothing.
        outputs: 1, or 2 with a logit of the continuation.

    Raises:
        ValueError: image sides that the convolutions do not take.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        actions: int,
        channels: Sequence[int],
        code: int,
        hidden: Sequence[int],
        *,
        extras: int = 0,
        outputs: int = 1,
    ) -> None:
        super().__init__()
        self.encoder = ValidEncoder(image_shape, channels[: _halvings(image_shape[-1])], code, slope=0.0)
        self.head = MLP(2 * code + actions + extras, hidden, outputs)

    def encode(self, image: Tensor) -> Tensor:
        """Frames f32[N, 3, h, w] in a unit range, the same in training and use, to codes f32[N, code]."""
        code: Tensor = self.encoder(image)
        return code.float()

    def forward(self, before: Tensor, after: Tensor, action: Tensor, extras: Tensor | None = None) -> Tensor:
        """Codes [.., code] of the two frames, action [.., A] and extras [.., E] to f32[.., outputs]."""
        parts = [before, after, action] if extras is None else [before, after, action, extras]
        out: Tensor = self.head(torch.cat(parts, -1))
        return out.float()


def _halvings(side: int) -> int:
    """How many convolutions of kernel 3 and stride 2 bring a map to 3 x 3 or less."""
    count = 0
    while side > 3:
        side, count = (side - 3) // 2 + 1, count + 1
    return count
