"""Every design learns worlds whose dynamics are known: a clip by heart, motion, rewards, a fork in the road.

One setting for all of them: the default loss weights, size `tiny`, and what `tests.models.learning` says. Errors
are those of the mean forecast, as the harness measures them; margins allow for the spread over seeds.
"""

import pytest
import torch

from models.types import LossWeights
from tests.models.designs import CORNERS, DESIGNS, name_of
from tests.models.learning import build, errors, forecasts, held_out, train

UPDATES = 300
FORK_UPDATES = 500
BY_HEART_RATE = 8e-3
SAMPLES = 32
pytestmark = pytest.mark.slow


def relative(measured, error):
    """A squared error of the mean forecast over that of "repeat the last", per step."""
    return measured[f"{error}_error_mean_mse"] / measured[f"{error}_error_baseline_mse"]


@pytest.mark.parametrize("design", DESIGNS, ids=name_of)
def test_a_clip_is_learnt_by_heart(design):
    """Squared errors of an open-loop forecast below a tenth of repeat-last; image error below 10 of 255."""
    model, clip = build(design), held_out("sprite", clips=1)
    train(model, UPDATES, clips=clip, rate=BY_HEART_RATE)
    measured = errors(model, clip)
    for error in ("reward", "image") if design.predict == "images" else ("reward",):
        total = measured[f"{error}_error_baseline_mse"].mean()
        assert measured[f"{error}_error_mean_mse"].mean() < 0.1 * total
    if design.predict == "images":
        assert measured["image_error_mean"].mean() < 10


@pytest.mark.parametrize("world", ["sprite", "linear"])
@pytest.mark.parametrize("design", CORNERS, ids=name_of)
def test_forecasts_of_unseen_clips_beat_repeating_the_last_at_every_step(design, world):
    """With a margin of a tenth: squared errors, and the error of the pixels that move."""
    model = build(design)
    train(model, UPDATES, world=world)
    measured = errors(model, held_out(world))
    assert (relative(measured, "reward") < 0.9).all()
    if design.predict == "images":
        assert (relative(measured, "image") < 0.9).all()
        assert (measured["image_error_moving"] < 0.9 * measured["image_error_moving_baseline"]).all()


def at_the_fork(model):
    """What a trained model forecasts for the last column of 16 clips.

    Returns:
        Rewards [16, S], and the share of frames that are nearest to the left future, to the right one, and to the
        mean of both, [3]; None for a model without images.
    """
    clips = held_out("fork", clips=16)
    forecast = forecasts(model, clips, SAMPLES if model.spec.stochastic else 1)
    rewards, image = forecast.reward[..., -1], forecast.image
    if image is None:
        return rewards, None
    right, left = (clips.image[i, -1] / 255 for i in range(2))
    assert clips.reward[0, -1] == 1
    futures = torch.stack([left, right, (left + right) / 2])
    distance = (image[:, :, -1, None] - futures).square().sum((-1, -2, -3))
    nearest = distance.argmin(-1).flatten()
    return rewards, torch.bincount(nearest, minlength=3) / len(nearest)


def forked(design, **fields):
    model = build(design, **fields)
    train(model, FORK_UPDATES, world="fork")
    return at_the_fork(model)


def assert_both_futures(rewards, nearest):
    """At least a fifth of the samples on either side."""
    assert (rewards < -0.5).float().mean() > 0.2
    assert (rewards > 0.5).float().mean() > 0.2
    if nearest is not None:
        assert (nearest[:2] > 0.2).all()


@pytest.mark.parametrize("design", [d for d in CORNERS if d.dynamics == "deterministic"], ids=name_of)
def test_a_deterministic_design_forecasts_the_mean_of_both_futures(design):
    rewards, nearest = forked(design)
    assert rewards.abs().max() < 0.4
    if nearest is not None:
        assert nearest[2] == 1


def stochastic(space):
    return [d for d in CORNERS if d.dynamics == "stochastic" and d.space == space]


@pytest.mark.parametrize("design", stochastic("pixel"), ids=name_of)
def test_a_stochastic_design_forecasts_both_futures(design):
    assert_both_futures(*forked(design))


@pytest.mark.parametrize("design", stochastic("latent"), ids=name_of)
def test_with_two_futures_in_the_open_loop_term_a_latent_design_forecasts_both(design):
    assert_both_futures(*forked(design, open_loop_futures=2))


@pytest.mark.parametrize("design", stochastic("latent"), ids=name_of)
def test_where_each_future_is_scored_a_latent_design_forecasts_their_mean(design):
    """The price of little noise in planning: the open-loop term is least where all futures are the mean."""
    rewards, _ = forked(design)
    assert rewards.abs().mean() < 0.4


@pytest.mark.parametrize("design", stochastic("latent"), ids=name_of)
def test_without_the_open_loop_term_a_stochastic_latent_design_forecasts_both_futures(design):
    assert_both_futures(*forked(design, weights=LossWeights(open_loop_weight=0.0, free_nats=1.0)))
