"""Layer widths per model family, as presets that single widths may replace. Torch-free.

`paper` is what was published, `bench` what Kaixhin/PlaNet builds (to compare speed), and `tiny`, `small` and
`large` are matched: the parameters that planning from pixels needs agree within 15 % between the designs of
one preset, at 32 x 32 and 64 x 64 pixels and a context of 2 (and 12 columns of forecast, for the feed-forward
form). `small` has about a quarter of the arithmetic of `paper`.

With a context of 1 the reward predictors on pixels fall out of the match, most at 32 x 32 pixels: they have up to
a quarter fewer parameters than the largest design of their preset, since each column widens a layer. `actions`
is a baseline and matches nothing.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RSSMSizes:
    """Widths of the recurrent state-space model.

    Attributes:
        encoder_channels: of the encoder's first convolution; each further one has twice as many.
        decoder_channels: of the decoder's last hidden layer; each earlier one has twice as many.
        decoder_code: width of the linear layer that feeds the decoder.
        deterministic: of the recurrent state. The deterministic design's is wider by `stochastic`.
        stochastic: of the sampled state.
        units: of the hidden layers of the dynamics.
        correction_units: of the layer with which a frame corrects the belief of the deterministic design.
        reward_layers: hidden layers of the reward head.
        reward_units: their width.
        frame_channels: of the first two convolutions of the net that reads rewards from frames (reward_from
            image); the third has half as many, the fourth a quarter.
        frame_code: of the code it makes of a frame.
        frame_units: of its first layer after that; the second is half as wide.
    """

    encoder_channels: int
    decoder_channels: int
    decoder_code: int
    deterministic: int
    stochastic: int
    units: int
    correction_units: int
    reward_layers: int
    reward_units: int
    frame_channels: int
    frame_code: int
    frame_units: int


@dataclass(frozen=True)
class RewardPredictorSizes:
    """Widths of the recurrent reward predictor on frames.

    Attributes:
        channels1: of the frame encoder's first convolution.
        channels2: of the second.
        channels3: of the third.
        frame_code: of the linear layer that ends the frame encoder.
        action1: of the action encoder's first layer.
        action2: of the second.
        action_code: of the third.
        lstm1: of the first recurrent layer.
        lstm2: of the second.
        lstm3: of the third.
        head1: of the reward head's first layer.
        head2: of the second.
        latent: of the stochastic form's latent.
        inference: of the recurrent layer that infers it in training.
    """

    channels1: int
    channels2: int
    channels3: int
    frame_code: int
    action1: int
    action2: int
    action_code: int
    lstm1: int
    lstm2: int
    lstm3: int
    head1: int
    head2: int
    latent: int
    inference: int


@dataclass(frozen=True)
class FeedForwardSizes:
    """Widths of the feed-forward reward predictor on frames.

    Attributes:
        channels1: of the frame encoder's first convolution.
        channels2: of the second.
        channels3: of the third.
        frame_code: of the linear layer that ends the frame encoder.
        action1: of the action encoder's first layer.
        action2: of the second.
        action_code: of the third.
        head1: of the layer that sums up context and actions.
        head2: of the next.
    """

    channels1: int
    channels2: int
    channels3: int
    frame_code: int
    action1: int
    action2: int
    action_code: int
    head1: int
    head2: int


@dataclass(frozen=True)
class ActionsSizes:
    """Widths of the reward predictor that sees actions only; no preset is matched to other designs.

    Attributes:
        layers: hidden layers with layer norm.
        units: their width.
    """

    layers: int
    units: int


@dataclass(frozen=True)
class SV2PSizes:
    """Widths of SV2P: its predictive tower, its reward nets, its inference tower.

    Attributes:
        stem: channels of the first convolution.
        stride: of the first convolution, 2 as published or 4; the others make the smallest map h/8.
        lstm1: channels of the first convolutional LSTM, at h/stride.
        lstm2: of the second, likewise.
        lstm3: of the third, at half that scale.
        lstm4: of the fourth, likewise.
        lstm5: of the fifth, at h/8.
        lstm6: of the sixth, at the scale of the third.
        lstm7: of the seventh, at the scale of the first.
        outer_kernel: of the LSTMs at h/stride, odd.
        inner_kernel: of the others, odd.
        top: channels of the map at full resolution that masks and synthesised image are read from.
        masks: transformed frames, M.
        cdna_kernel: side of the kernels that transform them, odd.
        code: of a layer between the fifth LSTM and the kernels; 0 for none, as published.
        reward_stride: of the first convolution of the reward nets on the tower.
        reward1: channels of their first convolution.
        reward2: of the second.
        reward3: of the third.
        reward_code: of the layer that ends each.
        reward_hidden1: of the first layer that reads all of them.
        reward_hidden2: of the second.
        frame_channels: of the first two convolutions of the net that reads rewards from frames (reward_from
            image); the third has half as many, the fourth a quarter.
        frame_code: of the code it makes of a frame.
        frame_units: of its first layer after that; the second is half as wide.
        latent1: channels of the inference tower's first convolution.
        latent2: of the second.
        latent3: of the third.
    """

    stem: int
    stride: int
    lstm1: int
    lstm2: int
    lstm3: int
    lstm4: int
    lstm5: int
    lstm6: int
    lstm7: int
    outer_kernel: int
    inner_kernel: int
    top: int
    masks: int
    cdna_kernel: int
    code: int
    reward_stride: int
    reward1: int
    reward2: int
    reward3: int
    reward_code: int
    reward_hidden1: int
    reward_hidden2: int
    frame_channels: int
    frame_code: int
    frame_units: int
    latent1: int
    latent2: int
    latent3: int

    @property
    def lstms(self) -> tuple[int, ...]:
        """Channels of the seven convolutional LSTMs."""
        return (self.lstm1, self.lstm2, self.lstm3, self.lstm4, self.lstm5, self.lstm6, self.lstm7)


SIZES: dict[str, dict[str, Any]] = {
    "rssm": {
        "tiny": RSSMSizes(8, 8, 128, 64, 16, 64, 32, 2, 64, 16, 32, 32),
        "small": RSSMSizes(16, 16, 512, 100, 20, 150, 100, 3, 150, 32, 64, 128),
        "paper": RSSMSizes(32, 32, 1024, 200, 30, 300, 300, 3, 300, 32, 64, 32),
        "large": RSSMSizes(48, 48, 1536, 400, 60, 500, 320, 3, 500, 64, 128, 256),
        "bench": RSSMSizes(32, 32, 1024, 200, 30, 200, 200, 2, 200, 32, 64, 32),
    },
    "reward_predictor": {
        "tiny": RewardPredictorSizes(8, 16, 32, 32, 64, 32, 16, 48, 32, 32, 64, 32, 8, 32),
        "small": RewardPredictorSizes(16, 32, 32, 128, 64, 32, 16, 96, 64, 32, 128, 32, 16, 64),
        "paper": RewardPredictorSizes(32, 64, 16, 16, 64, 32, 16, 256, 128, 64, 128, 32, 16, 128),
        "large": RewardPredictorSizes(48, 96, 96, 384, 64, 32, 16, 384, 256, 128, 256, 64, 32, 128),
    },
    "feedforward": {
        "tiny": FeedForwardSizes(8, 16, 32, 32, 64, 32, 16, 144, 64),
        "small": FeedForwardSizes(16, 32, 32, 128, 64, 32, 16, 400, 64),
        "paper": FeedForwardSizes(32, 64, 16, 16, 64, 32, 16, 128, 32),
        "large": FeedForwardSizes(48, 96, 96, 384, 64, 32, 16, 1792, 512),
    },
    "actions": {
        "tiny": ActionsSizes(3, 32),
        "small": ActionsSizes(3, 64),
        "paper": ActionsSizes(3, 64),
        "large": ActionsSizes(3, 128),
    },
    "sv2p": {
        "tiny": SV2PSizes(
            *(4, 4, 4, 4, 8, 8, 16, 8, 4, 3, 3, 4, 4, 3, 50),
            *(2, 4, 4, 4, 16, 64, 64, 16, 32, 32, 16, 16, 16),
        ),
        "small": SV2PSizes(
            *(8, 2, 8, 8, 16, 16, 40, 16, 8, 3, 3, 8, 10, 5, 85),
            *(2, 8, 8, 4, 16, 64, 32, 32, 64, 128, 32, 32, 32),
        ),
        "paper": SV2PSizes(
            *(32, 2, 32, 32, 64, 64, 128, 64, 32, 5, 5, 64, 10, 5, 0),
            *(1, 16, 8, 4, 8, 32, 16, 32, 64, 32, 32, 64, 64),
        ),
        "large": SV2PSizes(
            *(32, 2, 32, 32, 64, 64, 112, 64, 32, 5, 3, 64, 10, 5, 265),
            *(2, 16, 16, 8, 32, 128, 64, 64, 128, 256, 64, 64, 64),
        ),
    },
}
"""Presets by family and size."""


def sizes_for(family: str, size: str, widths: Mapping[str, int]) -> Any:
    """The widths of a preset, some of them replaced.

    Args:
        family: a key of SIZES.
        size: a preset of the family.
        widths: widths by name that replace the preset's.

    Raises:
        ValueError: the family has no such preset or width, or a width is below 1; says which there are.
    """
    presets = SIZES[family]
    if size not in presets:
        raise ValueError(f"no size {size}{_near(size, presets)}; there are {', '.join(presets)}")
    preset = presets[size]
    known = [field.name for field in dataclasses.fields(preset)]
    for name, width in widths.items():
        if name not in known:
            raise ValueError(f"no width {name}{_near(name, known)}; there are {', '.join(known)}")
        if width < 1:
            raise ValueError(f"width {name} is {width}; it must be at least 1")
    return dataclasses.replace(preset, **widths)


def _near(wrong: str, known: Any) -> str:
    near = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""
