"""Networks that the world models share. Convolutions run in channels_last memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

INT32_MAX = 2**31 - 1


def channels_last(x: Tensor) -> Tensor:
    """[N, C, h, w] with its channels innermost in memory, by operations that vmap knows."""
    return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def scale_image(image: Tensor, *, blind: bool = False) -> Tensor:
    """u8[N, 3, h, w] to f32 in [-0.5, 0.5], channels last (moved while a pixel is still one byte).

    `blind` divides by the largest 32-bit integer instead, to [0, 1.2e-7]: a fault of google-research/world_models,
    where frames were stored as int32 and then scaled by the range of their type.
    """
    image = channels_last(image).float()
    return image / INT32_MAX if blind else image / 255 - 0.5


def encoder_sides(side: int) -> list[int]:
    """The sides of the feature maps after each convolution (kernel 4, stride 2): 64 -> [31, 14, 6, 2]."""
    sides = []
    while side > 3:
        side = (side - 4) // 2 + 1
        sides.append(side)
    return sides


def decoder_kernels(side: int) -> list[int]:
    """The kernels of transposed convolutions (stride 2) from 1 x 1 to side x side: 64 -> [5, 5, 6, 6]."""
    kernels: list[int] = []
    while side > 5:
        kernel = 6 if side % 2 == 0 else 5
        kernels.insert(0, kernel)
        side = (side - kernel) // 2 + 1
    return [side, *kernels]


def _square(image_shape: tuple[int, int, int]) -> int:
    _, height, width = image_shape
    if height != width or height < 8:
        raise ValueError(f"images of {height} x {width}: the networks take square images of at least 8 x 8")
    return height


class ConvEncoder(nn.Module):
    """Convolutions of kernel 4 and stride 2 with ReLU, the channels doubling, until 3 x 3 or less is left."""

    def __init__(self, image_shape: tuple[int, int, int], channels: int) -> None:
        super().__init__()
        sides = encoder_sides(_square(image_shape))
        widths = [image_shape[0], *(channels * 2**i for i in range(len(sides)))]
        pairs = itertools.pairwise(widths)
        self.layers = nn.ModuleList([nn.Conv2d(i, o, 4, stride=2) for i, o in pairs])
        self.layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.features = widths[-1] * sides[-1] ** 2

    def forward(self, image: Tensor) -> Tensor:
        """f32[N, 3, h, w] to [N, features]."""
        for layer in self.layers:
            image = F.relu(layer(image), inplace=True)
        return image.permute(0, 2, 3, 1).flatten(1)


class ValidEncoder(nn.Module):
    """Convolutions of kernel 3 and stride 2 with leaky ReLU, then a linear layer."""

    def __init__(
        self, image_shape: tuple[int, int, int], channels: Sequence[int], code: int, slope: float
    ) -> None:
        super().__init__()
        side, self.slope = _square(image_shape), slope
        layers = []
        for inputs, outputs in itertools.pairwise([image_shape[0], *channels]):
            kernel = min(3, side)
            layers.append(nn.Conv2d(inputs, outputs, kernel, stride=2))
            side = (side - kernel) // 2 + 1
        self.layers = nn.ModuleList(layers)
        self.layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.code = nn.Linear(channels[-1] * side**2, code)

    def forward(self, image: Tensor) -> Tensor:
        """f32[N, 3, h, w] to [N, code]."""
        for layer in self.layers:
            image = F.leaky_relu(layer(image), self.slope, inplace=True)
        code: Tensor = self.code(image.permute(0, 2, 3, 1).flatten(1))
        return code


class FirstTransposed(nn.Module):
    """A transposed convolution of a 1 x 1 map: one matrix product.

    `weight[i, (r, s, o)]` is `conv_transpose2d`'s `weight[i, o, r, s]`; channels are innermost in the result.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        bound = 1 / math.sqrt(outputs * kernel**2)  # as torch initialises a ConvTranspose2d
        self.weight = nn.Parameter(torch.empty(inputs, kernel * kernel * outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs] to [N, outputs, kernel, kernel], channels last."""
        y = torch.addmm(self.bias.repeat(self.kernel**2), x, self.weight)
        return y.view(-1, self.kernel, self.kernel, len(self.bias)).permute(0, 3, 1, 2)


class ConvDecoder(nn.Module):
    """A linear layer, then transposed convolutions of stride 2 from 1 x 1 to the image, ReLU between them."""

    def __init__(self, inputs: int, code: int, channels: int, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        kernels = decoder_kernels(_square(image_shape))
        widths = [*(channels * 2**i for i in reversed(range(len(kernels) - 1))), image_shape[0]]
        self.code = nn.Linear(inputs, code)
        self.first = FirstTransposed(code, widths[0], kernels[0])
        layers = zip(widths[:-1], widths[1:], kernels[1:], strict=True)
        self.layers = nn.ModuleList([nn.ConvTranspose2d(i, o, k, stride=2) for i, o, k in layers])
        self.layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, features: Tensor) -> Tensor:
        """[N, inputs] to [N, 3, h, w]: the mean image in [-0.5, 0.5], not clipped."""
        x = self.first(self.code(features))
        for layer in self.layers:
            x = layer(F.relu(x, inplace=True))
        image: Tensor = x
        return image


class MLP(nn.Module):
    """Linear layers with ReLU between them; any leading dimensions."""

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int) -> None:
        super().__init__()
        widths = [inputs, *hidden, outputs]
        self.layers = nn.ModuleList([nn.Linear(i, o) for i, o in itertools.pairwise(widths)])

    def forward(self, x: Tensor) -> Tensor:
        """[.., inputs] to [.., outputs]."""
        for layer in self.layers[:-1]:
            x = F.relu(layer(x), inplace=True)
        y: Tensor = self.layers[-1](x)
        return y


def _tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent by the sigmoid, which torch computes four times as fast on a CPU."""
    return 2 * torch.sigmoid(2 * x) - 1


class GRU(nn.Module):
    """A gated recurrent unit as `torch.nn.GRUCell` computes it, for any leading dimensions."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.input = nn.Linear(inputs, 3 * width)
        self.hidden = nn.Linear(width, 3 * width)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """[.., inputs] and [.., width] to [.., width]."""
        split = [2 * self.width, self.width]
        gates_x, new_x = self.input(x).split(split, -1)
        gates_h, new_h = self.hidden(h).split(split, -1)
        reset, keep = (gates_x + gates_h).sigmoid().chunk(2, -1)
        new = _tanh(torch.addcmul(new_x, reset, new_h))
        return torch.lerp(new.float(), h.float(), keep.float())  # the state is float32 under autocast, too


class LSTM(nn.Module):
    """A long short-term memory over a sequence, from zeros, forget bias 1; any leading dimensions."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.input = nn.Linear(inputs, 4 * width)
        self.hidden = nn.Linear(width, 4 * width, bias=False)
        with torch.no_grad():
            self.input.bias[width : 2 * width] += 1

    def forward(self, x: Tensor, offset: Tensor | None = None) -> Tensor:
        """[.., H, inputs] to [.., H, width]; `offset` [.., 4 width] is added to the gates of every step."""
        outputs: list[Tensor] = []
        cell: Tensor | None = None
        for step in range(x.shape[-2]):
            gates = self.input(x[..., step, :])
            if offset is not None:
                gates = gates + offset
            if outputs:
                gates = gates + self.hidden(outputs[-1])
            enter, forget, leave = gates[..., : 3 * self.width].sigmoid().chunk(3, -1)
            new = enter * gates[..., 3 * self.width :].tanh()
            cell = new if cell is None else forget * cell + new
            outputs.append(leave * cell.tanh())
        return torch.stack(outputs, -2)
