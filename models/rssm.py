"""The recurrent state-space model (PlaNet, arXiv 1811.04551) in its four latent corners.

Rewards, and images if the design predicts them, are read from a belief that filters the whole history; its
dynamics are stochastic or deterministic (`models.dynamics`). The loss, averaged over the columns that exist::

    image_scale * 1/2 squared image error      summed over pixels and channels, images in [-0.5, 0.5]
    + reward_scale * 1/2 squared reward error  not in reset columns
    + kl_scale * max(free_nats, KL(posterior || prior))                           stochastic dynamics only
    + cross entropy of the continuation                                           if the design predicts it
    + open_loop_weight * (the same image, reward and continuation terms of an open-loop forecast)

With image_scale 1, reward_scale 10, kl_scale 1, free_nats 3 and open_loop_weight 0 this is PlaNet's loss up
to constants. The open-loop forecast starts at a column k drawn per clip::

    column     0 ... k-1    k ... T-1
    belief     posterior    forecast from the posterior of k-1, scored against columns k ... T-1

Of its frames a quarter of the columns, drawn per clip, is decoded, with weights that keep the term unbiased.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.distributions import Gaussian, kl_divergence, masked_mean
from models.dynamics import Cell, DeterministicCell, RSSMState, StochasticCell
from models.networks import MLP, ConvDecoder, ConvEncoder, scale_image
from models.regions import image_region
from models.sizes import sizes_for
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

DECODED_PART = 4
"""One column in so many of an open-loop forecast is decoded in training."""


class Track(NamedTuple):
    """What the scan over a batch of clips leaves."""

    closed: Tensor  # [B, T, F]: features of the beliefs that saw every column up to theirs
    open: Tensor | None  # [B, T, F]: features of the forecast, meaningful from column k on
    hidden: Tensor  # [B, T, D]: recurrent states before their column was seen
    posterior: Gaussian | None  # [B, T, S]


class RSSM(nn.Module):
    """Recurrent state-space model with a reward head and, if images are predicted, a decoder.

    Args:
        spec: what to predict, from what.
        design: how.

    Raises:
        ValueError: an unknown size, width or option, a reward gradient that is not available, or image sides
            that the networks do not take.
    """

    version = 1
    mask: Tensor | None

    def __init__(self, spec: ModelSpec, design: ModelDesign) -> None:
        super().__init__()
        sizes = sizes_for("rssm", design.size, design.widths)
        _check(spec, design)
        self.spec, self.weights = spec, design.weights
        self.stop_reward_gradient = design.reward_gradient == "stopped"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(design.seed)
            self.encoder = ConvEncoder(spec.image_shape, sizes.encoder_channels)
            inputs = (
                self.encoder.features,
                spec.action_dim,
                sizes.deterministic,
                sizes.stochastic,
                sizes.units,
            )
            self.cell: Cell = (
                StochasticCell(*inputs)
                if spec.stochastic
                else DeterministicCell(*inputs, correction=sizes.correction_units)
            )
            features = sum(self.cell.widths)
            hidden = [sizes.reward_units] * sizes.reward_layers
            self.reward = MLP(features, hidden, 1)
            self.continues = MLP(features, hidden, 1) if spec.predict_continues else None
            self.decoder = (
                ConvDecoder(features, sizes.decoder_code, sizes.decoder_channels, spec.image_shape)
                if spec.predict_images
                else None
            )
        whole = not spec.predict_images or design.image_fraction >= 1
        region = (
            None if whole else image_region(*spec.image_shape[1:], design.image_fraction, design.region_seed)
        )
        self.register_buffer("mask", region, persistent=False)

    def draws(self, call: Call, lead: tuple[int, ...], steps: int = 1) -> dict[str, Draw]:
        """Noise of a call (`models.types.WorldModel.draws`).

        `posterior` and `prior` are the standard normal draws of the stochastic state. The loss further needs
        `split` (where each clip's forecast starts) and `frames` (which of its columns are decoded).
        """
        stochastic = self.cell.widths.stochastic
        if call == "observe":
            return {"posterior": Draw((*lead, stochastic))} if stochastic else {}
        if call == "predict":
            return {"prior": Draw((*lead, steps, stochastic))} if stochastic else {}
        draws = {"posterior": Draw((*lead, steps, stochastic))} if stochastic else {}
        if self.weights.open_loop_weight:
            draws["split"] = Draw(lead, "uniform")
            if stochastic:
                draws["prior"] = Draw((*lead, steps, stochastic))
            if self.decoder is not None:
                draws["frames"] = Draw((*lead, steps), "uniform")
        return draws

    def initial(self, batch: int) -> RSSMState:
        """The belief before anything was observed: zeros [B, ...]."""
        like = next(self.reward.parameters())
        return RSSMState(*(like.new_zeros(batch, width) for width in self.cell.widths))

    def observe(self, state: RSSMState, obs: Observation, noise: Noise) -> RSSMState:
        """Takes in one column; rows with `first` start from the initial belief and a zero action."""
        first = obs.first[:, None]
        state = RSSMState(*(part.masked_fill(first, 0) for part in state))
        hidden = self.cell.advance(state, obs.action.masked_fill(first, 0))
        code = self.cell.code(self.encoder(scale_image(obs.image)))
        return self.cell.correct(hidden, code, noise.get("posterior"))[0]

    def expand(self, state: RSSMState, candidates: int) -> RSSMState:
        """[B, ...] to views [B, C, ...]."""
        return RSSMState(*(part[:, None].expand(-1, candidates, -1) for part in state))

    def predict(self, state: RSSMState, actions: Tensor, noise: Noise, *, decode: bool) -> Forecast:
        """Rolls out open loop over actions [.., H, A]; see `models.types.WorldModel.predict`."""
        features = self.imagine(state, actions, noise)
        reward = self.reward(features).squeeze(-1).float().movedim(0, -1)
        continues = None
        if self.continues is not None:
            continues = self.continues(features).squeeze(-1).float().sigmoid().movedim(0, -1)
        image = None
        if decode and self.decoder is not None:
            features = features.movedim(0, -2)
            image = (self.decoder(features.flatten(0, -2)).float() + 0.5).clamp(0, 1)
            image = image.unflatten(0, features.shape[:-1])
        return Forecast(reward, image, continues)

    def imagine(self, state: RSSMState, actions: Tensor, noise: Noise) -> Tensor:
        """Features [H, .., F] of the open-loop forecast over actions [.., H, A]."""
        prior = noise.get("prior")
        features = []
        for step in range(actions.shape[-2]):
            hidden = self.cell.advance(state, actions[..., step, :])
            state = self.cell.forecast(hidden, None if prior is None else prior[..., step, :])
            features.append(state.features)
        return torch.stack(features)

    def loss(self, batch: SequenceBatch, noise: Noise, progress: Tensor) -> Loss:  # noqa: ARG002
        """The training loss of the module's docstring.

        Metrics, before weighting: `image_loss`, `reward_loss`, `kl` (without free nats), `continue_loss`,
        `open_loop_image_loss`, `open_loop_reward_loss`, `open_loop_continue_loss` where there are such terms;
        `image_loss_full` and `open_loop_image_loss_full` over the whole image where only a part is trained.
        """
        images = scale_image(batch.image.flatten(0, 1))
        codes = self.cell.code(self.encoder(images)).unflatten(0, batch.mask.shape)
        split = _split(batch.mask, noise["split"]) if self.weights.open_loop_weight else None
        track = self.scan(codes, batch.action, noise, split)

        terms = self._head_terms(track.closed, batch, batch.mask)
        if self.decoder is not None:
            errors = self._image_errors(track.closed.flatten(0, 1), images)
            terms |= {name: masked_mean(e.view_as(batch.mask), batch.mask) for name, e in errors.items()}
        total = self._weigh(terms)
        prior = self.cell.prior(track.hidden)
        if track.posterior is not None and prior is not None:
            kl = kl_divergence(track.posterior, prior)
            terms["kl"] = masked_mean(kl, batch.mask)
            total = total + self.weights.kl_scale * masked_mean(
                kl.clamp(min=self.weights.free_nats), batch.mask
            )
        if split is not None and track.open is not None:
            forecast = self._open_loop_terms(track.open, images, batch, split, noise)
            total = total + self.weights.open_loop_weight * self._weigh(forecast)
            terms |= {f"open_loop_{name}": term for name, term in forecast.items()}
        return Loss(total, {name: term.detach() for name, term in terms.items()})

    def scan(self, codes: Tensor, actions: Tensor, noise: Noise, split: Tensor | None) -> Track:
        """Filters clips, and forecasts each from column `split` [B] on in the same scan, unless it is None.

        Args:
            codes: [B, T, units], of the frames.
            actions: [B, T, A].
            noise: of the loss.
            split: integers in 1 .. T - 1, or None.
        """
        posterior, prior = noise.get("posterior"), noise.get("prior")
        state = ahead = self.initial(codes.shape[0])
        closed, opened, hiddens, posteriors = [], [], [], []
        for t in range(codes.shape[1]):
            action = actions[:, t]
            if split is None or t == 0:
                hidden = self.cell.advance(state, action)
            else:  # the filter and the forecast move as one batch of 2 B rows
                start = (split >= t)[:, None]  # the column before is still observed
                origin = [torch.where(start, left, right) for left, right in zip(state, ahead, strict=True)]
                rows = RSSMState(*(torch.cat(pair) for pair in zip(state, origin, strict=True)))
                hidden, ahead_hidden = self.cell.advance(rows, torch.cat([action, action])).chunk(2)
                ahead = self.cell.forecast(ahead_hidden, None if prior is None else prior[:, t])
            state, gaussian = self.cell.correct(
                hidden, codes[:, t], None if posterior is None else posterior[:, t]
            )
            if t == 0:
                ahead = state
            closed.append(state.features)
            opened.append(ahead.features)
            hiddens.append(hidden)
            if gaussian is not None:
                posteriors.append(gaussian)
        stacked = None
        if posteriors:
            stacked = Gaussian(*(torch.stack(part, 1) for part in zip(*posteriors, strict=True)))
        ahead_features = None if split is None else torch.stack(opened, 1)
        return Track(torch.stack(closed, 1), ahead_features, torch.stack(hiddens, 1), stacked)

    def _head_terms(self, features: Tensor, batch: SequenceBatch, mask: Tensor) -> dict[str, Tensor]:
        """Reward and continuation terms of features [B, T, F] over the columns of `mask`, less the resets."""
        mask = mask * ~batch.first
        read = features.detach() if self.stop_reward_gradient else features
        error = self.reward(read).squeeze(-1).float() - batch.reward
        terms = {"reward_loss": masked_mean(0.5 * error.square(), mask)}
        if self.continues is not None:
            logit = self.continues(features).squeeze(-1).float()
            entropy = F.binary_cross_entropy_with_logits(logit, 1 - batch.terminal.float(), reduction="none")
            terms["continue_loss"] = masked_mean(entropy, mask)
        return terms

    def _image_errors(self, features: Tensor, images: Tensor) -> dict[str, Tensor]:
        """Half the squared error of the decoded features [N, F] against images [N, 3, h, w], by term: [N]."""
        assert self.decoder is not None
        squared = (self.decoder(features).float() - images).square()
        if self.mask is None:
            return {"image_loss": 0.5 * squared.sum((1, 2, 3))}
        full = squared.sum(1)
        return {"image_loss": 0.5 * (full * self.mask).sum((1, 2)), "image_loss_full": 0.5 * full.sum((1, 2))}

    def _open_loop_terms(
        self, features: Tensor, images: Tensor, batch: SequenceBatch, split: Tensor, noise: Noise
    ) -> dict[str, Tensor]:
        """The terms of a forecast [B, T, F] that starts at column `split`, means over its columns."""
        length = features.shape[1]
        ahead = torch.arange(length, device=split.device) >= split[:, None]
        mask = batch.mask * ahead
        terms = self._head_terms(features, batch, mask)
        if self.decoder is not None:
            columns, weight = _some_columns(mask, noise["frames"])
            rows = columns + length * torch.arange(len(columns), device=columns.device)[:, None]
            rows = rows.flatten()
            errors = self._image_errors(features.flatten(0, 1)[rows], images[rows])
            total = mask.sum().clamp(min=1)
            terms |= {name: (error.view_as(weight) * weight).sum() / total for name, error in errors.items()}
        return terms

    def _weigh(self, terms: dict[str, Tensor]) -> Tensor:
        total = self.weights.reward_scale * terms["reward_loss"]
        if "image_loss" in terms:
            total = total + self.weights.image_scale * terms["image_loss"]
        return total + terms["continue_loss"] if "continue_loss" in terms else total


def _check(spec: ModelSpec, design: ModelDesign) -> None:
    if design.options:
        raise ValueError(f"RSSM has no options: {', '.join(design.options)}")
    if design.reward_from != "state":
        raise ValueError(f"reward_from {design.reward_from} does not exist yet")
    if design.reward_gradient not in {"shared", "stopped"}:
        raise ValueError(f"no reward_gradient {design.reward_gradient}; there are shared, stopped")
    if design.reward_gradient == "stopped" and not spec.predict_images:
        raise ValueError(
            "reward_gradient stopped leaves a design that predicts rewards only nothing to learn from"
        )


def _split(mask: Tensor, uniform: Tensor) -> Tensor:
    """The first column of each clip's forecast: uniform over 1 .. length - 1, from a uniform draw [B]."""
    length = mask.sum(1)
    return 1 + (uniform * (length - 1)).floor().clamp(max=length - 2).clamp(min=0).long()


def _some_columns(mask: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Columns [B, n] drawn without replacement among those of `mask` [B, T], and their weights [B, n].

    n is T / 4, rounded up. The weighted sum over the drawn columns is an unbiased estimate of the sum over
    all of `mask`: a column drawn outside it, when it has fewer than n, weighs nothing.
    """
    count = math.ceil(mask.shape[1] / DECODED_PART)
    order, columns = torch.where(mask > 0, uniform, -1.0).topk(count, dim=1)
    available = mask.sum(1, keepdim=True)
    drawn = (order >= 0).float()
    return columns, drawn * available / drawn.sum(1, keepdim=True).clamp(min=1)
