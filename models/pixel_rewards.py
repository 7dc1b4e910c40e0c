"""What the designs that predict rewards only, from the last frames and the actions to come, have in common.

::

    last `context` columns: frames -> convolutions -> codes -+
                            actions between them ------------+--> context, the same at every step
    actions to come -> layers -> codes, one per step

The encoders are those of "pure_reward" in google-research/world_models, which saw one frame, scaled to about
1e-7 (`ModelDesign.blind_inputs` restores that); here frames are in [-0.5, 0.5]. A context of more columns adds
their frames, and the actions that lie between them. No rewards: a design in latent space sees none either. At a
reset the context is filled with the first frame and zeros, and part of the training clips have a context as it is then
and soon after (`models.context`).

The loss is reward_scale * 1/2 squared reward error, averaged over the columns after the context, and the
cross entropy of the continuation where the design predicts it.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.context import ContextState, context_of_clips, empty_context, push
from models.distributions import masked_mean
from models.networks import ValidEncoder, scale_image
from models.sizes import sizes_for
from models.trees import expand_rows
from models.types import Draw, ModelDesign, ModelSpec, Noise, Observation, SequenceBatch

SLOPE = 0.3
"""Of the leaky ReLUs, as in Keras."""


class PixelRewards(nn.Module, ABC):
    """The context and its encoders.

    Args:
        spec: what to predict; `context` is the number of columns that are seen.
        design: how.
        family: of the size presets.

    Raises:
        ValueError: an unknown size, width or option, or something that such a design cannot predict.
    """

    def __init__(self, spec: ModelSpec, design: ModelDesign, family: str) -> None:
        super().__init__()
        sizes = sizes_for(family, design.size, design.widths)
        check_rewards_only(spec, design, type(self).__name__)
        self.spec, self.weights, self.blind = spec, design.weights, design.blind_inputs
        self.frame_code, self.heads, self.dropout = (
            sizes.frame_code,
            [sizes.head1, sizes.head2],
            design.dropout,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(design.seed)
            channels = [sizes.channels1, sizes.channels2, sizes.channels3]
            self.encoder = ValidEncoder(spec.image_shape, channels, sizes.frame_code, SLOPE)
            self.action_layers = linear_layers(
                [spec.action_dim, sizes.action1, sizes.action2, sizes.action_code]
            )
            between = (spec.context - 1) * sizes.action_code
            self.build(sizes, spec.context * sizes.frame_code + between)

    @abstractmethod
    def build(self, sizes: Any, context: int) -> None:
        """Builds the layers beyond the encoders; `context` is the width of `encode_context`."""

    def dropout_draws(self, lead: tuple[int, ...]) -> dict[str, Draw]:
        """Uniform draws [*lead, width] per unit of the head's two hidden layers, none without dropout."""
        widths = self.heads if self.dropout else []
        return {f"dropout{i}": Draw((*lead, width), "uniform") for i, width in enumerate(widths, start=1)}

    def initial(self, batch: int) -> ContextState:
        """An empty context: zeros [B, K, ...]."""
        like = self.encoder.code.weight
        return empty_context(like, batch, self.spec.context, (self.frame_code,), self.spec.action_dim)

    def observe(self, state: ContextState, obs: Observation, noise: Noise) -> ContextState:  # noqa: ARG002
        """Drops the oldest column for a new one; rows with `first` fill up with its frame and zeros."""
        return push(state, self.encode_frames(obs.image), obs)

    def expand(self, state: ContextState, candidates: int) -> ContextState:
        """[B, ...] to views [B, C, ...]."""
        expanded: ContextState = expand_rows(state, candidates)
        return expanded

    def context_of_clips(self, batch: SequenceBatch, reset: Tensor) -> ContextState:
        """The contexts of training clips; see `models.context.context_of_clips`."""
        seen = self.spec.context
        codes = self.encode_frames(batch.image[:, :seen].flatten(0, 1)).view(-1, seen, self.frame_code)
        return context_of_clips(codes, batch, reset)

    def encode_frames(self, image: Tensor) -> Tensor:
        """u8[N, 3, h, w] to codes [N, frame_code]."""
        code: Tensor = self.encoder(scale_image(image, blind=self.blind))
        return code

    def encode_context(self, state: ContextState) -> Tensor:
        """[.., X]: all frame codes, and the action codes of all columns but the oldest."""
        between = self.encode_actions(state.actions[..., 1:, :])
        return torch.cat([state.frames.flatten(-2), between.flatten(-2)], -1)

    def encode_actions(self, actions: Tensor) -> Tensor:
        """[.., A] to codes [.., action_code]."""
        for layer in self.action_layers:
            actions = F.leaky_relu(layer(actions), SLOPE)
        return actions

    def read(self, x: Tensor, layers: nn.ModuleList, noise: Noise | None) -> tuple[Tensor, Tensor | None]:
        """Rewards [.., H] and, where predicted, logits of the continuation [.., H].

        Args:
            x: [.., H, head1], what enters the head's first activation.
            layers: the head's second and third layer.
            noise: of the loss, for dropout; None in use.
        """
        for index, layer in enumerate(layers, start=1):
            x = F.leaky_relu(x, SLOPE)
            if noise is not None and self.dropout:
                x = x * (noise[f"dropout{index}"] >= self.dropout) / (1 - self.dropout)
            x = layer(x)
        return split_outputs(x, self.spec)


def check_rewards_only(spec: ModelSpec, design: ModelDesign, name: str) -> None:
    """Raises ValueError for what no design that predicts rewards from pixels alone can do."""
    if design.options:
        raise ValueError(f"{name} has no options: {', '.join(design.options)}")
    if spec.predict_images:
        raise ValueError(f"{name} predicts rewards only")
    if design.reward_from != "state" or design.reward_gradient != "shared":
        raise ValueError(f"{name} has one reward, from its state, whose gradient reaches all of it")
    if design.leaking_reward:
        raise ValueError(
            f"{name} has no reward net that reads predicted frames, so leaking_reward has no place"
        )


def outputs_of(spec: ModelSpec) -> int:
    """Width of a head's last layer: the reward and, where predicted, the continuation."""
    return 2 if spec.predict_continues else 1


def split_outputs(x: Tensor, spec: ModelSpec) -> tuple[Tensor, Tensor | None]:
    """A head's outputs [.., 1 or 2] as rewards [..] and logits of the continuation [..], or None."""
    x = x.float()
    return x[..., 0], x[..., 1] if spec.predict_continues else None


def reward_terms(
    reward: Tensor, logit: Tensor | None, batch: SequenceBatch, mask: Tensor
) -> dict[str, Tensor]:
    """`reward_loss` and, where there are logits, `continue_loss`: means over the scored columns.

    Args:
        reward: forecast of the columns after the context, [B, H].
        logit: of their continuation, [B, H], or None.
        batch: the clips.
        mask: [B, H], 1 where a column is scored.
    """
    seen = batch.mask.shape[1] - mask.shape[1]
    terms = {"reward_loss": masked_mean(0.5 * (reward - batch.reward[:, seen:]).square(), mask)}
    if logit is not None:
        goes_on = 1 - batch.terminal[:, seen:].float()
        entropy = F.binary_cross_entropy_with_logits(logit, goes_on, reduction="none")
        terms["continue_loss"] = masked_mean(entropy, mask)
    return terms


def weigh(terms: dict[str, Tensor], reward_scale: float) -> Tensor:
    """The sum of `reward_terms`, the reward's weighted."""
    total = reward_scale * terms["reward_loss"]
    return total + terms["continue_loss"] if "continue_loss" in terms else total


def linear_layers(widths: Sequence[int]) -> nn.ModuleList:
    """Linear layers from each width to the next."""
    return nn.ModuleList([nn.Linear(i, o) for i, o in itertools.pairwise(widths)])
