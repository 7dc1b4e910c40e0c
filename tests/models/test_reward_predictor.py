"""The recurrent reward predictor: its context, its dropout, its loss, its latent."""

from dataclasses import replace

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from models.reward_predictor import RewardPredictor
from models.types import LossWeights, ModelDesign
from tests.models.designs import (
    CONTEXT,
    Design,
    column,
    draw,
    loss_of,
    make_batch,
    make_model,
    make_spec,
    observed,
    same,
)

DESIGN = Design("rewards", "pixel", "deterministic")
STOCHASTIC = Design("rewards", "pixel", "stochastic")
GOLDEN = {DESIGN: 1.5214, STOCHASTIC: 4.5090}
NO_DROPOUT = {"dropout1": torch.ones(3, 4, 64), "dropout2": torch.ones(3, 4, 32), "reset": torch.ones(3)}


def test_the_state_holds_the_last_columns_alone():
    model, batch = make_model(DESIGN), make_batch()
    state = observed(model, batch, columns=5)
    late = model.initial(3)
    for t in (3, 4):
        late = model.observe(late, column(batch, t), {})
    same(state, late)
    torch.testing.assert_close(state.actions, batch.action[:, 3:5])
    torch.testing.assert_close(state.rewards, batch.reward[:, 3:5])


def test_a_reset_fills_the_context_with_its_frame_and_zeros():
    model, batch = make_model(DESIGN), make_batch()
    obs = column(batch, 3)._replace(first=torch.tensor([True, False, False]))
    state = model.observe(observed(model, batch), obs, {})
    torch.testing.assert_close(state.frames[0, 0], state.frames[0, 1])
    assert not state.actions[0].any()
    assert not state.rewards[0].any()
    assert not torch.allclose(state.frames[1, 0], state.frames[1, 1])
    assert state.rewards[1].all()


def test_some_clips_train_the_context_of_a_reset(monkeypatch):
    """With `reset` drawn below its part, the loss is that of a forecast right after a reset to the last frame."""
    monkeypatch.setattr("models.pixel_rewards.DROPOUT", 0.0)
    model, batch = make_model(DESIGN, weights=LossWeights(reward_scale=2.0)), make_batch()
    rows = torch.tensor([True, False, False])
    state = observed(model, batch, CONTEXT - 1)
    state = model.observe(state, column(batch, CONTEXT - 1)._replace(first=rows), {})
    reward = model.predict(state, batch.action[:, CONTEXT:], {}, decode=False).reward
    expected = (reward - batch.reward[:, CONTEXT:]).square().mean()
    noise = NO_DROPOUT | {"reset": torch.tensor([0.1, 0.2, 0.9])}
    torch.testing.assert_close(model.loss(batch, noise, torch.zeros(())).total, expected)


def test_the_loss_is_the_error_of_what_predict_forecasts(monkeypatch):
    monkeypatch.setattr("models.pixel_rewards.DROPOUT", 0.0)
    model, batch = make_model(DESIGN, weights=LossWeights(reward_scale=2.0)), make_batch()
    forecast = model.predict(observed(model, batch, CONTEXT), batch.action[:, CONTEXT:], {}, decode=False)
    expected = (forecast.reward - batch.reward[:, CONTEXT:]).square().mean()
    torch.testing.assert_close(model.loss(batch, NO_DROPOUT, torch.zeros(())).total, expected)


def test_dropout_leaves_a_fifth_out_in_the_loss_alone():
    model, batch = make_model(DESIGN), make_batch()
    draws = model.draws("loss", (3,), 6)
    assert {name: (d.shape, d.kind) for name, d in draws.items()} == {
        "dropout1": ((3, 4, 64), "uniform"),
        "dropout2": ((3, 4, 32), "uniform"),
        "reset": ((3,), "uniform"),
    }
    dropped = dict(NO_DROPOUT, dropout2=torch.full((3, 4, 32), 0.19))
    kept = dict(NO_DROPOUT, dropout2=torch.full((3, 4, 32), 0.21))
    totals = [model.loss(batch, noise, torch.zeros(())).total for noise in (dropped, kept, NO_DROPOUT)]
    assert totals[0] != totals[1] == totals[2]
    assert model.draws("observe", (3,)) == model.draws("predict", (3, 2), 7) == {}


def test_frames_are_seen():
    """The reference scaled them to about 1e-7."""
    model, batch = make_model(DESIGN), make_batch()
    dark = batch._replace(image=torch.zeros_like(batch.image))
    left, right = (
        model.predict(observed(model, b), batch.action[:, 3:], {}, decode=False).reward for b in (batch, dark)
    )
    assert (left - right).abs().max() > 1e-4


def test_a_context_of_one_is_the_reference_model():
    """Frame code and action codes alone: 16 + 16 inputs of the first recurrent layer."""
    spec = replace(make_spec(DESIGN, side=64, actions=6), context=1)
    model = RewardPredictor(spec, ModelDesign(size="paper"))
    count = {
        name: sum(p.numel() for p in getattr(model, name).parameters())
        for name in ("encoder", "action_layers", "head")
    }
    assert count["encoder"] == 896 + 18_496 + 9_232 + (7 * 7 * 16 + 1) * 16
    assert count["action_layers"] == 7 * 64 + 65 * 32 + 33 * 16
    assert count["head"] == 65 * 128 + 129 * 32 + 33
    first = model.context.weight.numel() + sum(p.numel() for p in model.recurrent[0].parameters())
    assert first == 4 * 256 * (32 + 256 + 1)


@pytest.mark.parametrize("design", GOLDEN)
def test_losses_have_not_moved(design):
    """A number of this implementation from a fixed seed: a change of it changes the meaning of a run."""
    assert loss_of(make_model(design), make_batch()).total.item() == pytest.approx(GOLDEN[design], rel=1e-3)


def test_clips_without_a_forecast_are_an_error():
    model = make_model(DESIGN)
    with pytest.raises(ValueError, match="leave none to forecast"):
        loss_of(model, make_batch(columns=3)._replace(mask=torch.ones(3, 2)))


@pytest.mark.parametrize("gradient", ["stopped", "separate"])
def test_the_reward_is_all_it_learns_from(gradient):
    with pytest.raises(ValueError, match=r"reaches all of it|needs a design that predicts images"):
        make_model(DESIGN, reward_gradient=gradient)


def test_it_has_no_reward_to_leak():
    with pytest.raises(ValueError, match="leaking_reward has no place"):
        make_model(DESIGN, leaking_reward=True)


def test_it_predicts_no_images():
    with pytest.raises(ValueError, match="rewards only"):
        RewardPredictor(make_spec(Design("images", "pixel", "deterministic")), ModelDesign(size="tiny"))


def test_blind_inputs_hide_the_frames():
    """The forecast changes by less than 1e-4 with the frames, the reference's fault, only if asked for."""
    changes = []
    for model in (make_model(DESIGN), make_model(DESIGN, blind_inputs=True)):
        rewards = [
            model.predict(observed(model, b), make_batch().action[:, 3:], {}, decode=False).reward
            for b in (make_batch(), make_batch()._replace(image=make_batch(seed=1).image))
        ]
        changes.append((rewards[0] - rewards[1]).abs().max())
    assert changes[0] > 1e-3
    assert 0 <= changes[1] < 1e-4


def posterior_of(model, batch, mask=None):
    """The posterior of the clips' latents, their contexts not reset."""
    context = model.encode_context(model.context_of_clips(batch, torch.ones(3)))
    actions = model.encode_actions(batch.action[:, CONTEXT:])
    return model.infer(context, actions, batch, batch.mask[:, CONTEXT:] if mask is None else mask)


@pytest.mark.parametrize("continues", [False, True])
def test_the_loss_is_the_evidence_lower_bound(monkeypatch, continues):
    """Against torch.distributions: without free nats and weights, it is -log p(rewards, ends | z) + KL of each clip.

    The unit-variance Gaussian's log density is half the squared error up to a constant.
    """
    monkeypatch.setattr("models.pixel_rewards.DROPOUT", 0.0)
    weights = LossWeights(reward_scale=1.0, kl_scale=1.0, free_nats=0.0)
    model, batch = make_model(STOCHASTIC, weights=weights, continues=continues), make_batch()
    mask = batch.mask.clone()
    mask[1, 4:] = 0
    terminal = batch.terminal.clone()
    terminal[1, 3] = True
    batch = batch._replace(mask=mask, terminal=terminal)
    noise = NO_DROPOUT | {"latent": draw(model.draws("loss", (3,), 6))["latent"]}
    q = Normal(*posterior_of(model, batch))
    prior = Normal(torch.zeros_like(q.mean), torch.ones_like(q.mean))
    z = q.mean + q.stddev * noise["latent"]
    forecast = model.predict(
        observed(model, batch, CONTEXT), batch.action[:, CONTEXT:], {"latent": z}, decode=False
    )
    scored = mask[:, CONTEXT:] > 0
    log_p = Normal(forecast.reward, 1.0).log_prob(batch.reward[:, CONTEXT:]) - Normal(0.0, 1.0).log_prob(
        torch.zeros(())
    )
    if continues:
        log_p = log_p + torch.where(terminal[:, CONTEXT:], 1 - forecast.continues, forecast.continues).log()
    bound = (log_p * scored).sum(1) - kl_divergence(q, prior).sum(1)
    loss = model.loss(batch, noise, torch.zeros(()))
    torch.testing.assert_close(loss.total, -bound.sum() / scored.sum())
    torch.testing.assert_close(loss.metrics["kl"], kl_divergence(q, prior).sum() / scored.sum())


def test_free_nats_are_of_a_clip():
    """Below them the KL costs a constant and has no gradient; the bound is shared by the clip's columns."""
    batch, weights = make_batch(), LossWeights(reward_scale=0.0, kl_scale=2.0, free_nats=1e4)
    model = make_model(STOCHASTIC, weights=weights)
    total = loss_of(model, batch).total
    torch.testing.assert_close(total, torch.tensor(2 * 1e4 / 4))
    total.backward()
    assert not model.inference.posterior.weight.grad.any()


def test_the_posterior_sees_actions_and_rewards_up_to_the_clips_end():
    model, batch = make_model(STOCHASTIC), make_batch()
    action, reward = batch.action.clone().requires_grad_(), batch.reward.clone().requires_grad_()
    mask = torch.ones(3, 4)
    mask[0, 2:] = 0
    mean = posterior_of(model, batch._replace(action=action, reward=reward), mask).mean
    for gradient in torch.autograd.grad(mean[0].sum(), (action, reward), retain_graph=True):
        seen = gradient.flatten(2).abs().sum(2) if gradient.dim() == 3 else gradient.abs()
        assert (seen[0] > 0).tolist() == [False, True, True, True, False, False]
        assert not seen[1:].any()
    for gradient in torch.autograd.grad(mean[1].sum(), (action, reward)):
        seen = gradient.flatten(2).abs().sum(2) if gradient.dim() == 3 else gradient.abs()
        assert (seen[1] > 0).tolist() == [False, True, True, True, True, True]


def test_the_posterior_ignores_what_lies_behind_the_clips_end():
    model, batch, other = make_model(STOCHASTIC), make_batch(), make_batch(seed=3)
    mask = torch.ones(3, 4)
    mask[:, 2:] = 0
    mixed = [torch.cat([a[:, :4], b[:, 4:]], 1) for a, b in zip(batch, other, strict=True)]
    same(posterior_of(model, batch, mask), posterior_of(model, type(batch)(*mixed), mask))
    same(
        posterior_of(model, batch, mask),
        posterior_of(model, type(batch)(*(part[:, :4] for part in batch)), mask[:, :2]),
    )


def test_the_reward_teaches_the_inference_net():
    """Through the sample, even where the KL costs nothing."""
    model = make_model(STOCHASTIC, weights=LossWeights(kl_scale=0.0))
    loss_of(model, make_batch()).total.backward()
    assert all(p.grad.any() for p in model.inference.parameters())
    assert model.latent.weight.grad.any()


def test_one_latent_makes_a_whole_forecast():
    """It is drawn once, with no dimension of steps; another draw is another forecast, from its first step on."""
    model, batch = make_model(STOCHASTIC), make_batch()
    assert {n: d.shape for n, d in model.draws("predict", (3, 1), 7).items()} == {"latent": (3, 1, 8)}
    assert model.draws("observe", (3,)) == {}
    state, actions = observed(model, batch), batch.action[:, 3:]
    left, right = (
        model.predict(state, actions, draw(model.draws("predict", (3,), 3), seed), decode=False).reward
        for seed in (0, 1)
    )
    assert ((left - right).abs() > 1e-4).all()


def test_in_use_the_inference_net_rests():
    model, batch = make_model(STOCHASTIC), make_batch()
    noise = draw(model.draws("predict", (3,), 3))
    before = model.predict(observed(model, batch), batch.action[:, 3:], noise, decode=False).reward
    with torch.no_grad():
        for parameter in model.inference.parameters():
            parameter.fill_(torch.nan)
    after = model.predict(observed(model, batch), batch.action[:, 3:], noise, decode=False).reward
    assert torch.equal(after, before)


def test_the_latent_holds_what_the_clip_alone_does_not_tell():
    """Rewards are +1 or -1 for a whole clip, whatever is seen: both are forecast, neither their mean."""
    model = make_model(STOCHASTIC, weights=LossWeights(free_nats=0.0))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for update in range(400):
        batch = make_batch(clips=16, seed=update)
        sign = torch.where(torch.rand(16, 1, generator=generator) < 0.5, -1.0, 1.0)
        reward = torch.where(torch.arange(6) < CONTEXT, 0.0, sign)
        optimizer.zero_grad()
        loss_of(model, batch._replace(reward=reward), noise_seed=update).total.backward()
        optimizer.step()
    batch = make_batch(clips=64, seed=1000)
    state = observed(model, batch._replace(reward=torch.zeros(64, 6)), CONTEXT)
    noise = draw(model.draws("predict", (64,), 4))
    with torch.no_grad():
        reward = model.predict(state, batch.action[:, CONTEXT:], noise, decode=False).reward
    assert ((reward.abs() - 1).abs() < 0.3).float().mean() > 0.8
    assert 0.25 < (reward > 0).float().mean() < 0.75
    assert (reward.sign() == reward[:, :1].sign()).float().mean() > 0.9
