"""A convolutional long short-term memory (arXiv 1506.04214, without peepholes)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class CellState(NamedTuple):
    """What a cell carries from step to step, float32."""

    hidden: Tensor  # f32[N, channels, h, w], or with other leading dimensions
    memory: Tensor  # the same


class ConvLSTM(nn.Module):
    """One convolution over input and hidden state makes the four gates; stride 1, the map's size is kept.

    Args:
        inputs: channels of the input.
        channels: of the state.
        kernel: odd.
    """

    def __init__(self, inputs: int, channels: int, kernel: int) -> None:
        super().__init__()
        self.channels = channels
        self.gates = nn.Conv2d(inputs + channels, 4 * channels, kernel, padding=kernel // 2)
        self.remember()

    @torch.no_grad()
    def remember(self) -> None:
        """Adds one to the forget gate's bias."""
        assert self.gates.bias is not None
        self.gates.bias[self.channels : 2 * self.channels] += 1

    def forward(self, x: Tensor, state: CellState) -> CellState:
        """[N, inputs, h, w] and the state to the new state, whose `hidden` is the output."""
        gates = self.gates(torch.cat([x, state.hidden], 1)).float()
        enter, forget, leave = gates[:, : 3 * self.channels].sigmoid().chunk(3, 1)
        memory = torch.addcmul(forget * state.memory, enter, _tanh(gates[:, 3 * self.channels :]))
        return CellState(leave * _tanh(memory), memory)


def _tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent by the sigmoid, which torch computes four times as fast on a CPU."""
    return 2 * torch.sigmoid(2 * x) - 1
