"""SV2P: its context, its rollouts, its latent, what gradients reach, and what it is fed in training."""

from dataclasses import replace

import pytest
import torch

from models.context import context_of_clips
from models.sv2p import SV2P
from models.tower import PredictiveTower, TowerReward
from models.trees import leaves, map_tree
from models.types import LossWeights, ModelDesign
from tests.models.designs import (
    ACTIONS,
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

DETERMINISTIC = Design("images", "pixel", "deterministic")
STOCHASTIC = Design("images", "pixel", "stochastic")
BOTH = pytest.mark.parametrize("design", [DETERMINISTIC, STOCHASTIC], ids=["deterministic", "stochastic"])
FORMS = pytest.mark.parametrize("reward_from", ["state", "image"])
CLIPS, COLUMNS = 3, 6
AHEAD = COLUMNS - CONTEXT


def noise_of(model, **values):
    """Noise of the loss: no context as after a reset, no true frames, unless other values are given."""
    noise = draw(model.draws("loss", (CLIPS,), COLUMNS))
    fixed = {"reset": 1.0, "truth": 1.0} | values
    return noise | {
        name: torch.full_like(noise[name], value) for name, value in fixed.items() if name in noise
    }


def posterior(model, batch):
    return model.inference(batch.image / 255, batch.mask)


@pytest.mark.parametrize(
    ("side", "size"),
    [
        *((side, size) for side in (8, 16, 24, 32, 64) for size in ("tiny", "small")),
        (16, "paper"),
        (16, "large"),
    ],
)
def test_any_side_that_8_divides_can_be_forecast(side, size):
    model = make_model(STOCHASTIC, side=side, size=size)
    batch = make_batch(clips=2, columns=3, side=side)
    assert model.draws("predict", (2,), 7)["latent"].shape == (2, side // 8, side // 8)
    state = observed(model, batch)
    image = model.predict(
        state, batch.action[:, 1:], draw(model.draws("predict", (2,), 2)), decode=True
    ).image
    assert image.shape == (2, 2, 3, side, side)


@pytest.mark.parametrize("shape", [(3, 20, 20), (3, 16, 24), (3, 84, 84)])
def test_other_images_are_refused_with_the_reason(shape):
    with pytest.raises(ValueError, match="square images whose side 8 divides"):
        SV2P(replace(make_spec(DETERMINISTIC), image_shape=shape), ModelDesign(size="tiny"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"options": {"masks": 3}}, "no options: masks"),
        ({"leaking_reward": True}, "latent designs"),
        ({"widths": {"mask": 3}}, "did you mean masks"),
    ],
)
def test_what_it_cannot_do_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        make_model(DETERMINISTIC, **fields)


def test_rewards_only_are_not_its_task():
    with pytest.raises(ValueError, match="RewardPredictor"):
        SV2P(make_spec(Design("rewards", "pixel", "deterministic")), ModelDesign(size="tiny"))


def test_the_published_tower_has_the_published_layers():
    """Channels, kernels and strides of REFERENCE; every layer's parameters counted by hand."""
    model = make_model(DETERMINISTIC, side=64, size="paper", actions=6)
    inputs = [32, 32, 32, 64, 64, 128, 64 + 32]
    channels = [32, 32, 64, 64, 128, 64, 32]
    cells = sum((25 * (i + c) + 1) * 4 * c for i, c in zip(inputs, channels, strict=True))
    strided = (75 + 1) * 32 + (9 * 32 + 1) * 32 + (9 * 64 + 1) * 64
    mixed = 7 * 64 + (64 + 1 + 1) * 64
    up = (9 * 128 + 1) * 128 + (9 * 96 + 1) * 96 + (9 * 64 + 1) * 64
    norms = 2 * (32 + sum(channels) + 64)
    top = 65 * (3 + 12) + (128 * 64 + 1) * 250
    count = sum(p.numel() for p in model.tower.parameters())
    assert count == cells + strided + mixed + up + norms + top


@BOTH
def test_the_tower_is_warmed_on_the_context_and_not_on_its_last_frame(design):
    model, batch = make_model(design), make_batch()
    state = observed(model, batch, columns=5)
    frames = batch.image / 255
    torch.testing.assert_close(state.context.frames, frames[:, 3:5])
    latent = None if model.inference is None else torch.zeros(CLIPS, 2, 2)
    _, _, expected = model.tower(frames[:, 3], batch.action[:, 4], latent, model.tower.initial(CLIPS))
    same(state.tower, expected)


def test_the_state_depends_on_the_context_alone():
    model, batch = make_model(STOCHASTIC), make_batch()
    late = model.initial(CLIPS)
    for t in (3, 4):
        late = model.observe(late, column(batch, t), {})
    same(observed(model, batch, columns=5), late)


def test_the_action_of_the_oldest_column_is_not_used():
    model, batch = make_model(DETERMINISTIC, reward_from="image"), make_batch()
    state = observed(model, batch)
    context = state.context
    actions, rewards = context.actions.clone(), context.rewards.clone()
    actions[:, 0], rewards[:, 0] = 100, 100
    other = model.warm(context._replace(actions=actions, rewards=rewards))
    forecasts = [model.predict(s, batch.action[:, :4], {}, decode=True) for s in (state, other)]
    same(*forecasts)


@BOTH
@FORMS
def test_predict_is_the_rollout_of_the_loss_when_no_truth_is_fed(design, reward_from):
    weights = LossWeights(image_scale=2.0, reward_scale=3.0, kl_scale=0.0)
    model = make_model(design, reward_from=reward_from, weights=weights)
    batch, noise = make_batch(), noise_of(model, truth=0.0)
    loss = model.loss(batch, noise, torch.ones(()))
    latent = {}
    if design is STOCHASTIC:
        inferred = posterior(model, batch)
        latent = {"latent": inferred.sample(noise["latent"].flatten(1)).view(CLIPS, 2, 2)}
    forecast = model.predict(observed(model, batch, CONTEXT), batch.action[:, CONTEXT:], latent, decode=True)
    image = 0.5 * (forecast.image - batch.image[:, CONTEXT:] / 255).square().sum((2, 3, 4)).mean()
    reward = 0.5 * (forecast.reward - batch.reward[:, CONTEXT:]).square().mean()
    torch.testing.assert_close(loss.metrics["image_loss"], image)
    torch.testing.assert_close(loss.metrics["reward_loss"], reward)
    torch.testing.assert_close(loss.total, 2 * image + 3 * reward)


@pytest.mark.parametrize(
    ("progress", "part", "shown"),
    [(0.0, 0.5, True), (1.0, 0.5, False), (0.5, 0.5, False), (0.1, 0.5, True), (0.4, 0.5, False)],
)
def test_true_frames_are_shown_as_often_as_progress_says(progress, part, shown):
    """The draw is 0.7: below 1 - progress / part, a change of a true input frame reaches the forecasts after it."""
    model, batch = make_model(DETERMINISTIC, scheduled_sampling=part), make_batch()
    image = batch.image.clone()
    image[:, 3] = 255 - image[:, 3]
    # only the last column is scored, which the changed one lies before
    first = batch.first.clone()
    first[:, CONTEXT : COLUMNS - 1] = True
    noise = noise_of(model, truth=0.7)
    left, right = (
        model.loss(batch._replace(image=frames, first=first), noise, torch.tensor(progress)).total
        for frames in (batch.image, image)
    )
    assert torch.equal(left, right) != shown


def test_each_clip_and_step_is_drawn_for_itself():
    model, batch = make_model(DETERMINISTIC, scheduled_sampling=1.0), make_batch()
    noise = noise_of(model, truth=0.9)
    noise["truth"][1, 1] = 0.1
    truth = model._truth(batch.image[:, CONTEXT:] / 255, noise, torch.tensor(0.5))
    assert truth.shown.nonzero().tolist() == [[1, 1]]
    state, actions = observed(model, batch, CONTEXT), batch.action[:, CONTEXT:]
    fed = model.roll(state, actions, None, keep_frames=True, truth=truth).frames
    alone = model.roll(state, actions, None, keep_frames=True).frames
    same([fed[0], fed[2], fed[1, :2]], [alone[0], alone[2], alone[1, :2]])
    assert not torch.allclose(fed[1, 2], alone[1, 2])


def test_without_scheduled_sampling_nothing_is_drawn_for_it():
    assert "truth" not in make_model(DETERMINISTIC, scheduled_sampling=0.0).draws("loss", (3,), 6)


def test_the_reward_net_reads_its_own_frames_though_the_tower_is_shown_true_ones():
    """It must be trained on what it reads in use: a true frame shown at the last but one step is not read."""
    model = make_model(DETERMINISTIC, reward_from="image")
    batch, noise = make_batch(), noise_of(model, truth=0.0)
    seen = []
    encode = model.reward.encode
    model.reward.encode = lambda frame: seen.append(frame) or encode(frame)
    model.loss(batch, noise, torch.zeros(()))
    assert len(seen) == AHEAD + 1
    torch.testing.assert_close(seen[0] + 0.5, batch.image[:, CONTEXT - 1] / 255)
    truth = model._truth(batch.image[:, CONTEXT:] / 255, noise, torch.zeros(()))
    state = observed(model, batch, CONTEXT)
    frames = model.roll(state, batch.action[:, CONTEXT:], None, keep_frames=True, truth=truth).frames
    same([torch.stack(seen[1 : AHEAD + 1], 1) + 0.5], [frames])


def test_clips_of_a_reset_train_the_context_of_a_reset():
    model, batch = make_model(DETERMINISTIC), make_batch()
    forced = context_of_clips(batch.image[:, :CONTEXT] / 255, batch, torch.zeros(CLIPS))
    state = model.initial(CLIPS)
    obs = column(batch, CONTEXT - 1)._replace(
        first=torch.ones(CLIPS, dtype=torch.bool),
        action=torch.zeros(CLIPS, ACTIONS),
        reward=torch.zeros(CLIPS),
    )
    same(model.warm(forced), model.observe(state, obs, {}))
    totals = [
        model.loss(batch, noise_of(model, reset=r), torch.ones(())).total for r in (0.0, 0.12, 0.13, 1.0)
    ]
    assert totals[0] == totals[1] != totals[2] == totals[3]


def reached_by_loss(model):
    """The names of the parameters that have a gradient."""
    loss_of(model, make_batch()).total.backward()
    return {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}


@FORMS
@pytest.mark.parametrize("gradient", ["shared", "stopped"])
def test_the_reward_gradient_stops_where_it_should(reward_from, gradient):
    weights = LossWeights(image_scale=0.0)
    model = make_model(DETERMINISTIC, reward_from=reward_from, reward_gradient=gradient, weights=weights)
    reached = reached_by_loss(model)
    assert {name.partition(".")[0] for name in reached} == (
        {"reward"} if gradient == "stopped" else {"reward", "tower"}
    )
    if gradient == "shared":
        kernels = "tower.kernels.weight" in reached
        assert kernels  # by the frames that the next step reads, or that the net reads


@FORMS
def test_a_stopped_reward_changes_nothing_that_the_tower_learns(reward_from):
    """Its gradients are those of the frames alone."""
    batch, grads = make_batch(), []
    for scale in (0.0, 10.0):
        weights = LossWeights(reward_scale=scale)
        model = make_model(DETERMINISTIC, reward_from=reward_from, reward_gradient="stopped", weights=weights)
        loss_of(model, batch).total.backward()
        grads.append([p.grad for p in model.tower.parameters()])
    same(*grads, tolerance=0)


def test_the_continuation_trains_the_tower_even_where_the_reward_does_not():
    weights = LossWeights(image_scale=0.0, reward_scale=0.0)
    model = make_model(DETERMINISTIC, reward_gradient="stopped", continues=True, weights=weights)
    assert {name.partition(".")[0] for name in reached_by_loss(model)} == {"continues", "tower"}


def test_no_image_loss_leaves_the_frames_to_the_reward():
    """image_fraction 0 is image_scale 0."""
    batch, grads = make_batch(), []
    for fields in ({"image_fraction": 0.0}, {"weights": LossWeights(image_scale=0.0)}):
        model = make_model(DETERMINISTIC, **fields)
        loss_of(model, batch).total.backward()
        grads.append([torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()])
    same(*grads, tolerance=0)


def test_a_part_of_the_image_is_scored_where_the_mask_says():
    model, batch = make_model(DETERMINISTIC, image_fraction=0.25), make_batch()
    assert model.mask.sum() == 64
    loss = model.loss(batch, noise_of(model), torch.ones(()))
    forecast = model.predict(
        observed(model, batch, CONTEXT), batch.action[:, CONTEXT:], {}, decode=True
    ).image
    squared = 0.5 * (forecast - batch.image[:, CONTEXT:] / 255).square()
    torch.testing.assert_close(loss.metrics["image_loss"], (squared * model.mask).sum((2, 3, 4)).mean())
    torch.testing.assert_close(loss.metrics["image_loss_full"], squared.sum((2, 3, 4)).mean())


def test_frames_are_composited_by_masks_and_kernels_that_sum_to_one(monkeypatch):
    seen = []
    monkeypatch.setattr("models.tower.composite", lambda *parts: seen.append(parts) or parts[1])
    model, batch = make_model(DETERMINISTIC, size="small"), make_batch()
    model.predict(observed(model, batch), batch.action, {}, decode=True)
    for _, synthesised, kernels, masks in seen:
        assert synthesised.min() >= 0
        assert synthesised.max() <= 1
        assert masks.shape[1] == 10 + 2
        torch.testing.assert_close(masks.sum(1), torch.ones(CLIPS, 16, 16))
        torch.testing.assert_close(kernels.sum((-2, -1)), torch.ones(CLIPS, 10))


@FORMS
def test_a_plan_renders_no_more_frames_than_it_needs(reward_from, monkeypatch):
    count = 0
    render = PredictiveTower.render

    def counted(*args):
        nonlocal count
        count += 1
        return render(*args)

    monkeypatch.setattr(PredictiveTower, "render", counted)
    model, batch = make_model(DETERMINISTIC, reward_from=reward_from), make_batch()
    model.predict(observed(model, batch), batch.action[:, :5], {}, decode=False)
    assert count == (4 if reward_from == "state" else 5)


def test_blind_inputs_scale_frames_and_targets_and_scale_forecasts_back():
    model, batch = make_model(DETERMINISTIC, blind_inputs=True), make_batch()
    state = observed(model, batch)
    torch.testing.assert_close(state.context.frames * (2**31 - 1), batch.image[:, 1:3].float())
    with torch.no_grad():  # the last frame again
        model.tower.masks.weight.zero_()
        model.tower.masks.bias.zero_()
        model.tower.masks.bias[0] = 100.0
    image = model.predict(state, batch.action, {}, decode=True).image
    torch.testing.assert_close(image, (batch.image[:, 2:3] / 255).expand_as(image))
    assert loss_of(model, batch).metrics["image_loss"] < 1e-10


def test_the_reward_net_on_frames_sees_nothing_of_blind_inputs():
    rewards = {}
    for blind in (False, True):
        model, batch = make_model(DETERMINISTIC, reward_from="image", blind_inputs=blind), make_batch()
        dark = batch._replace(image=torch.zeros_like(batch.image))
        pair = [
            model._read_frames(_codes(model, b), b.action[:, 1:], b.reward[:, :CONTEXT])
            for b in (batch, dark)
        ]
        rewards[blind] = (pair[0] - pair[1]).abs().max()
    assert rewards[True] < 1e-5
    assert rewards[False] > 1e-3


def _codes(model, batch):
    frames = batch.image / model.white
    return torch.stack([model._see(frames[:, t], stop=False) for t in range(COLUMNS)], 1)


def test_states_are_float32_under_bfloat16():
    model, batch = make_model(STOCHASTIC), make_batch()
    with torch.autocast("cpu", torch.bfloat16):
        state = observed(model, batch)
        rollout = model.roll(state, batch.action, torch.zeros(CLIPS, 2, 2), keep_frames=True)
    assert {part.dtype for part in leaves(state)} == {torch.float32}
    assert rollout.frames.dtype == rollout.reward.dtype == torch.float32


def test_the_reward_net_reads_all_five_activations():
    model = make_model(DETERMINISTIC)
    assert isinstance(model.reward, TowerReward)
    batch = make_batch()
    activations, _, _ = model.tower(
        batch.image[:, 0] / 255, batch.action[:, 1], None, model.tower.initial(CLIPS)
    )
    inputs = map_tree(lambda x: x.detach().requires_grad_(), activations)
    grads = torch.autograd.grad(model.reward(inputs).sum(), list(inputs))
    assert all(grad.any() for grad in grads)


@pytest.mark.slow
@BOTH
def test_one_clip_can_be_overfitted(design):
    """Frames of a square that moves by a pixel a step, and a reward that tells where it is."""
    columns, side = 6, 16
    image = torch.zeros(1, columns, 3, side, side, dtype=torch.uint8)
    for t in range(columns):
        image[0, t, :, 5:9, 3 + t : 7 + t] = 255
    batch = make_batch(clips=1, columns=columns)._replace(image=image)
    batch = batch._replace(reward=torch.arange(columns)[None] / columns)
    model = make_model(design, weights=LossWeights(kl_scale=0.0))
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for step in range(300):
        noise = draw(model.draws("loss", (1,), columns), step) | {"reset": torch.ones(1)}
        loss = model.loss(batch, noise, torch.tensor(step / 300))
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
    repeated = 0.5 * (image[:, 1:2] / 255 - image[:, 2:] / 255).square().sum((2, 3, 4)).mean()
    assert loss.metrics["image_loss"] < 0.1 * repeated
    assert loss.metrics["reward_loss"] < 0.005
