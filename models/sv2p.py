r"""SV2P (arXiv 1710.11252) with rewards: frames forecast by a recurrent tower from the last `context` columns.

::

    column        0 ... K-2            K-1         K              K+1
    input frames  o_0 ... o_{K-2}      o_{K-1}     forecast o_K   forecast o_{K+1}
                     \ a_1 .. a_{K-1}     \ a_K       \ a_{K+1}
    tower         warmed, latent 0     o_K forecast   o_{K+1} forecast  ...
                  once per observation | `predict`: one step per column to forecast, any number of them

The state is the ring of the last K columns and the tower's state after frames 0 ... K-2 of it, recomputed at each
observation; the tower never runs over more.

Stochastic dynamics add a latent of one number per 8 x 8 pixels, constant over a forecast (`models.latents`): inferred
from all frames of a clip in training, drawn from N(0, I) in use. The tower is warmed with the prior's mean, zero, in
training as in use: so it is warmed once for all candidates and futures, which differ in their latents.

Rewards are read from the tower's activations at each step (`reward_from: state`), or from the frames before and after
the step, its action and the rewards of the context (`image`). The frame before is real at the first step, later the
tower's own forecast, in training too, even where scheduled sampling shows the tower a true frame; `stopped` detaches
the forecast frames. A continuation is read from the tower's activations, and its gradient trains the tower.

The loss is a mean over the columns after the context that exist::

    image_scale * 1/2 squared image error      summed over pixels and channels, images in [0, 1]
    + reward_scale * 1/2 squared reward error
    + kl_scale * KL(posterior || N(0, I)) / number of the clip's columns          stochastic only
    + cross entropy of the continuation                                           if the design predicts it

A step after the first gets the true last frame with probability 1 - progress / scheduled_sampling, else the forecast
one, drawn per clip and step.

With `blind_inputs` frames are numbers of about 1e-7 as inputs and as targets: the image loss is as good as zero, and
a reward net that reads frames sees nothing. The tower sees them all the same, through its layer norms; so it did in
the reference, whose layer norms have an even smaller epsilon.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.context import (
    ContextState,
    context_of_clips,
    empty_context,
    push,
    scored_columns,
)
from models.distributions import masked_mean
from models.frame_reward import FrameReward
from models.latents import clip_kl, per_column
from models.regions import image_region
from models.sizes import SV2PSizes, sizes_for
from models.tower import SCALE, InferenceTower, PredictiveTower, TowerReward, TowerState
from models.trees import expand_rows, map_tree
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

WHITE = 255.0
BLIND_WHITE = float(2**31 - 1)
"""What a frame is divided by, and what google-research/world_models divides by: frames of about 1e-7."""


class SV2PState(NamedTuple):
    """The context, and the tower warmed on it. Leading dimensions are [B] or [B, C]."""

    context: ContextState  # frames f32[.., K, 3, h, w] in [0, 1]
    tower: TowerState


class Truth(NamedTuple):
    """The true frames that training shows the tower in place of its own."""

    frames: Tensor  # f32[B, H, 3, h, w]: the columns that are forecast
    shown: Tensor  # bool[B, H]: step h + 1 reads the true frame of step h


class Rollout(NamedTuple):
    """A forecast over H steps."""

    frames: Tensor | None  # f32[N, H, 3, h, w] in model units
    reward: Tensor  # f32[N, H]
    logit: Tensor | None  # f32[N, H] of the continuation


class SV2P(nn.Module):
    """Stochastic variational video prediction, or its deterministic form, with rewards.

    Args:
        spec: what to predict; `context` is the number of columns it sees.
        design: how; clips of at most `context` + `forecast` columns train the stochastic form.

    Raises:
        ValueError: an unknown size, width or option, images that are not square or whose side 8 does not divide,
            or something this design cannot do.
    """

    version = 2
    mask: Tensor | None

    def __init__(self, spec: ModelSpec, design: ModelDesign) -> None:
        super().__init__()
        sizes: SV2PSizes = sizes_for("sv2p", design.size, design.widths)
        _check(spec, design)
        self.spec, self.weights = spec, design.weights
        self.scheduled_sampling = design.scheduled_sampling
        self.stop_reward_gradient = design.reward_gradient == "stopped"
        self.white = BLIND_WHITE if design.blind_inputs else WHITE
        side = spec.image_shape[-1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(design.seed)
            self.tower = PredictiveTower(side, spec.action_dim, sizes, stochastic=spec.stochastic)
            longest = spec.context + design.forecast
            self.inference = InferenceTower(longest, sizes) if spec.stochastic else None
            self.reward = _reward_net(spec, design, sizes)
            self.continues = TowerReward(side, sizes) if spec.predict_continues else None
        whole = design.image_fraction >= 1
        region = None if whole else image_region(side, side, design.image_fraction, design.region_seed)
        self.register_buffer("mask", region, persistent=False)

    def draws(self, call: Call, lead: tuple[int, ...], steps: int = 1) -> dict[str, Draw]:
        """Noise of a call (`models.types.WorldModel.draws`).

        `latent` holds the standard normal draws of the latent, of the loss and of predict, without a dimension of
        steps. The loss further needs `reset` per clip, and `truth` per clip and step for scheduled sampling.
        """
        if call == "observe":
            return {}
        small = self.spec.image_shape[-1] // SCALE
        draws = {"latent": Draw((*lead, small, small))} if self.spec.stochastic else {}
        if call == "loss":
            draws["reset"] = Draw(lead, "uniform")
            if self.scheduled_sampling:
                draws["truth"] = Draw((*lead, steps - self.spec.context), "uniform")
        return draws

    def initial(self, batch: int) -> SV2PState:
        """An empty context: zeros [B, ...]."""
        like = self.tower.stem.weight
        spec = self.spec
        context = empty_context(like, batch, spec.context, spec.image_shape, spec.action_dim)
        return SV2PState(context, self.tower.initial(batch))

    def observe(self, state: SV2PState, obs: Observation, noise: Noise) -> SV2PState:  # noqa: ARG002
        """Drops the oldest column for a new one and warms the tower; rows with `first` fill up with their frame."""
        return self.warm(push(state.context, obs.image / self.white, obs))

    def expand(self, state: SV2PState, candidates: int) -> SV2PState:
        """[B, ...] to views [B, C, ...]."""
        expanded: SV2PState = expand_rows(state, candidates)
        return expanded

    def predict(self, state: SV2PState, actions: Tensor, noise: Noise, *, decode: bool) -> Forecast:
        """Rolls out open loop over actions [.., H, A]; see `models.types.WorldModel.predict`."""
        lead = actions.shape[:-2]
        latent = noise.get("latent")
        if latent is not None:
            latent = latent.expand(*lead, *latent.shape[-2:]).flatten(0, -3)
        flat = map_tree(lambda x: x.flatten(0, len(lead) - 1), state)
        rollout = self.roll(flat, actions.flatten(0, -3), latent, keep_frames=decode)
        frames, continues = None, None
        if rollout.frames is not None:
            shown = rollout.frames * (self.white / WHITE)
            frames = shown.clamp(0, 1).view(*lead, *shown.shape[1:])
        if rollout.logit is not None:
            continues = rollout.logit.sigmoid().view(actions.shape[:-1])
        return Forecast(rollout.reward.view(actions.shape[:-1]), frames, continues)

    def warm(self, context: ContextState) -> SV2PState:
        """The state of contexts [N, K, ...]: the tower has seen their frames but the last, with a latent of zero."""
        frames, actions, _ = context
        state, latent = self.tower.initial(frames.shape[0]), None
        if self.spec.stochastic:
            latent = frames.new_zeros(frames.shape[0], self.tower.small, self.tower.small)
        for column in range(self.spec.context - 1):
            _, _, state = self.tower(frames[:, column], actions[:, column + 1], latent, state)
        return SV2PState(context, state)

    def roll(
        self,
        state: SV2PState,
        actions: Tensor,
        latent: Tensor | None,
        *,
        keep_frames: bool,
        truth: Truth | None = None,
        stop: bool = False,
    ) -> Rollout:
        """Forecasts from states of N rows over actions [N, H, A]; without `truth`, from its own frames alone.

        With `stop`, rewards have no gradient with respect to what they are read from.

        Nothing that only a frame needs is computed at the last step, unless frames are kept or rewards read from them.
        """
        frame, tower, horizon = state.context.frames[:, -1], state.tower, actions.shape[1]
        from_frames = isinstance(self.reward, FrameReward)
        codes = [self._see(frame, stop)] if from_frames else []
        frames, rewards, logits = [], [], []
        for step in range(horizon):
            activations, bottom, tower = self.tower(frame, actions[:, step], latent, tower)
            if isinstance(self.reward, TowerReward):
                read = map_tree(Tensor.detach, activations) if stop else activations
                rewards.append(self.reward(read))
            if self.continues is not None:
                logits.append(self.continues(activations))
            if step == horizon - 1 and not (keep_frames or from_frames):
                break
            forecast = self.tower.render(frame, activations, bottom)
            if keep_frames:
                frames.append(forecast)
            if from_frames:
                codes.append(self._see(forecast, stop))
            frame = forecast
            if truth is not None:
                shown = truth.shown[:, step, None, None, None]
                frame = torch.where(shown, truth.frames[:, step], forecast)
        if from_frames:
            reward = self._read_frames(torch.stack(codes, 1), actions, state.context.rewards)
        else:
            reward = torch.stack(rewards, 1) if rewards else actions.new_zeros(actions.shape[:2])
        return Rollout(
            torch.stack(frames, 1) if keep_frames else None,
            reward,
            torch.stack(logits, 1) if logits else None,
        )

    def loss(self, batch: SequenceBatch, noise: Noise, progress: Tensor) -> Loss:
        """The training loss of the module's docstring.

        Metrics, before weighting: `image_loss`, and `image_loss_full` over the whole image where only a part is
        trained; `reward_loss`, `continue_loss` where predicted; `kl` per column.

        Raises:
            ValueError: the clips have no column after the context, or more than the inference tower takes.
        """
        seen = self.spec.context
        mask = scored_columns(batch, seen)
        images = batch.image / self.white
        context = context_of_clips(images[:, :seen], batch, noise["reset"])
        target = images[:, seen:]
        latent, kl = self._infer(torch.cat([context.frames, target], 1), batch.mask, noise)
        truth = self._truth(target, noise, progress)
        actions, stop = batch.action[:, seen:], self.stop_reward_gradient
        rollout = self.roll(self.warm(context), actions, latent, keep_frames=True, truth=truth, stop=stop)

        terms = self._image_terms(rollout, target, mask)
        total = self.weights.image_scale * terms["image_loss"]
        if self.reward is not None:
            error = rollout.reward - batch.reward[:, seen:]
            terms["reward_loss"] = masked_mean(0.5 * error.square(), mask)
            total = total + self.weights.reward_scale * terms["reward_loss"]
        if kl is not None:
            terms["kl"] = per_column(kl, mask)
            total = total + self.weights.kl_scale * terms["kl"]
        if rollout.logit is not None:
            goes_on = 1 - batch.terminal[:, seen:].float()
            entropy = F.binary_cross_entropy_with_logits(rollout.logit, goes_on, reduction="none")
            terms["continue_loss"] = masked_mean(entropy, mask)
            total = total + terms["continue_loss"]
        return Loss(total, {name: term.detach() for name, term in terms.items()})

    def _infer(self, frames: Tensor, mask: Tensor, noise: Noise) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """A latent [B, h/8, w/8] of each clip from its posterior, and that posterior's KL [B]."""
        if self.inference is None:
            return None, None
        posterior = self.inference(frames, mask)
        draw = noise["latent"]
        return posterior.sample(draw.flatten(1)).view_as(draw), clip_kl(posterior)

    def _truth(self, frames: Tensor, noise: Noise, progress: Tensor) -> Truth | None:
        if not self.scheduled_sampling:
            return None
        return Truth(frames, noise["truth"] < 1 - progress / self.scheduled_sampling)

    def _image_terms(self, rollout: Rollout, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Half the squared error of forecast frames, on the region that is trained and on the whole image."""
        assert rollout.frames is not None
        squared = (rollout.frames - target).square().sum(2)
        full = masked_mean(0.5 * squared.sum((2, 3)), mask)
        if self.mask is None:
            return {"image_loss": full}
        region = masked_mean(0.5 * (squared * self.mask).sum((2, 3)), mask)
        return {"image_loss": region, "image_loss_full": full}

    def _see(self, frame: Tensor, stop: bool) -> Tensor:
        assert isinstance(self.reward, FrameReward)
        return self.reward.encode((frame.detach() if stop else frame) - 0.5)

    def _read_frames(self, codes: Tensor, actions: Tensor, rewards: Tensor) -> Tensor:
        """Rewards [N, H] from the codes [N, H + 1, code] of the frames around each step, and the context [N, K]."""
        assert isinstance(self.reward, FrameReward)
        extras = rewards[:, None, 1:].expand(-1, actions.shape[1], -1)
        reward: Tensor = self.reward(codes[:, :-1], codes[:, 1:], actions, extras)
        return reward.squeeze(-1)


def _reward_net(spec: ModelSpec, design: ModelDesign, sizes: SV2PSizes) -> TowerReward | FrameReward | None:
    if not spec.predict_rewards:
        return None
    if design.reward_from == "state":
        return TowerReward(spec.image_shape[-1], sizes)
    first, units = sizes.frame_channels, sizes.frame_units
    return FrameReward(
        spec.image_shape,
        spec.action_dim,
        [first, first, max(first // 2, 1), max(first // 4, 1)],
        sizes.frame_code,
        [units, max(units // 2, 1)],
        extras=spec.context - 1,
    )


def _check(spec: ModelSpec, design: ModelDesign) -> None:
    _, height, width = spec.image_shape
    if height != width or height % SCALE or not height:
        raise ValueError(f"images of {height} x {width}: SV2P takes square images whose side {SCALE} divides")
    if design.options:
        raise ValueError(f"SV2P has no options: {', '.join(design.options)}")
    if not spec.predict_images:
        raise ValueError("SV2P forecasts frames; a design that predicts rewards only is a RewardPredictor")
    if design.reward_gradient not in {"shared", "stopped"}:
        raise ValueError(f"SV2P has no reward_gradient {design.reward_gradient}; there are shared, stopped")
    if design.leaking_reward:
        raise ValueError("leaking_reward is a fault of latent designs with reward_from image")
