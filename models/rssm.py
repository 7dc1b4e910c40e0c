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

Stochastic dynamics may make N = `open_loop_futures` independent forecasts of each clip. With one, every future is
scored, and the term is least where all futures are the mean: both futures of a fork are blurred into one, and the
noise of a forecast is small. With more, their errors give the squared error of the mean forecast without bias
(`models.distributions.squared_error_of_mean`): futures may differ, and as `free_nats` leave their spread unpriced, a
plan needs more particles. On the point mass, with one particle and no images, two futures earned 5 where one earned 28.

Of a forecast's frames a quarter of the columns, drawn per clip, is decoded, with weights that keep the term unbiased;
all of them where the reward is read from the decoded frames (`models.rewnet`) instead of the belief.

With `reward_gradient: stopped` the reward's gradient ends at the belief, or at the decoded frames. The
continuation is read from the belief all the same, and its gradient trains it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.columns import forecast_starts, some_rows
from models.distributions import kl_divergence, masked_mean, squared_error_of_mean
from models.dynamics import Cell, DeterministicCell, RSSMState, StochasticCell
from models.filtering import nothing_seen, restart, scan
from models.networks import MLP, ConvDecoder, ConvEncoder, scale_image
from models.regions import image_region
from models.rewnet import FrameState, ImageReward
from models.sizes import RSSMSizes, sizes_for
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


class Clips(NamedTuple):
    """A training batch, and what the heads need of its frames."""

    batch: SequenceBatch
    images: Tensor  # f32[B T, 3, h, w] in [-0.5, 0.5]
    codes: Tensor | None  # f32[B, T, code]: as the net that reads rewards from frames encodes them


class RSSM(nn.Module):
    """Recurrent state-space model with a reward head and, if images are predicted, a decoder.

    Its state is an `RSSMState`, or a `FrameState` around one if rewards are read from frames.

    Args:
        spec: what to predict, from what.
        design: how.

    Raises:
        ValueError: an unknown size, width or option, a combination that makes no sense, or image sides that the
            networks do not take.
    """

    version = 1
    window: int | None = None
    """Columns after which the filter starts anew; None: it never does."""
    mask: Tensor | None

    def __init__(self, spec: ModelSpec, design: ModelDesign) -> None:
        super().__init__()
        sizes = sizes_for("rssm", design.size, design.widths)
        _check(spec, design)
        self.spec, self.weights = spec, design.weights
        self.futures = design.open_loop_futures
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
            self.reward = self._reward_head(features, hidden, sizes, design)
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

    def _reward_head(
        self, features: int, hidden: list[int], sizes: RSSMSizes, design: ModelDesign
    ) -> MLP | ImageReward | None:
        if not self.spec.predict_rewards:
            return None
        if design.reward_from == "image":
            return ImageReward(self.spec, sizes, leaking=design.leaking_reward)
        return MLP(features, hidden, 1)

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
                draws["prior"] = Draw((*lead, self.futures, steps, stochastic))
            if self.decoder is not None and not isinstance(self.reward, ImageReward):
                draws["frames"] = Draw((*lead, steps), "uniform")
        return draws

    def initial(self, batch: int) -> Any:
        """The state before anything was observed: zeros [B, ...]."""
        belief = nothing_seen(self.cell, batch)
        return self.reward.initial(belief) if isinstance(self.reward, ImageReward) else belief

    def observe(self, state: Any, obs: Observation, noise: Noise) -> Any:
        """Takes in one column; rows with `first` start from the initial belief and a zero action."""
        images = scale_image(obs.image)
        belief, action = restart(_belief(state), obs.action, obs.first)
        hidden = self.cell.advance(belief, action)
        belief, _ = self.cell.correct(hidden, self.cell.code(self.encoder(images)), noise.get("posterior"))
        return self.remember(belief, images, obs)

    def remember(self, belief: RSSMState, images: Tensor, obs: Observation) -> RSSMState | FrameState:
        """The state of a belief that has seen `obs`, whose images are f32[B, 3, h, w] in [-0.5, 0.5]."""
        if isinstance(self.reward, ImageReward):
            return self.reward.remember(belief, images, obs.reward.masked_fill(obs.first, 0))
        return belief

    def expand(self, state: Any, candidates: int) -> Any:
        """[B, ...] to views [B, C, ...]."""
        return expand_rows(state, candidates)

    def predict(self, state: Any, actions: Tensor, noise: Noise, *, decode: bool) -> Forecast:
        """Rolls out open loop over actions [.., H, A]; see `models.types.WorldModel.predict`.

        Rewards that are read from frames have them decoded whatever `decode` says.
        """
        features = self.imagine(_belief(state), actions, noise)
        image = continues = None
        if isinstance(self.reward, ImageReward):
            codes, image = self._decode_and_see(features, self.reward, keep=decode)
            reward = self.reward.forecast(state, codes, actions)
        else:
            if self.reward is None:
                reward = features.new_zeros(features.shape[:-1]).movedim(0, -1)
            else:
                reward = self.reward(features).squeeze(-1).float().movedim(0, -1)
            if decode and self.decoder is not None:
                image = _shown(self._decode(features.movedim(0, -2)))
        if self.continues is not None:
            continues = self.continues(features).squeeze(-1).float().sigmoid().movedim(0, -1)
        return Forecast(reward, image, continues)

    def _decode_and_see(
        self, features: Tensor, reward: ImageReward, *, keep: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Codes [H, .., code] of the frames that features [H, .., F] decode to, and the images if kept.

        One step after the other: the frames of all candidates and steps at once would fill the memory.
        """
        codes, images = [], []
        for step in features:
            frames = self._decode(step)
            codes.append(reward.see(frames.flatten(0, -4)).view(*step.shape[:-1], -1))
            if keep:
                images.append(_shown(frames))
        return torch.stack(codes), torch.stack(images, -4) if keep else None

    def _decode(self, features: Tensor) -> Tensor:
        """Features [.., F] to frames f32[.., 3, h, w], in [-0.5, 0.5] where they are right."""
        assert self.decoder is not None
        frames: Tensor = self.decoder(features.flatten(0, -2)).float()
        return frames.view(*features.shape[:-1], *frames.shape[1:])

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
        `open_loop_image_loss`, `open_loop_reward_loss`, `open_loop_continue_loss` where there are such terms
        (estimates, which may be negative, if there is more than one future);
        `image_loss_full` and `open_loop_image_loss_full` over the whole image where only a part is trained.
        """
        images = scale_image(batch.image.flatten(0, 1))
        codes = self.cell.code(self.encoder(images)).unflatten(0, batch.mask.shape)
        split = forecast_starts(batch.mask, noise["split"]) if self.weights.open_loop_weight else None
        track = scan(self.cell, codes, batch.action, noise, split, self.window)
        seen = self.reward.net.encode(images) if isinstance(self.reward, ImageReward) else None
        clips = Clips(batch, images, None if seen is None else seen.view(*batch.mask.shape, -1))

        terms = self._terms(track.closed[None], clips, batch.mask, None, None)
        total = self._weigh(terms)
        prior = self.cell.prior(track.hidden)
        if track.posterior is not None and prior is not None:
            kl = kl_divergence(track.posterior, prior)
            terms["kl"] = masked_mean(kl, batch.mask)
            total = total + self.weights.kl_scale * masked_mean(
                kl.clamp(min=self.weights.free_nats), batch.mask
            )
        if split is not None and track.open is not None:
            ahead = torch.arange(batch.mask.shape[1], device=split.device) >= split[:, None]
            forecast = self._terms(track.open, clips, batch.mask * ahead, noise.get("frames"), split)
            total = total + self.weights.open_loop_weight * self._weigh(forecast)
            terms |= {f"open_loop_{name}": term for name, term in forecast.items()}
        return Loss(total, {name: term.detach() for name, term in terms.items()})

    def _terms(
        self, features: Tensor, clips: Clips, mask: Tensor, drawn: Tensor | None, split: Tensor | None
    ) -> dict[str, Tensor]:
        """Image, reward and continuation terms of features [N, B, T, F], means over the columns of `mask`.

        Args:
            features: of the filter (N = 1), or of N independent forecasts.
            clips: what they are compared with.
            mask: f32[B, T].
            drawn: uniform draws [B, T]: a quarter of the columns, drawn by them, is decoded; None: all are.
            split: the first columns [B] of the forecast, or None.
        """
        terms: dict[str, Tensor] = {}
        frames = None
        if self.decoder is not None:
            rows, weight = (slice(None), mask) if drawn is None else some_rows(mask, drawn)
            frames = self._decode(features.flatten(1, 2)[:, rows])
            errors = self._image_errors(frames, clips.images[rows])
            total = mask.sum().clamp(min=1)
            terms |= {name: (error.view_as(weight) * weight).sum() / total for name, error in errors.items()}
        mask = mask * ~clips.batch.first
        readings = self._read_rewards(features, frames, clips, split)
        if readings is not None:
            squared = squared_error_of_mean(readings - clips.batch.reward).mean(0)
            terms["reward_loss"] = masked_mean(0.5 * squared, mask)
        if self.continues is not None:
            logit = self.continues(features).squeeze(-1).float()
            goes_on = (1 - clips.batch.terminal.float()).expand_as(logit)
            entropy = F.binary_cross_entropy_with_logits(logit, goes_on, reduction="none")
            terms["continue_loss"] = masked_mean(entropy.mean(0), mask)
        return terms

    def _read_rewards(
        self, features: Tensor, frames: Tensor | None, clips: Clips, split: Tensor | None
    ) -> Tensor | None:
        """Rewards [N, readings, B, T] from features [N, B, T, F], or from frames [N, B T, 3, h, w] decoded of them."""
        if isinstance(self.reward, ImageReward):
            assert frames is not None
            read = frames.detach() if self.stop_reward_gradient else frames
            return torch.stack([self._read_frames(self.reward, future, clips, split) for future in read])
        if self.reward is None:
            return None
        read = features.detach() if self.stop_reward_gradient else features
        reward: Tensor = self.reward(read).squeeze(-1).float()
        return reward[:, None]

    def _read_frames(self, reward: ImageReward, frames: Tensor, clips: Clips, split: Tensor | None) -> Tensor:
        """Rewards [readings, B, T] from decoded frames [B T, 3, h, w]."""
        assert clips.codes is not None
        decoded = reward.see(frames).view_as(clips.codes)
        if split is None:
            return reward.closed_loop(clips.codes, decoded, clips.batch)
        return reward.open_loop(clips.codes, decoded, clips.batch, split)

    def _image_errors(self, frames: Tensor, images: Tensor) -> dict[str, Tensor]:
        """Half the squared error of N decoded frames [N, n, 3, h, w] of images [n, 3, h, w], by term: [n]."""
        squared = squared_error_of_mean(frames - images)
        if self.mask is None:
            return {"image_loss": 0.5 * squared.sum((1, 2, 3))}
        full = squared.sum(1)
        return {"image_loss": 0.5 * (full * self.mask).sum((1, 2)), "image_loss_full": 0.5 * full.sum((1, 2))}

    def _weigh(self, terms: dict[str, Tensor]) -> Tensor:
        scales = {
            "reward_loss": self.weights.reward_scale,
            "image_loss": self.weights.image_scale,
            "continue_loss": 1.0,
        }
        weighted = [scale * terms[name] for name, scale in scales.items() if name in terms]
        return sum(weighted[1:], weighted[0])


def _belief(state: RSSMState | FrameState) -> RSSMState:
    return state.belief if isinstance(state, FrameState) else state


def _shown(frames: Tensor) -> Tensor:
    """Decoded frames as a forecast holds them, in [0, 1]."""
    return (frames + 0.5).clamp(0, 1)


def _check(spec: ModelSpec, design: ModelDesign) -> None:
    stopped = design.reward_gradient == "stopped"
    refused = (
        (design.options, f"RSSM has no options: {', '.join(design.options)}"),
        (design.reward_from not in {"state", "image"}, f"no reward_from {design.reward_from}"),
        (
            design.reward_gradient not in {"shared", "stopped"},
            f"no reward_gradient {design.reward_gradient}; there are shared, stopped",
        ),
        (
            design.reward_from == "image" and not spec.predict_images,
            "reward_from image needs a design that predicts images (predict: images)",
        ),
        (
            stopped and not spec.predict_images,
            "reward_gradient stopped leaves a design that predicts rewards only nothing to learn from",
        ),
        (
            stopped and design.image_fraction == 0,
            "reward_gradient stopped leaves a latent design with image_fraction 0 nothing to learn from",
        ),
        (
            design.leaking_reward and design.reward_from != "image",
            "legacy.leaking_reward is a fault of rewards read from frames; write reward_from: image",
        ),
        (design.blind_inputs, "legacy.blind_inputs is a fault of pixel designs; latent ones never had it"),
    )
    for applies, words in refused:
        if applies:
            raise ValueError(words)
