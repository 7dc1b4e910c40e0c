"""The reward predictors without recurrence: against naive loops, and what they refuse."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from harness.cost import model_cost
from models.feedforward import ActionsOnly, FeedForward
from models.pixel_rewards import SLOPE
from models.types import LossWeights, ModelDesign
from tests.models.designs import (
    ACTIONS,
    CONTEXT,
    Design,
    draw,
    loss_of,
    make_batch,
    make_model,
    make_spec,
    observed,
)

FORWARD = Design("rewards", "pixel", "deterministic", variant="feedforward")
BLIND = Design("rewards", "pixel", "deterministic", variant="actions")


def random_actions(*lead, seed=1):
    return 2 * torch.rand(*lead, ACTIONS, generator=torch.Generator().manual_seed(seed)) - 1


@torch.no_grad()
def test_a_forecast_is_the_flattened_net_cut_at_each_step():
    """Step by step and action by action, in loops."""
    model, actions = make_model(FORWARD), random_actions(3, 7)
    state = observed(model, make_batch())
    reward = model.predict(state, actions, {}, decode=False).reward
    for row in range(3):
        between = [model.encode_actions(state.actions[row, k]) for k in range(1, CONTEXT)]
        context = torch.cat([state.frames[row].flatten(), *between])
        for i in range(7):
            x = model.context.weight @ context + model.bias[i]
            for j in range(i + 1):
                x = x + model.encode_actions(actions[row, j]) @ model.weight[j]
            for layer in model.head:
                x = layer(F.leaky_relu(x, SLOPE))
            torch.testing.assert_close(reward[row, i], x[0])


@torch.no_grad()
def test_steps_are_told_apart():
    """The same action at another step has another effect: neither a mean of actions nor a memory of one."""
    model = make_model(FORWARD)
    state, action = observed(model, make_batch()), random_actions(3)
    rewards = []
    for step in range(3):
        actions = torch.zeros(3, 4, ACTIONS)
        actions[:, step] = action
        rewards.append(model.predict(state, actions, {}, decode=False).reward[:, 3])
    for left, right in ((0, 1), (1, 2), (0, 2)):
        assert ((rewards[left] - rewards[right]).abs() > 1e-5).all()


@pytest.mark.parametrize("design", [FORWARD, BLIND])
def test_the_loss_is_the_error_of_what_predict_forecasts(design):
    model, batch = make_model(design, weights=LossWeights(reward_scale=2.0)), make_batch()
    forecast = model.predict(observed(model, batch, CONTEXT), batch.action[:, CONTEXT:], {}, decode=False)
    expected = (forecast.reward - batch.reward[:, CONTEXT:]).square().mean()
    noise = draw(model.draws("loss", (3,), 6))
    if "reset" in noise:
        noise["reset"] = torch.ones(3)
    torch.testing.assert_close(model.loss(batch, noise, torch.zeros(())).total, expected)


def test_dropout_leaves_a_fifth_out_in_the_loss_alone():
    assert set(make_model(FORWARD).draws("loss", (3,), 6)) == {"reset"}, "none unless asked for"
    model, batch = make_model(FORWARD, dropout=0.2), make_batch()
    draws = model.draws("loss", (3,), 6)
    assert {name: (d.shape, d.kind) for name, d in draws.items()} == {
        "dropout1": ((3, 4, 144), "uniform"),
        "dropout2": ((3, 4, 64), "uniform"),
        "reset": ((3,), "uniform"),
    }
    kept = {name: torch.ones(d.shape) for name, d in draws.items()}
    some = kept | {"dropout1": torch.full((3, 4, 144), 0.21)}
    dropped = kept | {"dropout1": torch.full((3, 4, 144), 0.19)}
    totals = [model.loss(batch, noise, torch.zeros(())).total for noise in (dropped, some, kept)]
    assert totals[0] != totals[1] == totals[2]


def test_no_forecast_is_longer_than_what_was_trained():
    model = make_model(FORWARD, forecast=4)
    state = observed(model, make_batch())
    assert model.predict(state, random_actions(3, 4), {}, decode=False).reward.shape == (3, 4)
    with pytest.raises(ValueError, match=r"5 steps: the feedforward form has weights for 4, "):
        model.predict(state, random_actions(3, 5), {}, decode=False)
    with pytest.raises(ValueError, match="5 steps"):
        loss_of(model, make_batch(columns=CONTEXT + 5))


def test_the_feedforward_paper_preset_is_as_large_as_the_reference():
    """Encoders as there; 128 units see the context of 16 and 12 action codes of 16."""
    spec = replace(make_spec(FORWARD, side=64, actions=6), context=1)
    model = FeedForward(spec, ModelDesign(size="paper", forecast=12))
    count = {
        name: sum(p.numel() for p in getattr(model, name).parameters())
        for name in ("encoder", "action_layers", "context", "head")
    }
    assert count["encoder"] == 896 + 18_496 + 9_232 + (7 * 7 * 16 + 1) * 16
    assert count["action_layers"] == 7 * 64 + 65 * 32 + 33 * 16
    assert count["context"] + model.weight.numel() == (16 + 12 * 16) * 128
    assert count["head"] == 129 * 32 + 33


@pytest.mark.parametrize("size", ["tiny", "small", "large"])
@pytest.mark.parametrize("side", [32, 64])
def test_the_feedforward_presets_match_the_recurrent_ones(size, side):
    """In what planning needs, at 12 columns of forecast."""
    designs = (FORWARD, FORWARD._replace(variant="standard"))
    counts = [model_cost(make_model(d, size=size, side=side)).parameters for d in designs]
    assert max(counts) <= 1.1 * min(counts)


def test_the_first_layer_starts_as_a_flattened_one_would():
    """Uniform within one over the root of its inputs: 2 frame codes of 32, 16 between them, 12 codes of 16."""
    model = make_model(FORWARD)
    bound = (2 * 32 + 16 + 12 * 16) ** -0.5
    for parameter in (model.context.weight, model.weight, model.bias):
        assert 0.97 * bound < parameter.abs().max() <= bound


def test_blind_inputs_hide_the_frames():
    changes = []
    for model in (make_model(FORWARD), make_model(FORWARD, blind_inputs=True)):
        rewards = [
            model.predict(observed(model, b), make_batch().action[:, 3:], {}, decode=False).reward
            for b in (make_batch(), make_batch()._replace(image=make_batch(seed=1).image))
        ]
        changes.append((rewards[0] - rewards[1]).abs().max())
    assert changes[0] > 1e-3
    assert 0 <= changes[1] < 1e-4


def test_the_baseline_sees_the_action_of_the_step_alone():
    model, actions = make_model(BLIND), random_actions(3, 7)
    reward = model.predict(observed(model, make_batch()), actions, {}, decode=False).reward
    fresh = model.predict(model.initial(3), actions, {}, decode=False).reward
    assert torch.equal(reward, fresh)
    order = torch.tensor([6, 2, 0, 1, 5, 4, 3])
    torch.testing.assert_close(
        model.predict(model.initial(3), actions[:, order], {}, decode=False).reward, reward[:, order]
    )
    assert reward.std() > 1e-3


@torch.no_grad()
def test_the_baseline_is_the_reference_net():
    """Three layers of 64 with layer norm after a linear embedding, then one output."""
    model = ActionsOnly(make_spec(BLIND, actions=6), ModelDesign(size="paper", variant="actions"))
    assert sum(p.numel() for p in model.parameters()) == 7 * 64 + 3 * (65 * 64 + 2 * 64) + 65
    action = torch.linspace(-1, 1, 6)
    x = model.embedding.weight @ action + model.embedding.bias
    for layer, norm in zip(model.layers, model.norms, strict=True):
        x = layer.weight @ x + layer.bias
        x = (x - x.mean()) / (x.var(unbiased=False) + norm.eps).sqrt()
        x = (x * norm.weight + norm.bias).clamp(min=0)
    expected = model.head.weight[0] @ x + model.head.bias[0]
    reward = model.predict(model.initial(1), action.view(1, 1, 6), {}, decode=False).reward
    torch.testing.assert_close(reward[0, 0], expected)


def test_the_baseline_plans_with_what_it_has_learnt():
    """The reference's forecast with its initial weights for ever; a reward that actions tell is learnt here."""
    model = make_model(BLIND)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for update in range(300):
        batch = make_batch(clips=32, seed=update)
        reward = -batch.action.square().sum(-1)
        optimizer.zero_grad()
        loss_of(model, batch._replace(reward=reward)).total.backward()
        optimizer.step()
    actions = random_actions(1, 200, seed=7)
    with torch.no_grad():
        forecast = model.predict(model.initial(1), actions, {}, decode=False).reward
    truth = -actions.square().sum(-1)
    assert (forecast - truth).square().mean() < 0.05 * truth.var()


@pytest.mark.parametrize("design", [FORWARD, BLIND])
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"reward_gradient": "stopped"}, "reaches all of it"),
        ({"reward_from": "image"}, "one reward, from its state"),
        ({"leaking_reward": True}, "leaking_reward has no place"),
        ({"options": {"a": 1}}, "no options: a"),
    ],
)
def test_what_makes_no_sense_is_refused(design, fields, message):
    with pytest.raises(ValueError, match=message):
        make_model(design, **fields)


@pytest.mark.parametrize("design", [FORWARD, BLIND])
def test_it_is_deterministic_and_predicts_no_images(design):
    with pytest.raises(ValueError, match=f"{design.variant} has no stochastic form; write dynamics"):
        make_model(design._replace(dynamics="stochastic"))
    model = {FORWARD: FeedForward, BLIND: ActionsOnly}[design]
    with pytest.raises(ValueError, match="rewards only"):
        model(make_spec(design._replace(predict="images")), ModelDesign(size="tiny", variant=design.variant))


def test_a_design_without_frames_cannot_be_blinded():
    with pytest.raises(ValueError, match="sees no frames"):
        make_model(BLIND, blind_inputs=True)
