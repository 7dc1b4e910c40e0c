"""Rewards from the last frames and the actions to come, by a recurrent net, without dynamics.

::

    context (`models.pixel_rewards`) --+--> the same at every step --+
    z, one draw of N(0, I) per forecast -+  (stochastic form alone)  +--> 3 LSTMs -> reward of step i
    code of the action of step i ------------------------------------+

The deterministic form with a context of 1 is the recurrent form of "pure_reward" in google-research/world_models.

The stochastic form is a conditional variational autoencoder (arXiv 1312.6114) of a clip's rewards, after the
latent of SV2P (arXiv 1710.11252): z is constant over a forecast, N(0, I) in use, and inferred in training by a
recurrent net over what the clip shows::

    context -----------------------------------+
    code of the action, reward of column K ... +--> LSTM, its output at the clip's last column --> q(z | clip)

It does not see the frames after the context: given the actions and rewards they say nothing about z, because
this model generates rewards alone, so they could not tighten the bound. The loss is the negative evidence lower
bound of a clip per scored column, with weights and free nats::

    reward_scale * 1/2 squared reward error + kl_scale * max(free_nats, KL(q || N(0, I))) / scored columns
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.context import ContextState, scored_columns
from models.distributions import Gaussian
from models.latents import clip_kl, clip_posterior, per_column
from models.networks import LSTM
from models.pixel_rewards import SLOPE, PixelRewards, linear_layers, outputs_of, reward_terms
from models.types import Call, Draw, Forecast, Loss, ModelDesign, ModelSpec, Noise, SequenceBatch


class RewardPredictor(PixelRewards):
    """Recurrent reward predictor on frames and actions.

    Args:
        spec: what to predict; `context` is the number of columns it sees.
        design: how; of its loss weights only `reward_scale` is used and, if stochastic, `kl_scale` and `free_nats`.

    Raises:
        ValueError: an unknown size, width or option, or something this design cannot predict.
    """

    version = 1

    def __init__(self, spec: ModelSpec, design: ModelDesign) -> None:
        super().__init__(spec, design, "reward_predictor")

    def build(self, sizes: Any, context: int) -> None:
        """See `PixelRewards.build`."""
        recurrent = [sizes.lstm1, sizes.lstm2, sizes.lstm3]
        self.context = nn.Linear(context, 4 * sizes.lstm1, bias=False)
        inputs = [sizes.action_code, *recurrent[:-1]]
        self.recurrent = nn.ModuleList([LSTM(i, o) for i, o in zip(inputs, recurrent, strict=True)])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for width in recurrent])
        self.head = linear_layers([recurrent[-1], *self.heads, outputs_of(self.spec)])
        self.latent_width = sizes.latent if self.spec.stochastic else 0
        if self.spec.stochastic:
            self.latent = nn.Linear(sizes.latent, 4 * sizes.lstm1, bias=False)
            self.inference = Inference(
                context, sizes.action_code + outputs_of(self.spec), sizes.inference, sizes.latent
            )

    def draws(self, call: Call, lead: tuple[int, ...], steps: int = 1) -> dict[str, Draw]:
        """Noise of a call (`models.types.WorldModel.draws`).

        `latent` is the standard normal draw of z, one for all steps. The loss further needs, uniform, dropout
        per unit of the head's two hidden layers, and `reset` per clip.
        """
        if call == "observe":
            return {}
        draws = {"latent": Draw((*lead, self.latent_width))} if self.spec.stochastic else {}
        if call == "loss":
            ahead = steps - self.spec.context
            for index, width in enumerate(self.heads, start=1):
                draws[f"dropout{index}"] = Draw((*lead, ahead, width), "uniform")
            draws["reset"] = Draw(lead, "uniform")
        return draws

    def predict(self, state: ContextState, actions: Tensor, noise: Noise, *, decode: bool) -> Forecast:  # noqa: ARG002
        """Rewards of actions [.., H, A]; there are no images to decode."""
        reward, logit = self.roll(
            self.encode_context(state), self.encode_actions(actions), noise.get("latent"), None
        )
        return Forecast(reward, None, None if logit is None else logit.sigmoid())

    def loss(self, batch: SequenceBatch, noise: Noise, progress: Tensor) -> Loss:  # noqa: ARG002
        """The training loss of the module's docstring.

        Metrics, before weighting: `reward_loss`, `continue_loss`, and `kl`, in nats per scored column without
        free nats.

        Raises:
            ValueError: the clips have no column after the context.
        """
        seen = self.spec.context
        mask = scored_columns(batch, seen)
        context = self.encode_context(self.context_of_clips(batch, noise["reset"]))
        actions = self.encode_actions(batch.action[:, seen:])
        posterior = self.infer(context, actions, batch, mask) if self.spec.stochastic else None
        latent = None if posterior is None else posterior.sample(noise["latent"])
        terms = reward_terms(*self.roll(context, actions, latent, noise), batch, mask)
        total = self.weights.reward_scale * terms["reward_loss"]
        if "continue_loss" in terms:
            total = total + terms["continue_loss"]
        if posterior is not None:
            kl = clip_kl(posterior)
            terms["kl"] = per_column(kl, mask)
            total = total + self.weights.kl_scale * per_column(kl, mask, self.weights.free_nats)
        return Loss(total, {name: term.detach() for name, term in terms.items()})

    def infer(self, context: Tensor, actions: Tensor, batch: SequenceBatch, mask: Tensor) -> Gaussian:
        """The posterior of z [B, latent] given clips.

        Args:
            context: [B, X], encoded.
            actions: codes [B, H, action_code] of the columns after the context.
            batch: the clips, of which rewards and, where predicted, ends are read.
            mask: [B, H], 1 where a column is scored.
        """
        seen = self.spec.context
        shown = [actions, batch.reward[:, seen:, None]]
        if self.spec.predict_continues:
            shown.append(batch.terminal[:, seen:, None].float())
        posterior: Gaussian = self.inference(context, torch.cat(shown, -1), mask)
        return posterior

    def roll(
        self, context: Tensor, actions: Tensor, latent: Tensor | None, noise: Noise | None
    ) -> tuple[Tensor, Tensor | None]:
        """Rewards [.., H] and, where predicted, logits of the continuation [.., H].

        Args:
            context: [.., X], encoded.
            actions: codes [.., H, action_code].
            latent: z [.., latent], or None in the deterministic form.
            noise: of the loss, for dropout; None in use.
        """
        offset = self.context(context)
        if latent is not None:
            offset = offset + self.latent(latent)
        x = actions
        for index, (layer, norm) in enumerate(zip(self.recurrent, self.norms, strict=True)):
            x = F.leaky_relu(norm(layer(x, offset if index == 0 else None)), SLOPE)
        return self.read(self.head[0](x), self.head[1:], noise)


class Inference(nn.Module):
    """The posterior of a clip's latent, from its context and the columns that follow.

    Args:
        context: width of the encoded context.
        column: of what a column shows.
        width: of the recurrent layer.
        latent: of z.
    """

    def __init__(self, context: int, column: int, width: int, latent: int) -> None:
        super().__init__()
        self.context = nn.Linear(context, 4 * width, bias=False)
        self.recurrent = LSTM(column, width)
        self.posterior = nn.Linear(width, 2 * latent)

    def forward(self, context: Tensor, columns: Tensor, mask: Tensor) -> Gaussian:
        """The posterior over [B, latent]; columns after a clip's last scored one play no part.

        Args:
            context: [B, X].
            columns: [B, H, column].
            mask: [B, H], ones and then zeros. A clip of zeros has the posterior of an empty clip.
        """
        outputs = self.recurrent(columns, self.context(context))
        is_last = mask - F.pad(mask[:, 1:], (0, 1))
        last = (outputs * is_last[..., None]).sum(1)
        return clip_posterior(*self.posterior(last).chunk(2, -1))
