"""The RSSM's mathematics: against formulas written out, closed forms and its own parts."""

import math
from dataclasses import replace

import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from models.columns import forecast_starts, some_columns
from models.filtering import scan
from models.networks import scale_image
from models.rssm import RSSM
from models.types import LossWeights, ModelDesign
from tests.models.designs import (
    LATENT,
    Design,
    column,
    draw,
    loss_of,
    make_batch,
    make_model,
    name_of,
    observed,
    same,
)
from tests.models.latent import forecast_errors, forecasts_as_in, loss_noise

every_latent = pytest.mark.parametrize("design", LATENT, ids=name_of)
FULL = Design("images", "latent", "stochastic")
DETERMINISTIC = Design("images", "latent", "deterministic")
REWARDS = Design("rewards", "latent", "stochastic")
PUBLISHED = LossWeights(open_loop_weight=0.0)


def track_of(model, batch, noise, split):
    codes = model.cell.code(model.encoder(scale_image(batch.image.flatten(0, 1))))
    codes = codes.unflatten(0, batch.mask.shape)
    return scan(model.cell, codes, batch.action, noise, split, model.window)


def unit_gaussian_log_prob(mean, value, event_dims):
    """Up to the constant."""
    log_prob = Independent(Normal(mean, 1.0), event_dims).log_prob(value)
    return log_prob + 0.5 * math.log(2 * math.pi) * math.prod(value.shape[value.ndim - event_dims :])


@pytest.mark.parametrize("free_nats", [0.0, 0.38, 3.0])
def test_the_loss_is_planets_loss(free_nats):
    """max(free nats, KL) - log p(image) - 10 log p(reward), in unit-variance Gaussians less their constants."""
    model = make_model(FULL, weights=replace(PUBLISHED, free_nats=free_nats))
    batch = make_batch()
    noise = draw(model.draws("loss", (3,), 6))
    track = track_of(model, batch, noise, None)
    prior = model.cell.prior(track.hidden)
    kl = kl_divergence(Independent(Normal(*track.posterior), 1), Independent(Normal(*prior), 1))
    if free_nats == 0.38:
        assert (kl < free_nats).any()
        assert (kl > free_nats).any(), "both sides of the maximum"
    frames = model.decoder(track.closed.flatten(0, 1))
    image = unit_gaussian_log_prob(frames, scale_image(batch.image.flatten(0, 1)), 3)
    reward = unit_gaussian_log_prob(model.reward(track.closed).squeeze(-1), batch.reward, 0)[:, 1:]
    expected = kl.clamp(min=free_nats).mean() - image.mean() - 10 * reward.mean()
    loss = model.loss(batch, noise, torch.zeros(()))
    torch.testing.assert_close(loss.total, expected)
    torch.testing.assert_close(loss.metrics["kl"], kl.mean().detach())
    assert set(loss.metrics) == {"image_loss", "reward_loss", "kl"}


def test_weights_multiply_their_terms():
    batch = make_batch()
    ordinary = make_model(FULL)
    metrics = loss_of(ordinary, batch).metrics
    weights = LossWeights(
        image_scale=0.5, reward_scale=3.0, kl_scale=2.0, free_nats=0.0, open_loop_weight=0.7
    )
    total = loss_of(make_model(FULL, weights=weights), batch).total
    closed = 0.5 * metrics["image_loss"] + 3 * metrics["reward_loss"]
    opened = 0.5 * metrics["open_loop_image_loss"] + 3 * metrics["open_loop_reward_loss"]
    torch.testing.assert_close(total.detach(), closed + 2 * metrics["kl"] + 0.7 * opened)


def test_continuation_is_a_cross_entropy():
    model = make_model(REWARDS, weights=replace(PUBLISHED, reward_scale=0.0, kl_scale=0.0), continues=True)
    batch = make_batch()
    terminal = batch.terminal.clone()
    terminal[:, -1] = True
    batch = batch._replace(terminal=terminal)
    noise = draw(model.draws("loss", (3,), 6))
    logits = model.continues(track_of(model, batch, noise, None).closed).squeeze(-1)[:, 1:]
    expected = -Bernoulli(logits=logits).log_prob(1 - terminal[:, 1:].float()).mean()
    torch.testing.assert_close(model.loss(batch, noise, torch.zeros(())).total, expected)


@every_latent
def test_the_scan_filters_as_observe_does(design):
    model, batch = make_model(design), make_batch()
    noise = draw(model.draws("loss", (3,), 6))
    track = track_of(model, batch, noise, torch.tensor([1, 3, 5]))
    state = model.initial(3)
    for t in range(6):
        step = {"posterior": noise["posterior"][:, t]} if "posterior" in noise else {}
        state = model.observe(state, column(batch, t), step)
        torch.testing.assert_close(track.closed[:, t], state.features)


@every_latent
@pytest.mark.parametrize("futures", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_open_loop_term_is_scored_on_what_predict_forecasts(design, k, futures):
    model, batch = make_model(design, open_loop_futures=futures), make_batch()
    noise = draw(model.draws("loss", (3,), 6))
    track = track_of(model, batch, noise, torch.full((3,), k))
    forecasts = forecasts_as_in(model, batch, noise, k)
    assert len(track.open) == len(forecasts) == (futures if design.dynamics == "stochastic" else 1)
    for features, forecast in zip(track.open[:, :, k:], forecasts, strict=True):
        torch.testing.assert_close(model.reward(features).squeeze(-1), forecast.reward)
        if design.predict == "images":
            frames = model.decoder(features.flatten(0, 1)) + 0.5
            torch.testing.assert_close(frames.clamp(0, 1).view_as(forecast.image), forecast.image)


@every_latent
@pytest.mark.parametrize("futures", [1, 2, 3])
def test_the_open_loop_reward_term_is_the_error_of_the_mean_forecast(design, futures):
    model, batch = make_model(design, open_loop_futures=futures), make_batch()
    noise = loss_noise(model)
    metrics = model.loss(batch, noise, torch.zeros(())).metrics
    expected = forecast_errors(model, batch, noise)["open_loop_reward_loss"]
    torch.testing.assert_close(metrics["open_loop_reward_loss"], expected.detach())


def test_the_decoded_columns_estimate_the_whole_open_loop_image_term():
    model, batch = make_model(FULL, open_loop_futures=2), make_batch(clips=6, columns=6)
    noise = draw(model.draws("loss", (6,), 6))
    split = torch.full((6,), 2)
    noise["split"] = torch.full((6,), 0.3)
    track = track_of(model, batch, noise, split)
    images = scale_image(batch.image.flatten(0, 1))
    left, right = (model.decoder(features.flatten(0, 1)) - images for features in track.open)
    expected = 0.5 * (left * right).sum((1, 2, 3)).view(6, 6)[:, 2:].mean().item()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        estimates = torch.stack(
            [
                model.loss(
                    batch, {**noise, "frames": torch.rand(6, 6, generator=generator)}, torch.zeros(())
                ).metrics["open_loop_image_loss"]
                for _ in range(100)
            ]
        )
    error = estimates.std() / 10
    assert estimates.std() > 0
    assert abs(estimates.mean() - expected) < 4 * error


def test_split_is_uniform_over_the_columns_that_exist():
    mask = torch.ones(4000, 6)
    mask[2000:, 4:] = 0
    split = forecast_starts(mask, torch.rand(4000, generator=torch.Generator().manual_seed(0)))
    for rows, length in ((split[:2000], 6), (split[2000:], 4)):
        counts = torch.bincount(rows, minlength=length)
        assert counts[0] == 0
        assert len(counts) == length
        assert (counts[1:] > 0.8 * 2000 / (length - 1)).all()
    assert forecast_starts(torch.ones(1, 2), torch.tensor([0.99])).item() == 1
    assert forecast_starts(torch.ones(1, 1), torch.tensor([0.99])).item() == 1


def test_drawn_columns_estimate_sums_over_masks_of_any_length():
    generator = torch.Generator().manual_seed(0)
    mask = (torch.arange(9) >= torch.tensor([0, 4, 7, 8, 9])[:, None]).float()
    values = torch.rand(5, 9, generator=generator)
    sums = []
    for _ in range(2000):
        columns, weight = some_columns(mask, torch.rand(5, 9, generator=generator))
        assert columns.shape == (5, 3)
        assert all(len(set(row.tolist())) == 3 for row in columns)
        sums.append((values.gather(1, columns) * weight).sum(1))
    torch.testing.assert_close(torch.stack(sums).mean(0), (values * mask).sum(1), rtol=0.05, atol=0.0)


def gradients(model, batch):
    loss_of(model, batch).total.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}


def test_a_stopped_reward_gradient_ends_at_the_belief():
    weights = LossWeights(image_scale=0.0, kl_scale=0.0)
    batch = make_batch()
    stopped = gradients(make_model(DETERMINISTIC, weights=weights, reward_gradient="stopped"), batch)
    assert {name.split(".")[0] for name in stopped} == {"reward"}
    shared = gradients(make_model(DETERMINISTIC, weights=weights), batch)
    assert {name.split(".")[0] for name in shared} == {"reward", "cell", "encoder"}
    for name, gradient in stopped.items():
        torch.testing.assert_close(gradient, shared[name])


@pytest.mark.parametrize("dynamics", ["deterministic", "stochastic"])
def test_no_part_of_the_image_trains_as_rewards_alone_do(dynamics):
    batch = make_batch()
    none = make_model(Design("images", "latent", dynamics), image_fraction=0.0)
    alone = make_model(Design("rewards", "latent", dynamics))
    expected = gradients(alone, batch)
    measured = gradients(none, batch)
    assert set(measured) == set(expected)
    for name, gradient in expected.items():
        torch.testing.assert_close(measured[name], gradient)


def test_a_part_of_the_image_is_a_sum_over_that_part():
    batch = make_batch()
    half, whole = make_model(FULL, image_fraction=0.5), make_model(FULL)
    metrics, full = loss_of(half, batch).metrics, loss_of(whole, batch).metrics
    assert half.mask.mean() == 0.5
    torch.testing.assert_close(metrics["image_loss_full"], full["image_loss"])
    torch.testing.assert_close(metrics["open_loop_image_loss_full"], full["open_loop_image_loss"])
    assert 0.2 * full["image_loss"] < metrics["image_loss"] < 0.8 * full["image_loss"]
    assert "mask" not in half.state_dict()


def test_predicting_images_adds_a_decoder_alone():
    images, rewards = make_model(FULL), make_model(REWARDS)
    shared = {name: value for name, value in images.state_dict().items() if not name.startswith("decoder")}
    same(shared, rewards.state_dict(), tolerance=0)


def test_deterministic_features_are_as_wide_as_stochastic_ones():
    widths = [sum(make_model(design).cell.widths) for design in (FULL, DETERMINISTIC)]
    assert widths[0] == widths[1]
    state = make_model(DETERMINISTIC).initial(2)
    assert state.stochastic.shape == (2, 0)
    assert state.features.shape == (2, widths[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reward_gradient": "stoped"}, "no reward_gradient stoped"),
        ({"reward_gradient": "stopped", "image_fraction": 0.0}, "nothing to learn"),
        ({"leaking_reward": True}, "write reward_from: image"),
        ({"blind_inputs": True}, "pixel designs"),
        ({"size": "tyni"}, "did you mean tiny"),
        ({"side": 6}, "at least 8"),
    ],
)
def test_what_it_cannot_do_is_an_error(change, message):
    with pytest.raises(ValueError, match=message):
        make_model(FULL, **change)


def test_without_rewards_there_is_no_reward_head():
    design = ModelDesign(size="tiny")
    spec = replace(make_model(FULL).spec, predict_rewards=False)
    model, batch = RSSM(spec, design), make_batch()
    assert not any(name.startswith("reward") for name in model.state_dict())
    metrics = loss_of(model, batch).metrics
    assert set(metrics) == {"image_loss", "kl", "open_loop_image_loss"}
    noise = draw(model.draws("predict", (3,), 4))
    forecast = model.predict(observed(model, batch), batch.action[:, :4], noise, decode=True)
    assert forecast.reward.shape == (3, 4)
    assert not forecast.reward.any()
    assert forecast.image is not None


def test_a_stopped_reward_gradient_leaves_the_continuation_its_own():
    weights = LossWeights(image_scale=0.0, reward_scale=0.0, kl_scale=0.0)
    model = make_model(DETERMINISTIC, weights=weights, reward_gradient="stopped", continues=True)
    assert {name.split(".")[0] for name in gradients(model, make_batch())} == {"continues", "cell", "encoder"}


@pytest.mark.parametrize("dynamics", ["deterministic", "stochastic"])
def test_the_whole_image_as_a_part_trains_as_the_full_design_does(dynamics):
    batch = make_batch()
    full, whole = (make_model(Design("images", "latent", dynamics), image_fraction=f) for f in (1.0, 0.9999))
    assert full.mask is None
    assert whole.mask.all()
    expected, measured = gradients(full, batch), gradients(whole, batch)
    assert set(measured) == set(expected)
    for name, gradient in expected.items():
        torch.testing.assert_close(measured[name], gradient)


def test_image_loss_grows_with_nested_parts():
    batch = make_batch()
    losses = [
        loss_of(make_model(FULL, image_fraction=f), batch).metrics["image_loss"] for f in (0, 0.2, 0.6, 1)
    ]
    assert losses[0] == 0
    assert losses == sorted(losses)
    parts = [make_model(FULL, image_fraction=f).mask for f in (0.2, 0.6)]
    assert ((parts[0] <= parts[1]).all(), parts[0].sum().item()) == (True, round(0.2 * 16 * 16))


def test_stopping_the_only_gradient_is_an_error():
    with pytest.raises(ValueError, match="nothing to learn"):
        make_model(REWARDS, reward_gradient="stopped")
