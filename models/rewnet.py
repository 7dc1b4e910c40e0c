r"""Rewards that a latent design reads from its decoded frames ("rewnet").

::

    in use       o_t (real)  frame t+1   frame t+2   ...        frames decoded from the forecast
                      \      /       \   /
                     reward t+1     reward t+2                  each also reads the action of its step

    in training
      open loop   the same from a column drawn per clip: o_{k-1} is real, the frames from k on are decoded
      closed loop (o_{t-1}, reconstruction t), as at the first step of a forecast, and
                  (reconstruction t-1, reconstruction t), as at every later one; the mean of both errors

The net sees what a forecast shows: frames clipped to [-0.5, 0.5], through which gradients pass as if they were
not clipped. It needs no rewards to forecast some, and has no horizon.

`legacy.leaking_reward` restores a fault of google-research/world_models. There one net reads all frames of a
clip, and with them the reward of the last: in training a reward that it is to predict, in use the reward that
was observed last. Here the later of the two frames is the last that is read: in training the net is given the
reward of its own step, in use the reward that was observed last, at every step.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.dynamics import RSSMState
from models.frame_reward import FrameReward
from models.sizes import RSSMSizes
from models.types import ModelSpec, SequenceBatch


class FrameState(NamedTuple):
    """A belief, and what the reward of the next step needs beside it. Leading dimensions are [B] or [B, C]."""

    belief: RSSMState
    code: Tensor  # f32[.., code]: of the last real frame
    reward: Tensor  # f32[.., E]: observed last; E is 1 with `leaking_reward`, else 0


class ImageReward(nn.Module):
    """Reads rewards from real and decoded frames.

    Args:
        spec: image shape and actions.
        sizes: widths.
        leaking: restores the fault of the module's docstring.
    """

    def __init__(self, spec: ModelSpec, sizes: RSSMSizes, *, leaking: bool) -> None:
        super().__init__()
        self.extras, self.width = int(leaking), sizes.frame_code
        first, units = sizes.frame_channels, sizes.frame_units
        self.net = FrameReward(
            spec.image_shape,
            spec.action_dim,
            [first, first, max(first // 2, 1), max(first // 4, 1)],
            sizes.frame_code,
            [units, max(units // 2, 1)],
            extras=self.extras,
        )

    def initial(self, belief: RSSMState) -> FrameState:
        """Nothing was observed."""
        like = belief.deterministic
        return FrameState(
            belief, like.new_zeros(len(like), self.width), like.new_zeros(len(like), self.extras)
        )

    def remember(self, belief: RSSMState, images: Tensor, reward: Tensor) -> FrameState:
        """The belief beside what was observed: images f32[B, 3, h, w] in [-0.5, 0.5] and reward [B]."""
        return FrameState(belief, self.net.encode(images), reward[:, None][:, : self.extras])

    def see(self, frames: Tensor) -> Tensor:
        """Decoded frames f32[N, 3, h, w], not clipped, to codes [N, code] of what a forecast shows of them."""
        return self.net.encode(frames + (frames.clamp(-0.5, 0.5) - frames).detach())

    def forecast(self, state: FrameState, codes: Tensor, actions: Tensor) -> Tensor:
        """Rewards [.., H] of the steps to decoded frames with codes [H, .., code] by actions [.., H, A]."""
        before = torch.cat([state.code[None].expand_as(codes[:1]), codes[:-1]])
        extras = state.reward.expand(*codes.shape[:-1], -1)
        reward: Tensor = self.net(before, codes, actions.movedim(-2, 0), extras)
        return reward.squeeze(-1).movedim(0, -1)

    def closed_loop(self, real: Tensor, decoded: Tensor, batch: SequenceBatch) -> Tensor:
        """Two readings [2, B, T] of each column's reward, after the real frame and after its reconstruction.

        Args:
            real: codes [B, T, code] of the clips' frames.
            decoded: codes [B, T, code] of their reconstructions.
            batch: the clips. What is read for column 0, before which there is no frame, means nothing.
        """
        return self._read(torch.stack([_delayed(real), _delayed(decoded)]), decoded, batch)

    def open_loop(self, real: Tensor, decoded: Tensor, batch: SequenceBatch, split: Tensor) -> Tensor:
        """A reading [1, B, T] of the rewards of a forecast that starts at column `split` [B].

        Args:
            real: codes [B, T, code] of the clips' frames.
            decoded: codes [B, T, code] of the forecast's frames, meaningful from `split` on, as is what is read.
            batch: the clips.
            split: columns.
        """
        starts = torch.arange(decoded.shape[1], device=split.device) == split[:, None]
        before = torch.where(starts[..., None], _delayed(real), _delayed(decoded))
        return self._read(before[None], decoded, batch)

    def _read(self, before: Tensor, after: Tensor, batch: SequenceBatch) -> Tensor:
        readings = before.shape[0]
        parts = (after, batch.action, batch.reward[..., None][..., : self.extras])
        reward: Tensor = self.net(before, *(part.expand(readings, -1, -1, -1) for part in parts))
        return reward.squeeze(-1)


def _delayed(codes: Tensor) -> Tensor:
    """Codes [B, T, code] of the columns before; column 0 gets its own."""
    return torch.cat([codes[:, :1], codes[:, :-1]], 1)
