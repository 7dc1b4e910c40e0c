"""The timing convention, guarded by a model that is right and a model that is stale."""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.episodes import Episode
from harness.openloop import evaluate_open_loop
from harness.streams import Streams
from models.types import Draw, Forecast

SIDE = 4


def world(seed: int, length: int = 20) -> Episode:
    """Reward and grey level are the running sum of the actions: column t shows the effect of action t."""
    rng = np.random.default_rng(seed)
    action = rng.uniform(-1, 1, (length, 1)).astype(np.float32)
    action[0] = 0
    level = action[:, 0].cumsum()
    image = np.broadcast_to((100 + 10 * level.round())[:, None, None, None], (length, 3, SIDE, SIDE))
    last = np.arange(length) == length - 1
    reward = np.where(np.arange(length) == 0, 0, level).astype(np.float32)
    return Episode(image.astype(np.uint8), action, reward, last, np.zeros(length, bool))


class State(NamedTuple):
    level: Tensor  # [B]
    reward: Tensor  # [B]
    image: Tensor  # f32[B, 3, h, w]


class Oracle:
    """Adds up the actions, as the world does; with noise of scale `noise` if it is stochastic."""

    def __init__(self, noise: float = 0.0) -> None:
        self.spec = SimpleNamespace(stochastic=noise > 0, predict_images=True, action_dim=1)
        self.noise = noise

    def draws(self, call, lead, steps=1):
        return {"eps": Draw((*lead, steps))} if call == "predict" and self.noise else {}

    def initial(self, batch):
        return State(torch.zeros(batch), torch.zeros(batch), torch.zeros(batch, 3, SIDE, SIDE))

    def observe(self, state, obs, noise):
        level = torch.where(obs.first, 0, state.level) + obs.action[:, 0]
        return State(level, obs.reward, obs.image.float() / 255)

    def expand(self, state, candidates):
        return State(*(x[:, None].expand(-1, candidates, *x.shape[1:]) for x in state))

    def predict(self, state, actions, noise, *, decode):
        level = state.level[..., None] + actions[..., 0].cumsum(-1)
        if self.noise:
            level = level + self.noise * noise["eps"]
        image = (100 + 10 * level.round()) / 255
        image = image[..., None, None, None].expand(*level.shape, 3, SIDE, SIDE)
        return Forecast(level, image if decode else None, None)


class Stale(Oracle):
    """Repeats the last frame and reward."""

    def predict(self, state, actions, noise, *, decode):
        horizon = actions.shape[-2]
        reward = state.reward[..., None].expand(*state.reward.shape, horizon)
        image = state.image[..., None, :, :, :].expand(*state.reward.shape, horizon, 3, SIDE, SIDE)
        return Forecast(reward, image, None)


class Late(Oracle):
    """Off by one: pairs column t with the action that comes after it."""

    def predict(self, state, actions, noise, *, decode):
        late = torch.cat([torch.zeros_like(actions[..., :1, :]), actions[..., :-1, :]], -2)
        return super().predict(state, late, noise, decode=decode)


def _evaluate(model, samples=3, dataset="probe", **options):
    episodes = [world(0), world(1, 30)]
    starts = np.array([[0, 4], [0, 9], [1, 4], [1, 12], [1, 20]])
    return evaluate_open_loop(
        model,
        episodes,
        starts,
        horizon=5,
        samples=samples,
        context=3,
        streams=Streams(0, "toy", "design"),
        dataset=dataset,
        device=torch.device("cpu"),
        tick=lambda: None,
        **options,
    )


def test_a_perfect_model_has_no_error():
    record = _evaluate(Oracle()).record
    for name in ("reward_error", "reward_error_mean", "reward_error_mse"):
        assert record[name] == pytest.approx([0] * 5, abs=1e-5)
    for name in ("image_error", "image_error_mean", "image_error_moving"):
        assert record[name] == pytest.approx([0] * 5, abs=1e-3)


def test_a_stale_model_has_the_error_of_the_baseline():
    record = _evaluate(Stale()).record
    for kind in ("image", "reward"):
        assert record[f"{kind}_error_mean"] == pytest.approx(record[f"{kind}_error_baseline"])
        assert record[f"{kind}_error_mean_mse"] == pytest.approx(record[f"{kind}_error_baseline_mse"])
        assert min(record[f"{kind}_error_mean"]) > 0
    assert record["image_error_moving"] == pytest.approx(record["image_error_moving_baseline"])


def test_an_off_by_one_is_seen():
    assert min(_evaluate(Late()).record["reward_error"]) > 0.05


def test_errors_in_closed_form():
    """Baselines by hand, from the episodes."""
    record = _evaluate(Stale()).record
    episodes, starts = [world(0), world(1, 30)], [[0, 4], [0, 9], [1, 4], [1, 12], [1, 20]]
    by_hand = [
        np.mean([abs(episodes[e].reward[t + h] - episodes[e].reward[t]) for e, t in starts])
        for h in range(1, 6)
    ]
    assert record["reward_error_baseline"] == pytest.approx(by_hand)
    pixels = [
        np.mean(
            [abs(float(episodes[e].image[t + h].flat[0]) - episodes[e].image[t].flat[0]) for e, t in starts]
        )
        for h in range(1, 6)
    ]
    assert record["image_error_baseline"] == pytest.approx(pixels)


def test_moving_counts_moving_pixels_only():
    """A pixel moves if it differs by more than 8 from the last context frame; here all pixels do or none."""
    record = _evaluate(Stale()).record
    assert all(m >= e for m, e in zip(record["image_error_moving"], record["image_error_mean"], strict=True))


def test_the_mean_forecast_is_better_than_the_mean_error():
    record = _evaluate(Oracle(noise=0.5), samples=16).record
    assert record["samples"] == 16
    assert np.mean(record["reward_error_mean"]) < 0.6 * np.mean(record["reward_error"])
    # E|N(0, 0.5)| = 0.5 sqrt(2 / pi) = 0.40
    assert np.mean(record["reward_error"]) == pytest.approx(0.40, abs=0.06)


def test_noise_is_fixed_per_dataset_and_start():
    model = Oracle(noise=0.5)
    assert _evaluate(model).record == _evaluate(model).record
    assert _evaluate(model).record != _evaluate(model, dataset="own").record


def test_pictures_hold_what_was_scored():
    pictures = _evaluate(Oracle(noise=0.5)).pictures
    assert pictures["context"].shape == (5, 3, 3, SIDE, SIDE)
    assert (
        pictures["image"].shape
        == pictures["truth"].shape
        == pictures["sample"].shape
        == (5, 5, 3, SIDE, SIDE)
    )
    np.testing.assert_array_equal(pictures["truth"][0], world(0).image[5:10])
    np.testing.assert_array_equal(pictures["context"][0], world(0).image[2:5])
    np.testing.assert_array_equal(pictures["reward"][3], world(1, 30).reward[13:18])


def test_shifted_evaluation_turns_right_and_stale_round():
    """The fault of the reference, asked for: the forecast of a step is compared with the step before."""
    oracle, stale = (_evaluate(model, shifted=True).record for model in (Oracle(), Stale()))
    assert oracle["shifted"] is True
    for kind in ("image", "reward"):
        assert min(oracle[f"{kind}_error_mean"]) > 0.05
        assert stale[f"{kind}_error_mean"][0] == stale[f"{kind}_error_baseline"][0] == 0
        assert min(stale[f"{kind}_error_mean"][1:]) > 0
        straight = _evaluate(Stale()).record[f"{kind}_error_mean"]
        assert stale[f"{kind}_error_mean"][1:] == pytest.approx(straight[:-1])
    assert "shifted" not in _evaluate(Oracle()).record


def test_shifted_errors_in_closed_form():
    record = _evaluate(Oracle(), shifted=True).record
    episodes, starts = [world(0), world(1, 30)], [[0, 4], [0, 9], [1, 4], [1, 12], [1, 20]]
    steps = [
        np.mean([abs(episodes[e].action[t + h, 0]) for e, t in starts]) for h in range(1, 6)
    ]  # the reward is the sum of the actions: one step late, the last action is missing
    assert record["reward_error"] == pytest.approx(steps, abs=1e-5)


class Half(Oracle):
    """Right in the left half of the frame, wrong by 51 in the right one."""

    def predict(self, state, actions, noise, *, decode):
        forecast = super().predict(state, actions, noise, decode=decode)
        wrong = torch.zeros(SIDE, SIDE)
        wrong[:, SIDE // 2 :] = 51 / 255
        return forecast._replace(image=forecast.image + wrong)


@pytest.mark.parametrize(("inside", "error"), [("left", 0.0), ("right", 51.0), ("corner", 25.5)])
def test_errors_on_the_region_count_its_pixels_alone(inside, error):
    region = torch.zeros(SIDE, SIDE)
    rows, columns = {
        "left": (slice(None), slice(0, 2)),
        "right": (slice(None), slice(2, 4)),
        "corner": (slice(0, 2), slice(1, 3)),
    }[inside]
    region[rows, columns] = 1
    record = _evaluate(Half(), region=region).record
    squared = {"left": 0.0, "right": 51.0**2, "corner": 51.0**2 / 2}[inside]
    for name in ("image_error_region", "image_error_mean_region"):
        assert record[name] == pytest.approx([error] * 5, abs=1e-3)
        assert record[f"{name}_mse"] == pytest.approx([squared] * 5, abs=0.1)
    assert record["image_error_mean"] == pytest.approx([25.5] * 5, abs=1e-3)
    # the frames of this world are grey: the baseline is the same everywhere
    assert record["image_error_region_baseline"] == pytest.approx(record["image_error_baseline"])
    assert record["image_error_region_baseline_mse"] == pytest.approx(record["image_error_baseline_mse"])
    assert not any("region" in name for name in _evaluate(Half()).record)
