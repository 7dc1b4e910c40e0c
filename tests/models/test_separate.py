"""A reward model of its own: nothing shared, nothing touched that is not needed."""

from dataclasses import replace

import pytest
import torch

from models.separate import SeparateReward, halves
from models.types import LossWeights, ModelDesign
from tests.models.designs import (
    DESIGNS,
    Design,
    draw,
    loss_of,
    make_batch,
    make_model,
    make_spec,
    name_of,
    observed,
    same,
)

SEPARATE = [design for design in DESIGNS if design.reward_gradient == "separate"]
every_separate = pytest.mark.parametrize("design", SEPARATE, ids=name_of)
FULL = Design("images", "latent", "stochastic", reward_gradient="separate")
B = 3
NOW = torch.tensor(0.5)


def gradients(model, batch):
    loss_of(model, batch).total.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}


def half(gradients, part):
    return {name: value for name, value in gradients.items() if name.startswith(f"{part}.")}


def test_latent_designs_have_a_separate_form():
    assert {design.dynamics for design in SEPARATE if design.space == "latent"} == {
        "deterministic",
        "stochastic",
    }


@every_separate
def test_the_two_share_no_parameter(design):
    model = make_model(design)
    image, reward = ({id(p) for p in part.parameters()} for part in (model.image, model.reward))
    assert image
    assert reward
    assert not image & reward
    assert image | reward == {id(p) for p in model.parameters()}
    assert not any(name.startswith("reward") for name, _ in model.image.named_parameters())


@every_separate
def test_the_two_do_not_start_alike(design):
    """Encoders of equal shapes would be copies of one another if the halves had one seed."""
    image, reward = (
        dict(part.named_parameters()) for part in (make_model(design).image, make_model(design).reward)
    )
    alike = [
        name
        for name, p in image.items()
        if p.dim() > 1 and name in reward and p.shape == reward[name].shape and torch.equal(p, reward[name])
    ]
    assert not alike


@every_separate
@pytest.mark.parametrize(("scale", "moved"), [("image_scale", "image"), ("reward_scale", "reward")])
def test_each_loss_moves_its_own_half(design, scale, moved):
    batch, still = make_batch(), {"image": "reward", "reward": "image"}[moved]
    ordinary = gradients(make_model(design, continues=True), batch)
    heavy = gradients(make_model(design, continues=True, weights=LossWeights(**{scale: 77.0})), batch)
    same(half(heavy, still), half(ordinary, still), tolerance=0)
    before, after = half(ordinary, moved), half(heavy, moved)
    assert before
    assert any(not torch.allclose(after[name], value) for name, value in before.items())


@every_separate
def test_it_is_the_two_models_side_by_side(design):
    model, batch = make_model(design, continues=True), make_batch()
    noise = draw(model.draws("loss", (B,), 6))
    parts = {
        name: getattr(model, name).loss(
            batch, {k.partition(".")[2]: v for k, v in noise.items() if k.startswith(name)}, NOW
        )
        for name in ("image", "reward")
    }
    loss = model.loss(batch, noise, NOW)
    torch.testing.assert_close(loss.total, parts["image"].total + parts["reward"].total)
    for name, value in parts["reward"].metrics.items():
        torch.testing.assert_close(loss.metrics[name], value)
    assert "reward_loss" not in parts["image"].metrics
    assert "image_loss" in parts["image"].metrics
    torch.testing.assert_close(loss.metrics["image_loss"], parts["image"].metrics["image_loss"])
    assert len(loss.metrics) == len(parts["image"].metrics) + len(parts["reward"].metrics)
    assert model.spec == make_spec(design, continues=True)


@every_separate
def test_planning_leaves_the_image_half_alone(design, monkeypatch):
    model, batch = make_model(design, continues=True), make_batch()
    state = observed(model, batch)
    noise = draw(model.draws("predict", (B,), 4))
    shown = model.predict(state, batch.action[:, :4], noise, decode=True)

    def refuse(*_args, **_kwargs):
        raise AssertionError("the image half was asked")

    monkeypatch.setattr(model.image, "predict", refuse)
    forecast = model.predict(state, batch.action[:, :4], noise, decode=False)
    same(forecast, shown._replace(image=None), tolerance=0)
    with pytest.raises(AssertionError, match="was asked"):
        model.predict(state, batch.action[:, :4], noise, decode=True)


def test_the_halves_of_a_design():
    design = ModelDesign(reward_gradient="separate", image_fraction=0.25, seed=6, region_seed=3)
    spec = make_spec(FULL, continues=True)
    (image_spec, image), (reward_spec, reward) = halves(spec, design)
    assert image_spec == replace(spec, predict_rewards=False, predict_continues=False)
    assert reward_spec == replace(spec, predict_images=False)
    assert image == replace(design, reward_gradient="shared")
    assert reward == replace(image, image_fraction=1.0, seed=7)


@pytest.mark.parametrize(
    ("design", "message"),
    [
        (FULL._replace(predict="rewards"), "predict: images"),
        (FULL._replace(reward_from="image"), "write reward_gradient: stopped"),
    ],
)
def test_what_cannot_be_separated_is_an_error(design, message):
    with pytest.raises(ValueError, match=message):
        make_model(design)


def test_a_window_can_have_a_separate_reward():
    model = make_model(FULL._replace(variant="window"), context=3)
    assert isinstance(model, SeparateReward)
    assert (model.image.window, model.reward.window) == (3, 3)
    assert loss_of(model, make_batch()).total.isfinite()


def test_each_part_is_bounded_by_itself():
    """A large image gradient must not scale down the reward model's."""
    model = make_model(Design("images", "latent", "deterministic", reward_gradient="separate"))
    parts = [set(part.parameters()) for part in model.parts]
    assert parts[0].isdisjoint(parts[1])
    assert parts[0] | parts[1] == set(model.parameters())
