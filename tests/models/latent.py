"""What the tests of the latent designs share: the loss's own forecast, repeated by `observe` and `predict`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.types import Forecast, SequenceBatch
from tests.models.designs import column, draw

SPLITS = {1: 0.0, 3: 0.5, 5: 0.99}
"""Columns where the forecasts of three clips of six columns start, by the uniform draw that says so."""


def loss_noise(model: Any, clips: int = 3, columns: int = 6) -> dict[str, Tensor]:
    """Noise of a loss, its forecasts starting at the columns of SPLITS, one of them per clip."""
    noise = draw(model.draws("loss", (clips,), columns))
    noise["split"] = torch.tensor(list(SPLITS.values()))
    return noise


def observed_as_in(model: Any, batch: SequenceBatch, noise: dict[str, Tensor], columns: int) -> Any:
    """The state after so many columns, with the noise that the loss has for them."""
    state = model.initial(len(batch.mask))
    for t in range(columns):
        state = model.observe(state, column(batch, t), posterior_of(model, noise, t))
    return state


def posterior_of(model: Any, noise: dict[str, Tensor], t: int) -> dict[str, Tensor]:
    """The loss's noise of column t, or of the window that ends there, as `observe` takes it."""
    if "posterior" not in noise:
        return {}
    if model.window is None:
        return {"posterior": noise["posterior"][:, t]}
    columns = torch.arange(t - model.window + 1, t + 1).clamp(min=0)
    return {"posterior": noise["posterior"][:, columns]}


def forecasts_as_in(model: Any, batch: SequenceBatch, noise: dict[str, Tensor], start: int) -> list[Forecast]:
    """The forecasts of columns `start` and after, with the noise that the loss has for each of them."""
    state = observed_as_in(model, batch, noise, start)
    actions = batch.action[:, start:]
    futures = [{"prior": part[:, start:]} for part in noise["prior"].unbind(1)] if "prior" in noise else [{}]
    return [model.predict(state, actions, future, decode=True) for future in futures]


def forecast_errors(model: Any, batch: SequenceBatch, noise: dict[str, Tensor]) -> dict[str, Tensor]:
    """Half the squared errors of the mean forecasts of rewards and frames, means over the clips' forecast columns."""
    rewards, frames = [], []
    for clip, start in enumerate(SPLITS):
        futures = forecasts_as_in(model, batch, noise, start)
        rewards.append(0.5 * squared([f.reward[clip] - batch.reward[clip, start:] for f in futures]))
        if futures[0].image is not None:
            for forecast in futures:
                assert 0 < forecast.image.min() < forecast.image.max() < 1, (
                    "clipped: not what the loss compares"
                )
            errors = [f.image[clip] - batch.image[clip, start:] / 255 for f in futures]
            frames.append(0.5 * squared(errors).sum((1, 2, 3)))
    means = {"open_loop_reward_loss": torch.cat(rewards).mean()}
    return means | ({"open_loop_image_loss": torch.cat(frames).mean()} if frames else {})


def squared(errors: list[Tensor]) -> Tensor:
    """The square of one error, or the mean product of two of several that are independent."""
    if len(errors) == 1:
        return errors[0].square()
    pairs = [a * b for i, a in enumerate(errors) for b in errors[:i]]
    return torch.stack(pairs).mean(0)
