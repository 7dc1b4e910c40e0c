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
bound of a clip per scored column, with weights::

    reward_scale * 1/2 squared reward error + kl_scale * KL(q || N(0, I)) / scored columns

In it z has seen the rewards, and may stand for what the frames and actions tell. So that these are read, as in use,
there is an open-loop term of two more futures, whose z_1 and z_2 are independent draws of N(0, I)::

    + open_loop_weight * reward_scale * 1/2 (r_1 - y) (r_2 - y)

an unbiased estimate of half the squared error of the mean forecast (`models.distributions.squared_error_of_mean`),
which leaves the spread of the futures free. The deterministic form has no such term: its loss is open loop.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.context import ContextState, scored_columns
from models.distributions import Gaussian, masked_mean, squared_error_of_mean
from models.latents import clip_kl, clip_posterior, per_column
from models.networks import LSTM
from models.pixel_rewards import SLOPE, PixelRewards, linear_layers, outputs_of, reward_terms, weigh
from models.types import Call, Draw, Forecast, Loss, ModelDesign, ModelSpec, Noise, SequenceBatch

FUTURES = 2
"""Draws of N(0, I) per clip in the open-loop term: the least that tell a mean's error from the spread."""


class RewardPredictor(PixelRewards):
    """Recurrent reward predictor on frames and actions.

    Args:
        spec: what to predict; `context` is the number of columns it sees.
        design: how; of its loss weights only `reward_scale` is used and, if stochastic, `kl_scale` and
            `open_loop_weight`.

    Raises:
        ValueError: an unknown size, width or option, or something this design cannot predict.
    """

    version = 2

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
        self.has_futures = self.spec.stochastic and self.weights.open_loop_weight > 0
        if self.spec.stochastic:
            self.latent = nn.Linear(sizes.latent, 4 * sizes.lstm1, bias=False)
            self.inference = Inference(
                context, sizes.action_code + outputs_of(self.spec), sizes.inference, sizes.latent
            )

    def draws(self, call: Call, lead: tuple[int, ...], steps: int = 1) -> dict[str, Draw]:
        """Noise of a call (`models.types.WorldModel.draws`).

        `latent` is the standard normal draw of z, one for all steps. The loss further needs `futures`, two draws
        of z for the open-loop term, and, uniform, `reset` per clip and `dropout1` and `dropout2` per unit of the
        head's two hidden layers, where there are futures for each of the three.
        """
        if call == "observe":
            return {}
        draws = {"latent": Draw((*lead, self.latent_width))} if self.spec.stochastic else {}
        if call == "loss":
            rows = lead
            if self.has_futures:
                draws["futures"] = Draw((*lead, FUTURES, self.latent_width))
                rows = (*lead, 1 + FUTURES)
            draws |= self.dropout_draws((*rows, steps - self.spec.context))
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

        Metrics, before weighting: `reward_loss`, `continue_loss`, `kl` in nats per scored column, and
        `open_loop_reward_loss`, `open_loop_continue_loss` of the open-loop term.

        Raises:
            ValueError: the clips have no column after the context.
        """
        seen = self.spec.context
        mask = scored_columns(batch, seen)
        context = self.encode_context(self.context_of_clips(batch, noise["reset"]))
        actions = self.encode_actions(batch.action[:, seen:])
        if not self.spec.stochastic:
            terms = reward_terms(*self.roll(context, actions, None, noise), batch, mask)
            return _loss(weigh(terms, self.weights.reward_scale), terms)
        posterior = self.infer(context, actions, batch, mask)
        latent = posterior.sample(noise["latent"])
        ahead: dict[str, Tensor] = {}
        if self.has_futures:
            latent = torch.cat([latent[:, None], noise["futures"]], 1)
            reward, logit = self.roll(context[:, None], actions[:, None], latent, noise)
            ahead = _open_loop_terms(reward[:, 1:], None if logit is None else logit[:, 1:], batch, mask)
            reward, logit = reward[:, 0], None if logit is None else logit[:, 0]
        else:
            reward, logit = self.roll(context, actions, latent, noise)
        terms = reward_terms(reward, logit, batch, mask)
        terms["kl"] = per_column(clip_kl(posterior), mask)
        total = weigh(terms, self.weights.reward_scale) + self.weights.kl_scale * terms["kl"]
        if ahead:
            total = total + self.weights.open_loop_weight * weigh(ahead, self.weights.reward_scale)
        return _loss(total, terms | {f"open_loop_{name}": term for name, term in ahead.items()})

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
            context: [.., X], encoded; its and the actions' leading dimensions broadcast to the latent's.
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


def _open_loop_terms(
    reward: Tensor, logit: Tensor | None, batch: SequenceBatch, mask: Tensor
) -> dict[str, Tensor]:
    """`models.pixel_rewards.reward_terms` of the futures [B, FUTURES, H]: of the mean reward, per future of the end."""
    seen = batch.mask.shape[1] - mask.shape[1]
    errors = reward - batch.reward[:, None, seen:]
    terms = {"reward_loss": masked_mean(0.5 * squared_error_of_mean(errors.movedim(1, 0)), mask)}
    if logit is not None:
        goes_on = 1 - batch.terminal[:, None, seen:].float()
        entropy = F.binary_cross_entropy_with_logits(logit, goes_on.expand_as(logit), reduction="none")
        terms["continue_loss"] = masked_mean(entropy.mean(1), mask)
    return terms


def _loss(total: Tensor, terms: dict[str, Tensor]) -> Loss:
    return Loss(total, {name: term.detach() for name, term in terms.items()})


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
