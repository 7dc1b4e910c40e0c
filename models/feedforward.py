"""Rewards from the last frames and the actions to come without recurrence, and from the actions alone.

`FeedForward` is the feed-forward form of "pure_reward" in google-research/world_models, made causal. There the
actions of a whole plan are flattened into one vector, and one net gives all its rewards: a reward may depend
on later actions, and a horizon other than the trained one does not fit. Here step i sees the flattened vector
up to its own action, and all steps share what follows::

    code of action 1 --W_1--> +               + b_1 --> head --> reward of step 1
    code of action 2 --W_2--> + +             + b_2 --> head --> reward of step 2
    code of action 3 --W_3--> + + +           + b_3 --> head --> reward of step 3
    context ----------------> added to every step

    pre-activation of step i = V context + sum over j <= i of W_j code_j + b_i

It is a cumulative sum, so it costs what the flattened layer costs. There are as many W_j and b_i as a training
clip has columns beyond its context (`ModelDesign.forecast`): no forecast can be longer. It differs from the
reference in two more ways: each action has a code of its own, as in the recurrent form, where the reference
encodes the flattened actions to one code; and the last layer is one output for all steps, told apart by b_i.

`ActionsOnly` is the baseline "jax_pure_reward": a net of the step's own action, without a frame, a state, or a
memory of earlier actions, so any horizon fits. The reference planned with its initial weights for ever; this
one plans with those it has learnt. What it reaches, no knowledge of the state was needed for.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.context import ContextState, scored_columns
from models.pixel_rewards import (
    PixelRewards,
    check_rewards_only,
    linear_layers,
    outputs_of,
    reward_terms,
    split_outputs,
    weigh,
)
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


class FeedForward(PixelRewards):
    """Feed-forward reward predictor on frames and actions.

    Args:
        spec: what to predict; `context` is the number of columns it sees.
        design: how; of its loss weights only `reward_scale` is used. `forecast` is the longest horizon.

    Raises:
        ValueError: an unknown size, width or option, or something this design cannot predict.
    """

    version = 2

    def __init__(self, spec: ModelSpec, design: ModelDesign) -> None:
        self.limit = design.forecast
        super().__init__(spec, design, "feedforward")
        _check_deterministic(spec, design.variant)

    def build(self, sizes: Any, context: int) -> None:
        """See `PixelRewards.build`. The first layer starts as the flattened one would."""
        self.context = nn.Linear(context, sizes.head1, bias=False)
        self.weight = nn.Parameter(torch.empty(self.limit, sizes.action_code, sizes.head1))
        self.bias = nn.Parameter(torch.empty(self.limit, sizes.head1))
        bound = 1 / math.sqrt(context + self.limit * sizes.action_code)
        for parameter in (self.context.weight, self.weight, self.bias):
            nn.init.uniform_(parameter, -bound, bound)
        self.head = linear_layers([*self.heads, outputs_of(self.spec)])

    def draws(self, call: Call, lead: tuple[int, ...], steps: int = 1) -> dict[str, Draw]:
        """Noise of the loss, uniform: dropout per unit of the head's two hidden layers, and `reset` per clip."""
        if call != "loss":
            return {}
        draws = self.dropout_draws((*lead, steps - self.spec.context))
        return draws | {"reset": Draw(lead, "uniform")}

    def predict(self, state: ContextState, actions: Tensor, noise: Noise, *, decode: bool) -> Forecast:  # noqa: ARG002
        """Rewards of actions [.., H, A]; takes no noise and has no images to decode.

        Raises:
            ValueError: more steps than `ModelDesign.forecast`.
        """
        reward, logit = self.roll(state, actions, None)
        return Forecast(reward, None, None if logit is None else logit.sigmoid())

    def loss(self, batch: SequenceBatch, noise: Noise, progress: Tensor) -> Loss:  # noqa: ARG002
        """The training loss of `models.pixel_rewards`. Metrics: `reward_loss`, `continue_loss`.

        Raises:
            ValueError: the clips have no column after the context, or more than `ModelDesign.forecast`.
        """
        seen = self.spec.context
        mask = scored_columns(batch, seen)
        state = self.context_of_clips(batch, noise["reset"])
        return _loss(self.roll(state, batch.action[:, seen:], noise), batch, mask, self.weights.reward_scale)

    def roll(self, state: ContextState, actions: Tensor, noise: Noise | None) -> tuple[Tensor, Tensor | None]:
        """Rewards [.., H] and, where predicted, logits of the continuation [.., H]; noise is for dropout."""
        steps = actions.shape[-2]
        if steps > self.limit:
            raise ValueError(
                f"a forecast of {steps} steps: the feedforward form has weights for {self.limit}, "
                "the columns of a training clip beyond its context (train.forecast)"
            )
        context = self.context(self.encode_context(state))
        parts = torch.einsum("...hc,hcu->...hu", self.encode_actions(actions), self.weight[:steps])
        x = context[..., None, :] + parts.float().cumsum(-2) + self.bias[:steps]
        return self.read(x, self.head, noise)


class ActionsState(NamedTuple):
    """Nothing but the number of rows."""

    rows: Tensor  # f32[.., 0]


class ActionsOnly(nn.Module):
    """Reward predictor that sees the step's own action and nothing else.

    Args:
        spec: what to predict; the columns of `context` are not seen, and not scored either, as in other designs.
        design: how; of its loss weights only `reward_scale` is used.

    Raises:
        ValueError: an unknown size, width or option, or something this design cannot predict.
    """

    version = 1

    def __init__(self, spec: ModelSpec, design: ModelDesign) -> None:
        super().__init__()
        sizes = sizes_for("actions", design.size, design.widths)
        check_rewards_only(spec, design, type(self).__name__)
        _check_deterministic(spec, design.variant)
        if design.blind_inputs:
            raise ValueError("the actions form sees no frames, so blind_inputs has no place")
        self.spec, self.weights = spec, design.weights
        widths = [sizes.units] * (sizes.layers + 1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(design.seed)
            self.embedding = nn.Linear(spec.action_dim, sizes.units)
            self.layers = linear_layers(widths)
            self.norms = nn.ModuleList([nn.LayerNorm(sizes.units) for _ in self.layers])
            self.head = nn.Linear(sizes.units, outputs_of(spec))

    def draws(self, call: Call, lead: tuple[int, ...], steps: int = 1) -> dict[str, Draw]:  # noqa: ARG002
        """No call needs noise."""
        return {}

    def initial(self, batch: int) -> ActionsState:
        """Rows of no width."""
        return ActionsState(self.head.weight.new_zeros(batch, 0))

    def observe(self, state: ActionsState, obs: Observation, noise: Noise) -> ActionsState:  # noqa: ARG002
        """Takes nothing in."""
        return state

    def expand(self, state: ActionsState, candidates: int) -> ActionsState:
        """[B, 0] to [B, C, 0]."""
        expanded: ActionsState = expand_rows(state, candidates)
        return expanded

    def predict(self, state: ActionsState, actions: Tensor, noise: Noise, *, decode: bool) -> Forecast:  # noqa: ARG002
        """Rewards of actions [.., H, A], whatever the state; takes no noise and has no images to decode."""
        reward, logit = self.roll(actions)
        return Forecast(reward, None, None if logit is None else logit.sigmoid())

    def loss(self, batch: SequenceBatch, noise: Noise, progress: Tensor) -> Loss:  # noqa: ARG002
        """The training loss of `models.pixel_rewards`. Metrics: `reward_loss`, `continue_loss`.

        Raises:
            ValueError: the clips have no column after the context.
        """
        seen = self.spec.context
        mask = scored_columns(batch, seen)
        return _loss(self.roll(batch.action[:, seen:]), batch, mask, self.weights.reward_scale)

    def roll(self, actions: Tensor) -> tuple[Tensor, Tensor | None]:
        """Rewards [..] and, where predicted, logits of the continuation [..] of actions [.., A]."""
        x = self.embedding(actions)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = F.relu(norm(layer(x)))
        return split_outputs(self.head(x), self.spec)


def _check_deterministic(spec: ModelSpec, variant: str) -> None:
    if spec.stochastic:
        raise ValueError(
            f"model.variant {variant} has no stochastic form; write dynamics: deterministic, or variant: standard"
        )


def _loss(
    outputs: tuple[Tensor, Tensor | None], batch: SequenceBatch, mask: Tensor, reward_scale: float
) -> Loss:
    """The loss of a deterministic form."""
    terms = reward_terms(*outputs, batch, mask)
    return Loss(weigh(terms, reward_scale), {name: term.detach() for name, term in terms.items()})
