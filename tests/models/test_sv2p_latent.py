"""SV2P's latent: what it is inferred from, what it costs, and that a forecast keeps it."""

import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as reference_kl

from harness.cost import model_cost
from models.types import LossWeights
from tests.models.designs import draw, loss_of, make_batch, make_model, observed, same
from tests.models.test_sv2p import BOTH, CLIPS, COLUMNS, DETERMINISTIC, STOCHASTIC, noise_of, posterior


def test_the_kl_is_that_of_torch_distributions_and_counts_once_per_clip():
    weights = LossWeights(image_scale=0.0, reward_scale=0.0, kl_scale=2.0, free_nats=0.0)
    model, batch = make_model(STOCHASTIC, weights=weights), make_batch()
    mask = batch.mask.clone()
    mask[1, 4:] = 0
    batch = batch._replace(mask=mask)
    inferred = posterior(model, batch)
    kl = reference_kl(Normal(inferred.mean, inferred.std), Normal(0, 1)).sum(1)
    loss = model.loss(batch, noise_of(model), torch.ones(()))
    expected = kl.sum() / (4 + 2 + 4)
    torch.testing.assert_close(loss.metrics["kl"], expected)
    torch.testing.assert_close(loss.total, 2 * expected)


def test_no_nats_are_free():
    """The prior is fixed: they would only let the posterior tell so much of the clip at no cost."""
    weights = LossWeights(image_scale=0.0, reward_scale=0.0, kl_scale=1.0, free_nats=1000.0)
    model = make_model(STOCHASTIC, weights=weights)
    loss = model.loss(make_batch(), noise_of(model), torch.ones(()))
    assert 0 < loss.metrics["kl"] == loss.total


def test_the_posterior_sees_the_whole_clip_and_nothing_that_does_not_exist():
    model, batch = make_model(STOCHASTIC), make_batch()
    whole = posterior(model, batch)
    for t in range(COLUMNS):
        image = batch.image.clone()
        image[:, t] = 255 - image[:, t]
        assert not torch.allclose(posterior(model, batch._replace(image=image)).mean, whole.mean)
        mask = batch.mask.clone()
        mask[:, t:] = 0
        same(
            posterior(model, batch._replace(mask=mask)),
            posterior(model, batch._replace(mask=mask, image=image)),
            tolerance=0,
        )


def test_longer_clips_than_the_inference_tower_takes_are_an_error():
    model = make_model(STOCHASTIC, forecast=3)
    loss_of(model, make_batch(columns=5))
    with pytest.raises(ValueError, match="clips of 6 columns; the inference tower takes 5"):
        loss_of(model, make_batch(columns=6))


def test_checkpoints_hold_the_inference_tower():
    names = make_model(STOCHASTIC).state_dict()
    assert any(name.startswith("inference.") for name in names)
    assert not any(name.startswith("inference.") for name in make_model(DETERMINISTIC).state_dict())


def test_inference_is_not_counted_as_planning():
    left, right = make_model(DETERMINISTIC), make_model(STOCHASTIC)
    inference = sum(p.numel() for p in right.inference.parameters())
    cost = model_cost(right)
    assert cost.training_parameters - cost.parameters == inference
    assert cost.parameters - model_cost(left).parameters == 8  # the latent's channel into the bottleneck


@BOTH
def test_the_latent_is_constant_over_a_forecast_and_matters_at_every_step(design):
    model, batch = make_model(design), make_batch()
    state = observed(model, batch)
    draws = [model.draws("predict", (CLIPS,), steps) for steps in (1, 9)]
    assert draws[0] == draws[1]
    if design is STOCHASTIC:
        images = [
            model.predict(state, batch.action, draw(draws[0], seed), decode=True).image for seed in (0, 1)
        ]
        assert ((images[0] - images[1]).abs().amax((0, 2, 3, 4)) > 0).all()
