"""What `predict` shows is what `loss` trains: the same forecast, from the same context and noise.

The open-loop errors that a loss reports are computed here from `observe` and `predict` alone.
"""

import pytest
import torch
from torch.nn import functional as F

from models.types import SequenceBatch
from tests.models.designs import CONTEXT, DESIGNS, column, draw, make_batch, make_model, name_of
from tests.models.latent import squared

B, T = 3, 8
SPLIT = 6
"""Where the forecast of a latent design starts: of two columns left all frames are decoded."""


def halves(design):
    """The models of a design: two where the reward is separate."""
    model = make_model(design, continues=True, forecast=T - CONTEXT)
    return [model.image, model.reward] if design.reward_gradient == "separate" else [model]


def make_clips():
    batch = make_batch(B, T)
    terminal = batch.terminal.clone()
    terminal[0, -1] = True
    return batch._replace(terminal=terminal)


def errors(model, forecasts, batch: SequenceBatch, start: int):
    """The terms of one or two independent forecasts of the columns from `start` on, as the losses define them."""
    found = {}
    if model.spec.predict_rewards:
        found["reward_loss"] = 0.5 * squared([f.reward - batch.reward[:, start:] for f in forecasts]).mean()
    if forecasts[0].image is not None:
        product = squared([f.image - batch.image[:, start:] / 255 for f in forecasts])
        found["image_loss"] = (0.5 * product.sum((2, 3, 4))).mean()
    if forecasts[0].continues is not None:
        goes_on = 1 - batch.terminal[:, start:].float()
        entropies = [F.binary_cross_entropy(f.continues, goes_on) for f in forecasts]
        found["continue_loss"] = torch.stack(entropies).mean()
    return found


def check(found, metrics, prefix=""):
    assert found
    for name, value in found.items():
        torch.testing.assert_close(value, metrics[prefix + name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("design", [d for d in DESIGNS if d.space == "latent"], ids=name_of)
def test_the_open_loop_term_of_a_latent_design_is_its_forecast(design):
    batch = make_clips()
    for model in halves(design):
        noise = draw(model.draws("loss", (B,), T))
        noise["split"] = torch.full((B,), (SPLIT - 0.5) / (T - 1))
        state = model.initial(B)
        for t in range(SPLIT):
            state = model.observe(state, column(batch, t), posterior(model, noise, t))
        futures = noise["prior"][:, :, SPLIT:].unbind(1) if "prior" in noise else [None]
        forecasts = [
            model.predict(
                state, batch.action[:, SPLIT:], {} if prior is None else {"prior": prior}, decode=True
            )
            for prior in futures
        ]
        metrics = model.loss(batch, noise, torch.zeros(())).metrics
        check(errors(model, forecasts, batch, SPLIT), metrics, "open_loop_")


def posterior(model, noise, t):
    """The noise with which `observe` draws what the loss draws at column t; a window's columns draw again."""
    if "posterior" not in noise:
        return {}
    shape = model.draws("observe", (B,))["posterior"].shape
    if len(shape) == 2:
        return {"posterior": noise["posterior"][:, t]}
    columns = [max(0, t - back) for back in reversed(range(shape[1]))]
    return {"posterior": noise["posterior"][:, columns]}


@pytest.mark.parametrize("design", [d for d in DESIGNS if d.space == "pixel"], ids=name_of)
def test_the_loss_of_a_pixel_design_is_its_forecast(design, monkeypatch):
    batch = make_clips()
    for model in halves(design):
        noise = draw(model.draws("loss", (B,), T))
        noise["reset"] = torch.ones(B)  # no clip's context is filled up as after a reset
        metrics, latent = loss_and_latent(model, batch, noise, monkeypatch)
        state = model.initial(B)
        for t in range(CONTEXT):
            obs = column(batch, t)
            # the first column of a clip that was cut in mid-episode is no reset
            state = model.observe(state, obs._replace(first=torch.zeros(B, dtype=torch.bool)), {})
        forecast = model.predict(state, batch.action[:, CONTEXT:], latent, decode=True)
        check(errors(model, [forecast], batch, CONTEXT), metrics)


def loss_and_latent(model, batch, noise, monkeypatch):
    """Metrics at the end of scheduled sampling, and the latent that the loss inferred, as noise of `predict`."""
    rolled, seen = getattr(model, "roll", None), []
    if not model.spec.stochastic:
        return model.loss(batch, noise, torch.ones(())).metrics, {}

    def spy(context, actions, latent, *rest, **more):
        seen.append(latent.detach())
        return rolled(context, actions, latent, *rest, **more)

    with monkeypatch.context() as patched:
        patched.setattr(model, "roll", spy)
        metrics = model.loss(batch, noise, torch.ones(())).metrics
    return metrics, {"latent": seen[0][:, 0] if "futures" in noise else seen[0]}
