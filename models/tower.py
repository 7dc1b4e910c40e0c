r"""The networks of SV2P (arXiv 1710.11252): the predictive tower, the inference tower, the reward nets on the tower.

The predictive tower makes frame t out of frame t-1 and action t, the action that leads to frame t. It has seven
convolutional LSTMs, each with layer norm behind it, at three scales (strides 2, 2, 2 as published)::

    frame t-1 -> conv = enc0 -> LSTM 1 -> LSTM 2 .                  . enc5 -> LSTM 7 + enc0 -> up = enc6 -> masks
                                     conv = enc1 -> LSTM 3 -> LSTM 4 .    / up                        \-> synthesised
                                                                 conv + action, latent
                                                                    -> LSTM 5 -> up = enc4 -> LSTM 6 + enc1
                                                                          \-> kernels

The latent, if any, and a map of the action are channels of the smallest scale. `models.cdna` composites the frame.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.cdna import composite, normalised_kernels
from models.conv_lstm import CellState, ConvLSTM
from models.distributions import Gaussian
from models.latents import clip_posterior
from models.sizes import SV2PSizes

SCALE = 8
"""The smallest scale of the towers is the image's over this."""
SLOPE = 0.1
"""Of the leaky ReLUs of the reward nets: with the plain ones of the reference a net of four channels can be dead."""


class TowerState(NamedTuple):
    """The states of the seven convolutional LSTMs, in the order in which they run."""

    first: CellState
    second: CellState
    third: CellState
    fourth: CellState
    fifth: CellState
    sixth: CellState
    seventh: CellState


class Activations(NamedTuple):
    """What the tower computes on the way to a frame, the inputs of the reward nets."""

    enc0: Tensor  # [N, stem, h/a, w/a], a the stride of the first convolution
    enc1: Tensor  # [N, lstm2, h/2a, w/2a]
    enc4: Tensor  # [N, lstm5, h/2a, w/2a]
    enc5: Tensor  # [N, lstm6 + lstm2, h/a, w/a]
    enc6: Tensor  # [N, top, h, w]


class Norm(nn.GroupNorm):
    """Layer norm over channels and pixels, with a gain and an offset per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__(1, channels)


class PredictiveTower(nn.Module):
    """Frame t out of frame t-1, action t and a latent.

    Args:
        side: of the square images; a multiple of 8.
        actions: A.
        sizes: the widths.
        stochastic: whether there is a latent.
    """

    def __init__(self, side: int, actions: int, sizes: SV2PSizes, *, stochastic: bool) -> None:
        super().__init__()
        self.sizes, self.small = sizes, side // SCALE
        last = SCALE // (2 * sizes.stride)
        c1, c2, c3, c4, c5, c6, c7 = sizes.lstms
        outer, inner = sizes.outer_kernel, sizes.inner_kernel
        self.scales = [side // sizes.stride] * 2 + [side // (2 * sizes.stride)] * 2
        self.scales += [self.small, side // (2 * sizes.stride), side // sizes.stride]
        self.stem = nn.Conv2d(3, sizes.stem, 5, stride=sizes.stride, padding=2)
        self.down1 = nn.Conv2d(c2, c2, 3, stride=2, padding=1)
        self.down2 = nn.Conv2d(c4, c4, 3, stride=last, padding=1)
        self.action = nn.Linear(actions, self.small**2)
        self.mix = nn.Conv2d(c4 + 1 + stochastic, c4, 1)
        inputs = [sizes.stem, c1, c2, c3, c4, c5, c6 + c2]
        kernels = [outer, outer, inner, inner, inner, inner, outer]
        layers = zip(inputs, sizes.lstms, kernels, strict=True)
        self.lstms = nn.ModuleList([ConvLSTM(i, o, kernel) for i, o, kernel in layers])
        self.up1 = _upsample(c5, c5, last)
        self.up2 = _upsample(c6 + c2, c6 + c2, 2)
        self.up3 = _upsample(c7 + sizes.stem, sizes.top, sizes.stride)
        self.norms = nn.ModuleList([Norm(channels) for channels in sizes.lstms])
        self.norm_stem, self.norm_top = Norm(sizes.stem), Norm(sizes.top)
        self.synthesise = nn.Linear(sizes.top, 3)
        self.masks = nn.Linear(sizes.top, sizes.masks + 2)
        bottom, raw = c5 * self.small**2, sizes.masks * sizes.cdna_kernel**2
        code = sizes.code
        self.code = nn.Linear(bottom, code) if code else None
        self.kernels = nn.Linear(code or bottom, raw)
        _initialise(self)

    def initial(self, batch: int) -> TowerState:
        """Zeros, for `batch` rows."""
        like = self.stem.weight
        return TowerState(
            *(
                CellState(*(like.new_zeros(batch, channels, scale, scale) for _ in CellState._fields))
                for channels, scale in zip(self.sizes.lstms, self.scales, strict=True)
            )
        )

    def forward(
        self, frame: Tensor, action: Tensor, latent: Tensor | None, state: TowerState
    ) -> tuple[Activations, Tensor, TowerState]:
        """One step.

        Args:
            frame: f32[N, 3, h, w] in [0, 1].
            action: f32[N, A].
            latent: f32[N, h/8, w/8], if the tower is stochastic.
            state: of N rows.

        Returns:
            The activations, the output of LSTM 5 [N, lstm5, h/8, w/8] for `render`, the new state.
        """
        states: list[CellState] = []

        def recur(x: Tensor) -> Tensor:
            index = len(states)
            states.append(self.lstms[index](x, state[index]))
            normed: Tensor = self.norms[index](states[-1].hidden)
            return normed

        enc0 = self.norm_stem(F.relu(self.stem(frame)))
        enc1 = F.relu(self.down1(recur(recur(enc0))))
        enc2 = F.relu(self.down2(recur(recur(enc1))))
        smeared = self.action(action).view(-1, 1, self.small, self.small)
        extra = [smeared] if latent is None else [smeared, latent[:, None]]
        bottom = recur(F.relu(self.mix(torch.cat([enc2, *extra], 1))))
        enc4 = F.relu(self.up1(bottom))
        enc5 = F.relu(self.up2(torch.cat([recur(enc4), enc1], 1)))
        enc6 = self.norm_top(F.relu(self.up3(torch.cat([recur(enc5), enc0], 1))))
        return Activations(enc0, enc1, enc4, enc5, enc6), bottom, TowerState(*states)

    def render(self, frame: Tensor, activations: Activations, bottom: Tensor) -> Tensor:
        """The next frame f32[N, 3, h, w] in [0, 1], composited from `frame` and what `forward` made of it."""
        code = bottom.flatten(1)
        if self.code is not None:
            code = F.relu(self.code(code))
        kernels = normalised_kernels(self.kernels(code), self.sizes.cdna_kernel)
        synthesised = _pointwise(self.synthesise, activations.enc6).sigmoid()
        masks = _pointwise(self.masks, activations.enc6).softmax(1)
        return composite(frame, synthesised, kernels, masks)


class TowerReward(nn.Module):
    """One number per step from the five activations of the tower: small nets on each, then layers on all.

    Args:
        side: of the images.
        sizes: the widths.
    """

    def __init__(self, side: int, sizes: SV2PSizes) -> None:
        super().__init__()
        _, c2, _, _, c5, c6, _ = sizes.lstms
        high, middle = side // sizes.stride, side // (2 * sizes.stride)
        maps = [(sizes.stem, high), (c2, middle), (c5, middle), (c6 + c2, high), (sizes.top, side)]
        self.nets = nn.ModuleList([_small_net(channels, scale, sizes) for channels, scale in maps])
        widths = [len(maps) * sizes.reward_code, sizes.reward_hidden1, sizes.reward_hidden2]
        self.hidden1, self.hidden2 = nn.Linear(widths[0], widths[1]), nn.Linear(widths[1], widths[2])
        self.output = nn.Linear(widths[2], 1)
        _initialise(self)

    def forward(self, activations: Activations) -> Tensor:
        """f32[N]."""
        codes = [net(x) for net, x in zip(self.nets, activations, strict=True)]
        hidden = F.relu(self.hidden2(F.relu(self.hidden1(torch.cat(codes, 1)))))
        out: Tensor = self.output(hidden).squeeze(1).float()
        return out


class InferenceTower(nn.Module):
    """The posterior of a clip's latent from all its frames, stacked as channels; in training only.

    Args:
        columns: the longest clip; shorter ones are filled up with black, as are columns that do not exist.
        sizes: the widths.
    """

    def __init__(self, columns: int, sizes: SV2PSizes) -> None:
        super().__init__()
        self.columns = columns
        one, two, three = sizes.latent1, sizes.latent2, sizes.latent3
        self.layers = nn.Sequential(
            *(nn.Conv2d(3 * columns, one, 3, stride=2, padding=1), nn.ReLU(), Norm(one)),
            *(nn.Conv2d(one, two, 3, stride=2, padding=1), nn.ReLU(), Norm(two)),
            *(nn.Conv2d(two, three, 3, padding=1), nn.ReLU(), Norm(three)),
        )
        self.mean = nn.Conv2d(three, 1, 3, stride=2, padding=1)
        self.raw = nn.Conv2d(three, 1, 3, stride=2, padding=1)
        _initialise(self)

    def forward(self, frames: Tensor, mask: Tensor) -> Gaussian:
        """Frames f32[B, T, 3, h, w] in [0, 1] and which of them exist [B, T] to a Gaussian over [B, (h/8)(w/8)].

        Raises:
            ValueError: the clips are longer than `columns`.
        """
        missing = self.columns - frames.shape[1]
        if missing < 0:
            raise ValueError(f"clips of {frames.shape[1]} columns; the inference tower takes {self.columns}")
        frames = (frames * mask[..., None, None, None]).flatten(1, 2)
        x = self.layers(F.pad(frames, (0, 0, 0, 0, 0, 3 * missing)))
        return clip_posterior(self.mean(x).flatten(1), self.raw(x).flatten(1))


class Patches(nn.Module):
    """A transposed convolution of kernel and stride s, as one matrix product: every place makes a patch of its own."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.shape = (outputs, stride, stride)
        self.places = nn.Linear(inputs, outputs * stride**2)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, h, w] to [N, outputs, s h, s w]."""
        patches = self.places(x.permute(0, 2, 3, 1))
        patches = patches.view(*patches.shape[:3], *self.shape).permute(0, 3, 1, 4, 2, 5)
        image: Tensor = patches.reshape(len(x), self.shape[0], self.shape[1] * x.shape[2], -1)
        return image


def _initialise(module: nn.Module) -> None:
    """Glorot's uniform weights and zero biases, as in the reference: what an action says gets through sooner."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    for layer in module.modules():
        if isinstance(layer, ConvLSTM):
            layer.remember()


def _pointwise(layer: nn.Linear, x: Tensor) -> Tensor:
    """The layer at every pixel of [N, inputs, h, w], in float32; on a CPU far faster than a convolution."""
    out = torch.baddbmm(layer.bias[:, None], layer.weight.expand(len(x), -1, -1), x.flatten(2))
    return out.float().view(len(x), -1, *x.shape[2:])


def _upsample(inputs: int, outputs: int, stride: int) -> nn.Module:
    """Makes a map `stride` times as large: by a transposed convolution of kernel 3, or, for 4, by patches."""
    if stride == 4:
        return Patches(inputs, outputs, stride)
    return nn.ConvTranspose2d(inputs, outputs, 3, stride, padding=1, output_padding=stride - 1)


def _small_net(channels: int, side: int, sizes: SV2PSizes) -> nn.Sequential:
    """Three convolutions, or as many as a map of more than 3 x 3 takes, and a layer: [N, reward_code]."""
    layers: list[nn.Module] = []
    widths, strides = [sizes.reward1, sizes.reward2, sizes.reward3], [sizes.reward_stride, 2, 2]
    for width, stride in zip(widths, strides, strict=True):
        if side > 3:
            layers += [nn.Conv2d(channels, width, 3, stride), nn.LeakyReLU(SLOPE)]
            channels, side = width, (side - 3) // stride + 1
    layers += [nn.Flatten(), nn.Linear(channels * side**2, sizes.reward_code), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers)
