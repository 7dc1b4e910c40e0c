"""Open-loop evaluation: how far a frozen model's forecasts are from what happened, over the horizon.

For each start (episode, column t) the belief filters the episode's columns 0..t, then forecasts t+1..t+H from the
actions that were taken, in S futures if the model is stochastic (the rules are those of `models.types`)::

    columns   0 ... t | t+1 ... t+H
              observe | predict      compared with image and reward at the same columns

With `legacy.shifted_evaluation` the forecasts are compared with columns t ... t+H-1 instead, as in
google-research/world_models: a model that repeats the last frame then has no error at the first step, and a
perfect model has one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.datasets.starts import Episodes
from harness.episodes import Episode
from harness.streams import Streams
from models.trees import map_tree
from models.types import AnyWorldModel, Forecast, Observation

MOVING = 8
"""A pixel moves if one of its channels differs from the last context frame by more than this, out of 255."""
_CHUNK = (
    8  # starts forecast at once: a fixed number, so that the same run always computes in the same batches
)

Floats = NDArray[np.float64]


@dataclass
class OpenLoop:
    """The outcome on one dataset.

    Attributes:
        record: the lists over the horizon of an `open_loop` line, in 0..255 and in reward units.
        pictures: arrays of `forecasts/<dataset>.npz`.
    """

    record: dict[str, Any]
    pictures: dict[str, NDArray[Any]]


@dataclass
class _Tally:
    """Sums over starts of errors [H], by name; `weights` divides where a mean is not over starts."""

    sums: dict[str, Floats] = field(default_factory=dict)
    weights: dict[str, Floats] = field(default_factory=dict)

    def add(self, name: str, errors: Tensor, weight: Tensor | None = None) -> None:
        """Adds errors [n, H] (already a mean over pixels and samples, or a sum with its own weight [n, H])."""
        total = errors.double().sum(0).cpu().numpy()
        count = torch.ones_like(errors) if weight is None else weight
        self.sums[name] = self.sums.get(name, 0.0) + total
        self.weights[name] = self.weights.get(name, 0.0) + count.double().sum(0).cpu().numpy()

    def means(self) -> dict[str, list[float]]:
        """A mean per step; NaN where nothing was counted."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return {name: (self.sums[name] / self.weights[name]).tolist() for name in self.sums}


def evaluate_open_loop(
    model: AnyWorldModel,
    episodes: Episodes,
    starts: NDArray[np.int64],
    *,
    horizon: int,
    samples: int,
    context: int,
    streams: Streams,
    dataset: str,
    device: torch.device,
    tick: Callable[[], None],
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    region: Tensor | None = None,
    shifted: bool = False,
) -> OpenLoop:
    """Scores a model's forecasts.

    Args:
        model: frozen, on `device`.
        episodes: what happened; those without a start are not read.
        starts: [N, 2], (episode, last context column t) with t + horizon inside the episode.
        horizon: H.
        samples: S futures of a stochastic model; a deterministic one has one.
        context: frames kept before each start for pictures.
        streams: the noise depends on the dataset's name and the start's number, not on when it is asked for.
        dataset: `probe`, `own` or a name.
        device: of the model.
        tick: called between batches; may raise to stop.
        autocast: the arithmetic that the networks run in, the one they are planned with.
        region: f32[h, w], 1 where the image's prediction was trained; its errors are recorded as well.
        shifted: compare with the columns before (`legacy.shifted_evaluation`); the record then has `shifted`.
    """
    count = samples if model.spec.stochastic else 1
    used = {int(e): _as_models_see(episodes[int(e)], model.spec.action_dim) for e in np.unique(starts[:, 0])}
    with autocast():
        beliefs = _beliefs(model, used, starts, streams, dataset, device, tick)
    tally = _Tally()
    shown: list[dict[str, NDArray[Any]]] = []
    for begin in range(0, len(starts), _CHUNK):
        rows = range(begin, min(begin + _CHUNK, len(starts)))
        truth = _Truth.of(used, starts[begin : begin + _CHUNK], horizon, context, device, int(shifted))
        with autocast():
            forecast = _forecast(model, beliefs, truth.action, rows, count, streams, dataset)
        forecast = _in_float32(forecast)
        _score_rewards(tally, forecast.reward, truth)
        if forecast.image is not None:
            _score_images(tally, forecast.image, truth, region)
        shown.append(_pictures(forecast, truth))
        tick()
    record: dict[str, Any] = {"dataset": dataset, "starts": len(starts), "samples": count}
    if shifted:
        record["shifted"] = True
    record |= tally.means()
    pictures = {name: np.concatenate([part[name] for part in shown]) for name in shown[0]}
    return OpenLoop(record, pictures | {"start": starts})


def _as_models_see(episode: Episode, action_dim: int) -> Episode:
    """The episode with one-hot actions where they are discrete."""
    if episode.action.ndim > 1:
        return episode
    return replace(episode, action=episode.action_vectors(action_dim))


@dataclass
class _Truth:
    """What happened around n starts; image and reward are what the forecast is compared with."""

    context: Tensor  # u8[n, K, 3, h, w]
    image: Tensor  # u8[n, H, 3, h, w]
    action: Tensor  # f32[n, H, A]
    reward: Tensor  # f32[n, H]
    last_reward: Tensor  # f32[n]

    @classmethod
    def of(
        cls,
        episodes: Mapping[int, Episode],
        starts: NDArray[np.int64],
        horizon: int,
        context: int,
        device: torch.device,
        late: int,
    ) -> _Truth:
        def stack(name: str, before: int, after: int) -> Tensor:
            parts = [getattr(episodes[int(e)], name)[t + 1 - before : t + 1 + after] for e, t in starts]
            return torch.from_numpy(np.stack(parts)).to(device)

        return cls(
            context=stack("image", context, 0),
            image=stack("image", late, horizon - late),
            action=stack("action", 0, horizon),
            reward=stack("reward", late, horizon - late),
            last_reward=stack("reward", 1, 0)[:, 0],
        )


@torch.inference_mode()
def _beliefs(
    model: AnyWorldModel,
    episodes: Mapping[int, Episode],
    starts: NDArray[np.int64],
    streams: Streams,
    dataset: str,
    device: torch.device,
    tick: Callable[[], None],
) -> list[Any]:
    """The belief of each start: every episode is walked once, all of them side by side."""
    used = sorted({int(e) for e, _ in starts})
    ends = {e: max(int(t) for i, t in starts if i == e) for e in used}
    at: dict[tuple[int, int], list[int]] = {}
    for number, (e, t) in enumerate(starts):
        at.setdefault((int(e), int(t)), []).append(number)
    beliefs: list[Any] = [None] * len(starts)
    state = model.initial(len(used))
    for t in range(max(ends.values()) + 1):
        rows = [(e, min(t, ends[e])) for e in used]  # an episode whose starts are all passed stands still
        column = Observation(
            image=torch.from_numpy(np.stack([episodes[e].image[c] for e, c in rows])).to(device),
            action=torch.from_numpy(np.stack([episodes[e].action[c] for e, c in rows])).to(device),
            reward=torch.tensor([float(episodes[e].reward[c]) for e, c in rows], device=device),
            first=torch.full((len(rows),), t == 0, device=device),
        )
        draws = model.draws("observe", (1,))
        noise = streams.row_noise(draws, "open_loop_noise", [(dataset, e, t) for e in used])
        state = model.observe(state, column, {k: v.to(device) for k, v in noise.items()})
        for row, e in enumerate(used):
            for number in at.get((e, t), []):
                beliefs[number] = map_tree(lambda x, row=row: x[row : row + 1], state)
        tick()
    return beliefs


@torch.inference_mode()
def _forecast(
    model: AnyWorldModel,
    beliefs: list[Any],
    actions: Tensor,
    rows: range,
    samples: int,
    streams: Streams,
    dataset: str,
) -> Forecast:
    """Forecasts [n, S, H, ..] from the beliefs of `rows`, each with its own S streams of noise."""
    belief = map_tree(lambda *parts: torch.cat(parts), *(beliefs[row] for row in rows))
    state = model.expand(belief, samples)
    draws = model.draws("predict", (1, samples), actions.shape[1])
    noise = streams.row_noise(draws, "open_loop_noise", [(dataset, "forecast", row) for row in rows])
    noise = {name: tensor.to(actions.device) for name, tensor in noise.items()}
    expanded = actions[:, None].expand(-1, samples, -1, -1)
    return model.predict(state, expanded, noise, decode=model.spec.predict_images)


def _in_float32(forecast: Forecast) -> Forecast:
    image, continues = (None if x is None else x.float() for x in (forecast.image, forecast.continues))
    return Forecast(forecast.reward.float(), image, continues)


def _score_rewards(tally: _Tally, forecast: Tensor, truth: _Truth) -> None:
    """Scores forecast [n, S, H] against truth [n, H]."""
    for suffix, power in (("", 1), ("_mse", 2)):
        tally.add(f"reward_error{suffix}", (forecast - truth.reward[:, None]).abs().pow(power).mean(1))
        tally.add(f"reward_error_mean{suffix}", (forecast.mean(1) - truth.reward).abs().pow(power))
        stale = (truth.last_reward[:, None] - truth.reward).abs().pow(power)
        tally.add(f"reward_error_baseline{suffix}", stale)


def _score_images(tally: _Tally, forecast: Tensor, truth: _Truth, region: Tensor | None) -> None:
    """Scores forecast [n, S, H, 3, h, w] in [0, 1] against truth u8[n, H, 3, h, w]; errors in 0..255, not rounded."""
    forecast = (forecast * 255).clamp(0, 255)
    target = truth.image.float()
    mean = forecast.mean(1)
    last = truth.context[:, -1:].float()
    moving = ((target - last).abs() > MOVING).any(2, keepdim=True).expand_as(target).float()
    pixels = (-3, -2, -1)
    for suffix, power in (("", 1), ("_mse", 2)):
        errors = (forecast - target[:, None]).abs().pow(power)
        tally.add(f"image_error{suffix}", errors.mean(pixels).mean(1))
        of_mean = (mean - target).abs().pow(power)
        tally.add(f"image_error_mean{suffix}", of_mean.mean(pixels))
        tally.add(f"image_error_moving{suffix}", (of_mean * moving).sum(pixels), moving.sum(pixels))
        stale = (last - target).abs().pow(power)
        tally.add(f"image_error_baseline{suffix}", stale.mean(pixels))
        tally.add(f"image_error_moving_baseline{suffix}", (stale * moving).sum(pixels), moving.sum(pixels))
        if region is not None:
            part = region / region.mean()  # the mean over the region, as one over all pixels
            tally.add(f"image_error_region{suffix}", (errors * part).mean(pixels).mean(1))
            tally.add(f"image_error_mean_region{suffix}", (of_mean * part).mean(pixels))
            tally.add(f"image_error_region_baseline{suffix}", (stale * part).mean(pixels))


def _pictures(forecast: Forecast, truth: _Truth) -> dict[str, NDArray[Any]]:
    arrays = {
        "context": truth.context,
        "truth": truth.image,
        "reward": truth.reward,
        "reward_forecast": forecast.reward.float().mean(1),
    }
    if forecast.image is not None:
        arrays["image"] = _to_uint8(forecast.image.mean(1))
        if forecast.image.shape[1] > 1:
            arrays["sample"] = _to_uint8(forecast.image[:, 0])
    return {name: tensor.cpu().numpy() for name, tensor in arrays.items()}


def _to_uint8(image: Tensor) -> Tensor:
    return (image.float() * 255).round().clamp(0, 255).to(torch.uint8)
