"""Rewards from the last frames and the actions to come, without dynamics.

::

    last `context` columns: frames -> convolutions -> codes -+
                            actions, rewards between them ---+--> context --+ (the same at every step)
    action of step i -> layers -> code --------------------------------------+--> 3 LSTMs -> reward of step i

The recurrent form of "pure_reward" in google-research/world_models is this with context 1. There frames were
scaled to about 1e-7; here they are in [-0.5, 0.5]. A context of more columns adds their frames, and the
actions and rewards that lie between them; those of its first column stay out, since a clip cut from the
middle of an episode does not know them. At a reset the context is filled with the first frame and zeros.

Part of the training clips have a context as it is then.

The loss is reward_scale * 1/2 squared reward error, averaged over the columns after the context, and the
cross entropy of the continuation where the design predicts it.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.distributions import masked_mean
from models.networks import LSTM, ValidEncoder, scale_image
from models.sizes import sizes_for
from models.trees import expand_rows
from models.types import (
    Call,
    Draw,
    Forecast,
    Loss,
    ModelDesign,
    ModelSpec,
    Noise,
    Observation,
    SequenceBatch,
)

DROPOUT = 0.2
RESET_PART = 1 / 8
"""Part of the training clips whose context is filled up as at a reset, so that the first plans of an episode are
made from something the network has seen."""
SLOPE = 0.3
"""Of the leaky ReLUs, as in Keras."""


class ContextState(NamedTuple):
    """The last K = `context` columns, oldest first. Leading dimensions are [B] or [B, C]."""

    codes: Tensor  # f32[.., K, frame_code]
    actions: Tensor  # f32[.., K, A]
    rewards: Tensor  # f32[.., K]


class RewardPredictor(nn.Module):
    """Recurrent reward predictor on frames and actions.

    Args:
        spec: what to predict; `context` is the number of columns it sees.
        design: how; of its loss weights only `reward_scale` is used.

    Raises:
        ValueError: an unknown size, width or option, or something this design cannot predict.
    """

    version = 1

    def __init__(self, spec: ModelSpec, design: ModelDesign) -> None:
        super().__init__()
        sizes = sizes_for("reward_predictor", design.size, design.widths)
        _check(spec, design)
        self.spec, self.weights = spec, design.weights
        between = spec.context - 1
        context = spec.context * sizes.frame_code + between * (sizes.action_code + 1)
        self.frame_code, self.heads = sizes.frame_code, [sizes.head1, sizes.head2]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(design.seed)
            channels = [sizes.channels1, sizes.channels2, sizes.channels3]
            self.encoder = ValidEncoder(spec.image_shape, channels, sizes.frame_code, SLOPE)
            actions = [spec.action_dim, sizes.action1, sizes.action2, sizes.action_code]
            self.action_layers = _linear(actions)
            recurrent = [sizes.lstm1, sizes.lstm2, sizes.lstm3]
            self.context = nn.Linear(context, 4 * sizes.lstm1, bias=False)
            inputs = [sizes.action_code, *recurrent[:-1]]
            self.recurrent = nn.ModuleList([LSTM(i, o) for i, o in zip(inputs, recurrent, strict=True)])
            self.norms = nn.ModuleList([nn.LayerNorm(width) for width in recurrent])
            self.head = _linear([recurrent[-1], *self.heads, 2 if spec.predict_continues else 1])

    def draws(self, call: Call, lead: tuple[int, ...], steps: int = 1) -> dict[str, Draw]:
        """Noise of the loss, uniform: dropout per unit of the head's two hidden layers, and `reset` per clip."""
        if call != "loss":
            return {}
        ahead = steps - self.spec.context
        draws = {f"dropout{i}": Draw((*lead, ahead, w), "uniform") for i, w in enumerate(self.heads, start=1)}
        return draws | {"reset": Draw(lead, "uniform")}

    def initial(self, batch: int) -> ContextState:
        """An empty context: zeros [B, K, ...]."""
        like = self.context.weight
        widths = {"codes": (self.frame_code,), "actions": (self.spec.action_dim,), "rewards": ()}
        lead = (batch, self.spec.context)
        return ContextState(**{name: like.new_zeros((*lead, *width)) for name, width in widths.items()})

    def observe(self, state: ContextState, obs: Observation, noise: Noise) -> ContextState:  # noqa: ARG002
        """Drops the oldest column for a new one; rows with `first` fill up with its frame and zeros."""
        code = self.encoder(scale_image(obs.image))
        first = obs.first[:, None]
        codes = torch.where(first[..., None], code[:, None], _push(state.codes, code))
        actions = _push(state.actions, obs.action).masked_fill(first[..., None], 0)
        return ContextState(codes, actions, _push(state.rewards, obs.reward).masked_fill(first, 0))

    def expand(self, state: ContextState, candidates: int) -> ContextState:
        """[B, ...] to views [B, C, ...]."""
        expanded: ContextState = expand_rows(state, candidates)
        return expanded

    def predict(self, state: ContextState, actions: Tensor, noise: Noise, *, decode: bool) -> Forecast:  # noqa: ARG002
        """Rewards of actions [.., H, A]; takes no noise and has no images to decode."""
        reward, logit = self._roll(state, actions)
        return Forecast(reward, None, None if logit is None else logit.sigmoid())

    def loss(self, batch: SequenceBatch, noise: Noise, progress: Tensor) -> Loss:  # noqa: ARG002
        """The training loss of the module's docstring. Metrics: `reward_loss`, `continue_loss`.

        Raises:
            ValueError: the clips have no column after the context.
        """
        seen = self.spec.context
        if batch.mask.shape[1] <= seen:
            raise ValueError(f"clips of {batch.mask.shape[1]} columns leave none to forecast after {seen}")
        codes = self.encoder(scale_image(batch.image[:, :seen].flatten(0, 1)))
        codes = codes.view(-1, seen, self.frame_code)
        state = _as_after_reset(
            ContextState(codes, batch.action[:, :seen], batch.reward[:, :seen]), noise["reset"] < RESET_PART
        )
        reward, logit = self._roll(state, batch.action[:, seen:], noise)

        mask = batch.mask[:, seen:] * ~batch.first[:, seen:]
        terms = {"reward_loss": masked_mean(0.5 * (reward - batch.reward[:, seen:]).square(), mask)}
        total = self.weights.reward_scale * terms["reward_loss"]
        if logit is not None:
            goes_on = 1 - batch.terminal[:, seen:].float()
            entropy = F.binary_cross_entropy_with_logits(logit, goes_on, reduction="none")
            terms["continue_loss"] = masked_mean(entropy, mask)
            total = total + terms["continue_loss"]
        return Loss(total, {name: term.detach() for name, term in terms.items()})

    def _roll(
        self, state: ContextState, actions: Tensor, dropout: Noise | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Rewards [.., H] and, where predicted, logits of the continuation [.., H]."""
        between = self._encode_actions(state.actions[..., 1:, :])
        parts = [state.codes.flatten(-2), between.flatten(-2), state.rewards[..., 1:]]
        context = self.context(torch.cat(parts, -1))
        x = self._encode_actions(actions)
        for index, (layer, norm) in enumerate(zip(self.recurrent, self.norms, strict=True)):
            x = F.leaky_relu(norm(layer(x, context if index == 0 else None)), SLOPE)
        for index, layer in enumerate(self.head):
            x = layer(x)
            if index < len(self.heads):
                x = F.leaky_relu(x, SLOPE)
                if dropout is not None:
                    x = x * (dropout[f"dropout{index + 1}"] >= DROPOUT) / (1 - DROPOUT)
        x = x.float()
        return x[..., 0], x[..., 1] if self.spec.predict_continues else None

    def _encode_actions(self, actions: Tensor) -> Tensor:
        for layer in self.action_layers:
            actions = F.leaky_relu(layer(actions), SLOPE)
        return actions


def _check(spec: ModelSpec, design: ModelDesign) -> None:
    if design.options:
        raise ValueError(f"RewardPredictor has no options: {', '.join(design.options)}")
    if spec.predict_images:
        raise ValueError("RewardPredictor predicts rewards only")
    if spec.stochastic:
        raise ValueError("RewardPredictor has no stochastic form yet")
    if design.reward_from != "state" or design.reward_gradient != "shared":
        raise ValueError("RewardPredictor has one reward, from its state, whose gradient reaches all of it")


def _linear(widths: list[int]) -> nn.ModuleList:
    return nn.ModuleList([nn.Linear(i, o) for i, o in itertools.pairwise(widths)])


def _as_after_reset(state: ContextState, rows: Tensor) -> ContextState:
    """The contexts of `rows` bool[B] as `observe` fills them up at a reset: the last frame alone, and zeros."""
    row = rows[:, None]
    codes = torch.where(row[..., None], state.codes[:, -1:], state.codes)
    return ContextState(
        codes, state.actions.masked_fill(row[..., None], 0), state.rewards.masked_fill(row, 0)
    )


def _push(ring: Tensor, new: Tensor) -> Tensor:
    """[B, K, ...] without its oldest column and with `new` [B, ...] as its last."""
    return torch.cat([ring[:, 1:], new[:, None]], 1)
