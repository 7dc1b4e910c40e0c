"""Rewards read from decoded frames: causal, trained as used, with gradients that stop where they should."""

import pytest
import torch

from models.networks import scale_image
from models.rewnet import FrameState
from models.types import LossWeights
from tests.models.designs import (
    ACTIONS,
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
from tests.models.latent import forecast_errors, loss_noise

FORMS = [
    Design("images", "latent", dynamics, "image", gradient, variant)
    for dynamics in ("deterministic", "stochastic")
    for gradient in ("shared", "stopped")
    for variant in ("standard", "window")
]
every_form = pytest.mark.parametrize("design", FORMS, ids=name_of)
PLAIN = FORMS[0]
STOPPED = PLAIN._replace(reward_gradient="stopped")
B, C, H = 3, 4, 5
NOW = torch.tensor(0.5)


def actions_for(*lead, horizon=H):
    return 2 * torch.rand(*lead, horizon, ACTIONS, generator=torch.Generator().manual_seed(1)) - 1


def readings(model, call):
    """What the reward net says, in the order in which it is asked during `call`."""
    said = []
    hook = model.reward.net.register_forward_hook(lambda _net, _inputs, out: said.append(out.detach()))
    call()
    hook.remove()
    return said


def gradients(model, batch):
    loss_of(model, batch).total.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}


@every_form
def test_the_open_loop_terms_are_the_errors_of_what_predict_forecasts(design):
    model, batch = make_model(design, context=3), make_batch()
    noise = loss_noise(model)
    metrics = model.loss(batch, noise, NOW).metrics
    for name, error in forecast_errors(model, batch, noise).items():
        torch.testing.assert_close(metrics[name], error.detach())


def test_the_closed_loop_term_reads_each_column_after_the_true_frame_and_after_its_reconstruction():
    model, batch = make_model(PLAIN), make_batch()
    noise = draw(model.draws("loss", (B,), 6))
    state, belief_frames = model.initial(B), []
    for t in range(6):
        state = model.observe(state, column(batch, t), {})
        belief_frames.append(model.decoder(state.belief.features))
    net, true = model.reward.net, scale_image(batch.image.flatten(0, 1)).view(B, 6, 3, 16, 16)
    errors = []
    for t in range(1, 6):
        for before in (true[:, t - 1], belief_frames[t - 1]):
            codes = net.encode(before), net.encode(belief_frames[t])
            errors.append(net(*codes, batch.action[:, t]).squeeze(-1) - batch.reward[:, t])
    expected = 0.5 * torch.stack(errors).square().mean()
    torch.testing.assert_close(model.loss(batch, noise, NOW).metrics["reward_loss"], expected.detach())


@every_form
def test_the_reward_to_be_predicted_is_not_read(design):
    model, batch = make_model(design, context=3), make_batch()
    other = batch._replace(reward=batch.reward + 1)
    same(
        readings(model, lambda: loss_of(model, batch)),
        readings(model, lambda: loss_of(model, other)),
        tolerance=0,
    )
    noise = draw(model.draws("predict", (B,), H))
    forecasts = [
        model.predict(observed(model, b), actions_for(B), noise, decode=False).reward for b in (batch, other)
    ]
    torch.testing.assert_close(*forecasts, rtol=0, atol=0)


def test_leaking_reads_the_reward_of_the_step_in_training_and_the_last_observed_one_in_use():
    model, batch = make_model(PLAIN, leaking_reward=True), make_batch()
    other = batch._replace(reward=batch.reward + torch.eye(6)[4])
    before, after = (readings(model, lambda b=b: loss_of(model, b)) for b in (batch, other))
    for left, right in zip(before, after, strict=True):  # [readings, B, T, 1]
        changed = (left != right).flatten(0, 1).any(0).squeeze(-1)
        assert changed.tolist() == [False, False, False, False, True, False]
    states = [observed(model, b, 5) for b in (batch, other)]
    forecasts = [model.predict(state, actions_for(B), {}, decode=False).reward for state in states]
    assert (forecasts[0] != forecasts[1]).all()
    torch.testing.assert_close(states[1].reward[:, 0], other.reward[:, 4])
    same(observed(model, batch, 4), observed(model, other, 4), tolerance=0)


def test_a_reset_forgets_the_last_reward():
    model, batch = make_model(PLAIN, leaking_reward=True), make_batch()
    state = model.observe(observed(model, batch), column(batch, 4)._replace(first=torch.ones(B).bool()), {})
    assert not state.reward.any()


@pytest.mark.parametrize("dynamics", ["deterministic", "stochastic"])
def test_a_stopped_gradient_reaches_the_net_alone(dynamics):
    weights = LossWeights(image_scale=0.0, kl_scale=0.0)
    batch = make_batch()
    stopped = gradients(make_model(STOPPED._replace(dynamics=dynamics), weights=weights), batch)
    assert {name.split(".")[0] for name in stopped} == {"reward"}
    shared = gradients(make_model(PLAIN._replace(dynamics=dynamics), weights=weights), batch)
    assert {name.split(".")[0] for name in shared} == {"reward", "decoder", "cell", "encoder"}
    for name, gradient in stopped.items():
        torch.testing.assert_close(gradient, shared[name])


@pytest.mark.parametrize("dynamics", ["deterministic", "stochastic"])
def test_a_stopped_gradient_leaves_the_frames_as_they_are_without_rewards(dynamics):
    batch = make_batch()
    model = make_model(STOPPED._replace(dynamics=dynamics))
    silent = make_model(STOPPED._replace(dynamics=dynamics), weights=LossWeights(reward_scale=0.0))
    expected = gradients(silent, batch)
    measured = gradients(model, batch)
    assert expected
    for name, gradient in expected.items():
        torch.testing.assert_close(measured[name], gradient, rtol=0, atol=0)


def test_frames_are_decoded_to_plan_and_returned_only_if_asked_for():
    model = make_model(PLAIN)
    assert model.spec.decodes_to_plan
    state = observed(model, make_batch())
    shown = model.predict(state, actions_for(B), {}, decode=True)
    hidden = model.predict(state, actions_for(B), {}, decode=False)
    torch.testing.assert_close(hidden.reward, shown.reward, rtol=0, atol=0)
    assert hidden.image is None
    with torch.no_grad():
        model.decoder.layers[-1].bias += 0.1
    assert (model.predict(state, actions_for(B), {}, decode=False).reward != hidden.reward).all()


def test_the_reward_is_a_function_of_the_frames_that_are_shown():
    model, batch = make_model(PLAIN), make_batch()
    with torch.no_grad():
        model.decoder.layers[-1].weight *= 300  # many pixels beyond black and white
    state, actions = observed(model, batch), actions_for(B)
    forecast = model.predict(state, actions, {}, decode=True)
    clipped = ((forecast.image == 0) | (forecast.image == 1)).float().mean()
    assert 0.2 < clipped < 0.9
    frames = torch.cat([batch.image[:, 2:3] / 255, forecast.image], 1) - 0.5
    net = model.reward.net
    codes = net.encode(frames.flatten(0, 1)).view(B, H + 1, -1)
    torch.testing.assert_close(net(codes[:, :-1], codes[:, 1:], actions).squeeze(-1), forecast.reward)


def test_gradients_pass_where_frames_are_clipped():
    model = make_model(PLAIN)
    frames = (3 * torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))).requires_grad_()
    clipped = frames.detach().clamp(-0.5, 0.5).requires_grad_()
    torch.testing.assert_close(model.reward.see(frames), model.reward.net.encode(clipped))
    (through,) = torch.autograd.grad(model.reward.see(frames).sum(), frames)
    (direct,) = torch.autograd.grad(model.reward.net.encode(clipped).sum(), clipped)
    torch.testing.assert_close(through, direct)
    assert through.any()


def test_a_real_frame_is_encoded_once_for_all_candidates():
    model, batch = make_model(PLAIN), make_batch()
    sizes = []
    model.reward.net.encoder.register_forward_hook(lambda _net, images, _out: sizes.append(len(images[0])))
    state = observed(model, batch, 1)
    assert isinstance(state, FrameState)
    assert sizes == [B]
    model.predict(model.expand(state, C), actions_for(B, C), {}, decode=False)
    assert sizes == [B] + [B * C] * H


@every_form
def test_every_form_compiles_with_all_its_options(design):
    model = make_model(design, leaking_reward=True, context=3, continues=True, image_fraction=0.5)
    batch = make_batch()
    noise = draw(model.draws("loss", (B,), 6))
    torch.compiler.reset()
    compiled = torch.compile(model.loss, fullgraph=True, backend="eager")(batch, noise, NOW)
    torch.testing.assert_close(compiled.total, model.loss(batch, noise, NOW).total)


def test_no_part_of_the_image_leaves_the_frames_to_the_reward():
    model = make_model(PLAIN, image_fraction=0.0)
    loss = loss_of(model, make_batch())
    assert loss.metrics["image_loss"] == 0 < loss.metrics["image_loss_full"]
    loss.total.backward()
    assert all(p.grad.any() for p in model.decoder.parameters())


@pytest.mark.parametrize(
    ("design", "change", "message"),
    [
        (STOPPED, {"image_fraction": 0.0}, "nothing to learn from"),
        (PLAIN._replace(predict="rewards"), {}, "predict: images"),
        (PLAIN._replace(reward_from="state"), {"leaking_reward": True}, "write reward_from: image"),
        (PLAIN, {"blind_inputs": True}, "pixel designs"),
        (PLAIN._replace(reward_from="frame"), {}, "no reward_from frame"),
        (PLAIN._replace(reward_gradient="separate"), {}, "write reward_gradient: stopped"),
    ],
)
def test_what_makes_no_sense_is_an_error(design, change, message):
    with pytest.raises(ValueError, match=message):
        make_model(design, **change)
