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
from tests.models.learning import build, errors, held_out, train

DESIGN = Design("rewards", "pixel", "deterministic")
STOCHASTIC = Design("rewards", "pixel", "stochastic")
NO_RESET = {"reset": torch.ones(3)}


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


def test_some_clips_train_the_context_of_a_reset():
    """With `reset` drawn below its part, the loss is that of a forecast right after a reset to the last frame."""
    model, batch = make_model(DESIGN, weights=LossWeights(reward_scale=2.0)), make_batch()
    rows = torch.tensor([True, False, False])
    state = observed(model, batch, CONTEXT - 1)
    state = model.observe(state, column(batch, CONTEXT - 1)._replace(first=rows), {})
    reward = model.predict(state, batch.action[:, CONTEXT:], {}, decode=False).reward
    expected = (reward - batch.reward[:, CONTEXT:]).square().mean()
    noise = {"reset": torch.tensor([0.1, 0.2, 0.9])}
    torch.testing.assert_close(model.loss(batch, noise, torch.zeros(())).total, expected)


def test_the_loss_is_the_error_of_what_predict_forecasts():
    model, batch = make_model(DESIGN, weights=LossWeights(reward_scale=2.0)), make_batch()
    forecast = model.predict(observed(model, batch, CONTEXT), batch.action[:, CONTEXT:], {}, decode=False)
    expected = (forecast.reward - batch.reward[:, CONTEXT:]).square().mean()
    torch.testing.assert_close(model.loss(batch, NO_RESET, torch.zeros(())).total, expected)


def test_dropout_leaves_a_fifth_out_in_the_loss_alone():
    assert set(make_model(DESIGN).draws("loss", (3,), 6)) == {"reset"}, "none unless asked for"
    model, batch = make_model(DESIGN, dropout=0.2), make_batch()
    draws = model.draws("loss", (3,), 6)
    assert {name: (d.shape, d.kind) for name, d in draws.items()} == {
        "dropout1": ((3, 4, 64), "uniform"),
        "dropout2": ((3, 4, 32), "uniform"),
        "reset": ((3,), "uniform"),
    }
    all_kept = {name: torch.ones(d.shape) for name, d in draws.items()}
    dropped = dict(all_kept, dropout2=torch.full((3, 4, 32), 0.19))
    kept = dict(all_kept, dropout2=torch.full((3, 4, 32), 0.21))
    totals = [model.loss(batch, noise, torch.zeros(())).total for noise in (dropped, kept, all_kept)]
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
def test_the_loss_is_the_evidence_lower_bound(continues):
    """Against torch.distributions: -log p(rewards, ends | z) + KL of each clip, without weights and open-loop term.

    The unit-variance Gaussian's log density is half the squared error up to a constant.
    """
    weights = LossWeights(reward_scale=1.0, kl_scale=1.0, open_loop_weight=0.0)
    model, batch = make_model(STOCHASTIC, weights=weights, continues=continues), make_batch()
    mask = batch.mask.clone()
    mask[1, 4:] = 0
    terminal = batch.terminal.clone()
    terminal[1, 3] = True
    batch = batch._replace(mask=mask, terminal=terminal)
    noise = NO_RESET | {"latent": draw(model.draws("loss", (3,), 6))["latent"]}
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


def test_no_nats_are_free():
    """The prior is fixed: they would only let the posterior tell so much of the rewards at no cost."""
    model = make_model(STOCHASTIC, weights=LossWeights(reward_scale=0.0, kl_scale=2.0, free_nats=1e4))
    loss = loss_of(model, make_batch())
    torch.testing.assert_close(loss.total, 2 * loss.metrics["kl"])
    loss.total.backward()
    assert model.inference.posterior.weight.grad.any()


@pytest.mark.parametrize("continues", [False, True])
def test_the_open_loop_term_is_the_error_of_the_mean_of_two_forecasts(continues):
    """By `predict` with each of the two draws of z, on the columns that exist, with its weights."""
    weights = LossWeights(reward_scale=3.0, kl_scale=0.0, open_loop_weight=0.7)
    model, batch = make_model(STOCHASTIC, weights=weights, continues=continues), make_batch()
    mask = batch.mask.clone()
    mask[1, 4:] = 0
    terminal = batch.terminal.clone()
    terminal[1, 3] = True
    batch = batch._replace(mask=mask, terminal=terminal)
    noise = draw(model.draws("loss", (3,), 6)) | NO_RESET
    loss, state = model.loss(batch, noise, torch.zeros(())), observed(model, batch, CONTEXT)
    left, right = (
        model.predict(state, batch.action[:, CONTEXT:], {"latent": noise["futures"][:, i]}, decode=False)
        for i in range(2)
    )
    scored = mask[:, CONTEXT:] > 0
    target, ends = batch.reward[:, CONTEXT:], terminal[:, CONTEXT:]
    product = (left.reward - target) * (right.reward - target)
    expected = 0.5 * product[scored].mean()
    torch.testing.assert_close(loss.metrics["open_loop_reward_loss"], expected)
    weighted, rest = 3 * expected, 3 * loss.metrics["reward_loss"]
    if continues:
        entropy = -sum(torch.where(ends, 1 - f.continues, f.continues).log() for f in (left, right)) / 2
        torch.testing.assert_close(loss.metrics["open_loop_continue_loss"], entropy[scored].mean())
        weighted, rest = weighted + entropy[scored].mean(), rest + loss.metrics["continue_loss"]
    torch.testing.assert_close(loss.total, rest + 0.7 * weighted)


@pytest.mark.slow
def test_the_open_loop_term_makes_a_forecast_read_frames_and_actions():
    """In a world without chance. Else z, which has seen the rewards in training, stands for what these tell.

    Squared errors of the mean forecast over those of "repeat the last reward"; two seeds gave 0.043 and 0.046 with the
    term, 0.143 and 0.104 without, 0.031 and 0.021 for the deterministic form.
    """
    relative = []
    for weight in (1.0, 0.0):
        model = build(STOCHASTIC, seed=1, weights=LossWeights(open_loop_weight=weight))
        train(model, 800, world="linear", rate=1e-3, seed=1)
        measured = errors(model, held_out("linear"))
        relative.append((measured["reward_error_mean_mse"] / measured["reward_error_baseline_mse"]).mean())
    assert relative[0] < 0.08
    assert relative[0] < 0.6 * relative[1]


def test_the_open_loop_term_changes_no_other():
    """The same draws with and without it: the same terms of the evidence lower bound."""
    batch, losses = make_batch(), []
    for weight in (0.0, 1.0):
        model = make_model(STOCHASTIC, weights=LossWeights(open_loop_weight=weight))
        noise = draw(model.draws("loss", (3,), 6)) | NO_RESET
        assert ("futures" in noise) == (weight > 0)
        losses.append(model.loss(batch, noise | {"latent": torch.full((3, 8), 0.3)}, torch.zeros(())))
    for name, value in losses[0].metrics.items():
        torch.testing.assert_close(value, losses[1].metrics[name])
    assert {"reward_loss", "kl"} == set(losses[0].metrics)
    assert set(losses[1].metrics) - set(losses[0].metrics) == {"open_loop_reward_loss"}


def test_each_future_has_a_dropout_of_its_own():
    """Else what they have in common would count as their mean's error."""
    model = make_model(STOCHASTIC, dropout=0.2)
    draws = model.draws("loss", (3,), 6)
    assert {name: d.shape for name, d in draws.items()} == {
        "latent": (3, 8), "futures": (3, 2, 8), "dropout1": (3, 3, 4, 64), "dropout2": (3, 3, 4, 32), "reset": (3,)
    }  # fmt: skip
    noise = draw(draws)
    before = model.loss(make_batch(), noise, torch.zeros(())).metrics
    for row, name in ((0, "reward_loss"), (1, "open_loop_reward_loss"), (2, "open_loop_reward_loss")):
        other = noise["dropout2"].clone()
        other[:, row] = 1
        after = model.loss(make_batch(), noise | {"dropout2": other}, torch.zeros(())).metrics
        assert [key for key in before if before[key] != after[key]] == [name]


def test_a_deterministic_form_has_no_futures():
    model = make_model(DESIGN)
    assert "futures" not in model.draws("loss", (3,), 6)
    assert "open_loop_reward_loss" not in loss_of(model, make_batch()).metrics


@pytest.mark.parametrize("design", [DESIGN, STOCHASTIC], ids=["deterministic", "stochastic"])
def test_rewards_of_the_past_are_not_seen(design):
    model, batch = make_model(design), make_batch()
    noise = draw(model.draws("predict", (3,), 3))
    left, right = (
        model.predict(observed(model, b), batch.action[:, 3:], noise, decode=False).reward
        for b in (batch, batch._replace(reward=batch.reward + 5))
    )
    assert torch.equal(left, right)


def test_the_posterior_sees_actions_and_rewards_up_to_the_clips_end():
    model, batch = make_model(STOCHASTIC), make_batch()
    action, reward = batch.action.clone().requires_grad_(), batch.reward.clone().requires_grad_()
    mask = torch.ones(3, 4)
    mask[0, 2:] = 0
    mean = posterior_of(model, batch._replace(action=action, reward=reward), mask).mean
    for row, last in ((0, 3), (1, 5)):
        actions, rewards = torch.autograd.grad(mean[row].sum(), (action, reward), retain_graph=True)
        for seen, first in ((actions.abs().sum(2), 1), (rewards.abs(), CONTEXT)):
            assert (seen[row] > 0).tolist() == [first <= t <= last for t in range(6)]
            assert not torch.cat([seen[:row], seen[row + 1 :]]).any()


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
    model = make_model(STOCHASTIC)
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
    assert ((reward.abs() - 1).abs() < 0.5).float().mean() > 0.9
    assert 0.25 < (reward > 0).float().mean() < 0.75
    assert (reward.sign() == reward[:, :1].sign()).float().mean() > 0.9
