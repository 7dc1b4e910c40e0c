"""The windowed RSSM: what it sees, what it does not, and that training starts forecasts from such beliefs."""

import itertools

import pytest
import torch

from models.trees import leaves
from models.types import LossWeights, SequenceBatch
from tests.models.designs import (
    ACTIONS,
    Design,
    column,
    draw,
    loss_of,
    make_batch,
    make_model,
    name_of,
    same,
)
from tests.models.latent import forecast_errors, loss_noise, observed_as_in

FORMS = [
    Design(predict, "latent", dynamics, variant="window")
    for predict, dynamics in itertools.product(("images", "rewards"), ("deterministic", "stochastic"))
]
FORMS.append(Design("images", "latent", "stochastic", "image", variant="window"))
every_form = pytest.mark.parametrize("design", FORMS, ids=name_of)
B = 3


def standard(design):
    return design._replace(variant="standard")


def watched(model, batch, columns=6):
    """The state after so many columns, each observed with the same noise whatever came before."""
    noise = draw(model.draws("observe", (B,)))
    state = model.initial(B)
    for t in range(columns):
        state = model.observe(state, column(batch, t), noise)
    return state


def belief_of(state):
    """[B, D + S]"""
    return torch.cat(list(leaves(state.seen))[:2], -1)


def changed(batch, part, t):
    """The batch with another value at column t of a part."""
    value = getattr(batch, part).clone()
    value[:, t] = 255 - value[:, t] if part == "image" else value[:, t] + 1
    return batch._replace(**{part: value})


@every_form
@pytest.mark.parametrize("context", [1, 2, 4])
def test_what_is_older_than_the_window_is_forgotten(design, context):
    model, batch = make_model(design, context=context), make_batch()
    state = watched(model, batch)
    for t in range(6 - context):
        for part in ("image", "action"):
            same(watched(model, changed(batch, part, t)), state, tolerance=0)


@every_form
@pytest.mark.parametrize("context", [1, 2, 4])
def test_every_column_of_the_window_counts_but_not_the_action_that_led_to_it(design, context):
    model, batch = make_model(design, context=context), make_batch()
    belief = belief_of(watched(model, batch))
    for t in range(6 - context, 6):
        assert (belief_of(watched(model, changed(batch, "image", t))) != belief).any(1).all()
        acted = belief_of(watched(model, changed(batch, "action", t))) != belief
        assert acted.any() == (t > 6 - context)


@every_form
@pytest.mark.parametrize(("context", "seen"), [(4, 2), (4, 4), (4, 6), (1, 3)])
def test_the_belief_is_that_of_an_rssm_that_saw_the_window_alone(design, context, seen):
    model, ordinary = make_model(design, context=context), make_model(standard(design))
    same(model.state_dict(), ordinary.state_dict(), tolerance=0)
    batch = make_batch()
    noise = draw(model.draws("observe", (B,)))
    expected = ordinary.initial(B)
    begin = max(seen - context, 0)
    for t in range(begin, seen):
        place = t - seen + context
        step = {"posterior": noise["posterior"][:, place]} if noise else {}
        obs = column(batch, t)
        expected = ordinary.observe(expected, obs._replace(first=torch.full((B,), t == begin)), step)
    same(watched(model, batch, seen).seen, expected)


@every_form
def test_a_reset_shortens_the_window(design):
    """What was seen before is not used, even while the window is not full again."""
    model, batch = make_model(design, context=4), make_batch()
    noise = draw(model.draws("observe", (B,)))
    state, fresh = watched(model, batch, 5), model.initial(B)
    for t in range(3):
        state = model.observe(state, column(batch, t), noise)
        fresh = model.observe(fresh, column(batch, t), noise)
        assert state.columns.tolist() == [t + 1] * B
        same(state, fresh, tolerance=0)


@every_form
@pytest.mark.parametrize("context", [1, 2, 3, 8])
def test_the_open_loop_terms_are_the_errors_of_what_predict_forecasts(design, context):
    model, batch = make_model(design, context=context), make_batch()
    if design.predict == "images" and design.reward_from == "state":
        model.decoder = None  # a quarter of the frames is decoded, an estimate; see test_rssm
    noise = loss_noise(model)
    metrics = model.loss(batch, noise, torch.tensor(0.5)).metrics
    for name, error in forecast_errors(model, batch, noise).items():
        torch.testing.assert_close(metrics[name], error.detach())


@every_form
def test_without_an_open_loop_term_clips_are_cut_into_windows(design):
    weights = LossWeights(open_loop_weight=0.0)
    model = make_model(design, context=2, weights=weights)
    batch = make_batch()
    noise = draw(model.draws("loss", (B,), 6))
    begins = torch.arange(6) % 2 == 0
    cut = batch._replace(action=batch.action.masked_fill(begins[None, :, None], 0))
    pieces = SequenceBatch(*(part.unflatten(1, (3, 2)).flatten(0, 1) for part in cut))
    piece_noise = {name: value.unflatten(1, (3, 2)).flatten(0, 1) for name, value in noise.items()}
    expected = make_model(standard(design), weights=weights).loss(pieces, piece_noise, torch.tensor(0.5))
    metrics = model.loss(batch, noise, torch.tensor(0.5)).metrics
    if design.reward_from == "image":  # which also reads the frame and the action before the window
        for name in ("image_loss", "kl"):
            torch.testing.assert_close(metrics[name], expected.metrics[name])
    else:
        same(metrics, expected.metrics)


@every_form
def test_a_window_as_long_as_the_clip_trains_as_the_rssm_does(design):
    weights, batch = LossWeights(open_loop_weight=0.0), make_batch()
    windowed = loss_of(make_model(design, context=6, weights=weights), batch)
    ordinary = loss_of(make_model(standard(design), weights=weights), batch)
    torch.testing.assert_close(windowed.total, ordinary.total, rtol=0, atol=0)


@every_form
def test_the_forecast_of_a_training_clip_comes_from_its_window_alone(design):
    model, batch = make_model(design, context=2), make_batch()
    noise = loss_noise(model) | {"split": torch.full((B,), 0.99)}  # k = 5: the window is columns 3 and 4

    def error(data):
        return model.loss(data, noise, torch.tensor(0.5)).metrics["open_loop_reward_loss"]

    for part, first in (("image", 3), ("action", 4)):
        for t in range(5):
            assert (error(changed(batch, part, t)) != error(batch)) == (t >= first)


def test_the_state_that_is_expanded_is_a_view():
    model = make_model(FORMS[1], context=3)
    state = watched(model, make_batch())
    for wide, narrow in zip(leaves(model.expand(state, 5)), leaves(state), strict=True):
        assert wide.shape[:2] == (B, 5)
        assert wide.data_ptr() == narrow.data_ptr()
    assert model.draws("observe", (B,))["posterior"].shape == (B, 3, 16)
    assert state.actions.shape == (B, 3, ACTIONS)


def test_two_ways_to_the_same_window_are_one_belief():
    model, batch = make_model(FORMS[0], context=3), make_batch()
    noise = loss_noise(model)
    state = observed_as_in(model, batch, noise, 6)
    late = SequenceBatch(*(part[:, 2:] for part in batch))._replace(first=batch.first[:, :4])
    same(observed_as_in(model, late, {}, 4), state, tolerance=0)
