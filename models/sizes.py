"""Layer widths per model family, as presets that single widths may replace. Torch-free.

`paper` is what was published, `bench` what Kaixhin/PlaNet builds (to compare speed), and `tiny`, `small` and
`large` are matched: the parameters that planning from pixels needs agree within 15 % between the designs of
one preset, at 32 x 32 and 64 x 64 pixels and a context of 2. `small` has about a quarter of the arithmetic of
`paper`.
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


SIZES: dict[str, dict[str, Any]] = {
    "rssm": {
        "tiny": RSSMSizes(8, 8, 128, 64, 16, 64, 32, 2, 64),
        "small": RSSMSizes(16, 16, 512, 100, 20, 150, 100, 3, 150),
        "paper": RSSMSizes(32, 32, 1024, 200, 30, 300, 300, 3, 300),
        "large": RSSMSizes(48, 48, 1536, 400, 60, 500, 320, 3, 500),
        "bench": RSSMSizes(32, 32, 1024, 200, 30, 200, 200, 2, 200),
    },
    "reward_predictor": {
        "tiny": RewardPredictorSizes(8, 16, 32, 32, 64, 32, 16, 48, 32, 32, 64, 32, 8, 32),
        "small": RewardPredictorSizes(16, 32, 32, 128, 64, 32, 16, 96, 64, 32, 128, 32, 16, 64),
        "paper": RewardPredictorSizes(32, 64, 16, 16, 64, 32, 16, 256, 128, 64, 128, 32, 16, 128),
        "large": RewardPredictorSizes(48, 96, 96, 384, 64, 32, 16, 384, 256, 128, 256, 64, 32, 128),
    },
    "feedforward": {
        "tiny": FeedForwardSizes(8, 16, 32, 32, 64, 32, 16, 64, 32),
        "small": FeedForwardSizes(16, 32, 32, 128, 64, 32, 16, 128, 32),
        "paper": FeedForwardSizes(32, 64, 16, 16, 64, 32, 16, 128, 32),
        "large": FeedForwardSizes(48, 96, 96, 384, 64, 32, 16, 256, 64),
    },
    "actions": {
        "tiny": ActionsSizes(3, 32),
        "small": ActionsSizes(3, 64),
        "paper": ActionsSizes(3, 64),
        "large": ActionsSizes(3, 128),
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
