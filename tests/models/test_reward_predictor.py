"""The recurrent reward predictor: its context, its dropout, its loss."""

from dataclasses import replace

import pytest
import torch

from models.reward_predictor import RewardPredictor
from models.types import LossWeights, ModelDesign
from tests.models.designs import (
    CONTEXT,
    Design,
    column,
    loss_of,
    make_batch,
    make_model,
    make_spec,
    observed,
    same,
)

DESIGN = Design("rewards", "pixel", "deterministic")
GOLDEN = 1.5214
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


def test_losses_have_not_moved():
    """A number of this implementation from a fixed seed: a change of it changes the meaning of a run."""
    assert loss_of(make_model(DESIGN), make_batch()).total.item() == pytest.approx(GOLDEN, rel=1e-3)


def test_clips_without_a_forecast_are_an_error():
    model = make_model(DESIGN)
    with pytest.raises(ValueError, match="leave none to forecast"):
        loss_of(model, make_batch(columns=3)._replace(mask=torch.ones(3, 2)))


@pytest.mark.parametrize("gradient", ["stopped", "separate"])
def test_the_reward_is_all_it_learns_from(gradient):
    with pytest.raises(ValueError, match=r"reaches all of it|needs a design that predicts images"):
        make_model(DESIGN, reward_gradient=gradient)


def test_it_predicts_no_images():
    with pytest.raises(ValueError, match="rewards only"):
        RewardPredictor(make_spec(Design("images", "pixel", "deterministic")), ModelDesign(size="tiny"))
