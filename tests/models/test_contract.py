"""What every registered design promises, whatever it computes: the checks of `harness.contract`, and what only the
project's own designs can be asked.
"""

import dataclasses

import pytest
import torch

from harness.contract import CHECKS, Broken
from models.types import LossWeights, SequenceBatch
from tests.models.designs import (
    ACTIONS,
    CONTEXT,
    CORNERS,
    DESIGNS,
    draw,
    loss_of,
    make_batch,
    make_model,
    name_of,
    observed,
    subject,
)

B, H = 3, 5
SLOW = {"learns"}
COSTLY = {"compiled-loss", "compiled-plan", "stacked"}
"""Not for designs that differ from another in a detached tensor, or are made of two others."""
promises = {check.name: check for check in CHECKS}
every_design = pytest.mark.parametrize("design", DESIGNS, ids=name_of)


def applies(check, design):
    return not (check.name in COSTLY and design.reward_gradient != "shared")


@pytest.mark.parametrize(
    ("design", "check"),
    [
        pytest.param(design, check, id=f"{check.name}-{design.name}")
        for check in CHECKS
        for design in DESIGNS
        if check.name not in SLOW and applies(check, design)
    ],
)
def test_promise(design, check):
    if check.name == "sees" and design.blind:
        with pytest.raises(Broken, match="blind"):
            check.run(subject(design))
    else:
        check.run(subject(design))


@pytest.mark.slow
@every_design
def test_it_learns_what_the_action_says(design):
    promises["learns"].run(subject(design))


WITH_ENDS = ("shapes", "finite-loss", "expand", "any-horizon", "masked-clips", "padding", "resets", "trained")


@every_design
def test_promises_of_designs_that_forecast_whether_the_episode_goes_on(design):
    for name in WITH_ENDS:
        promises[name].run(subject(design, continues=True))


@pytest.mark.parametrize("context", [1, 3])
@pytest.mark.parametrize("design", [d for d in DESIGNS if d.windowed], ids=name_of)
def test_promises_of_windows_of_other_lengths(design, context):
    for name in (*WITH_ENDS, "causal", "first", "rows-apart", "pairing", "checkpoint"):
        promises[name].run(subject(design, context=context))


@pytest.mark.parametrize("design", CORNERS, ids=name_of)
def test_promises_with_discrete_actions(design):
    discrete = subject(design)
    discrete = dataclasses.replace(discrete, spec=dataclasses.replace(discrete.spec, discrete=True))
    for name in ("protocol", "shapes", "finite-loss", "causal", "pairing", "expand", "noise-declared"):
        promises[name].run(discrete)


@pytest.mark.parametrize("design", [d for d in CORNERS if d.predict == "images"], ids=name_of)
@pytest.mark.parametrize("name", ["stacked", "padding", "masked-clips", "trained", "compiled-loss"])
def test_promises_with_a_part_of_the_image(design, name):
    promises[name].run(subject(design, image_fraction=0.5))


def actions_for(*lead, horizon=H, seed=1):
    return 2 * torch.rand(*lead, horizon, ACTIONS, generator=torch.Generator().manual_seed(seed)) - 1


@every_design
def test_metrics_are_named_alike_in_all_designs(design):
    metrics = loss_of(make_model(design, continues=True), make_batch()).metrics
    due = {"reward_loss", "continue_loss"}
    due |= {"image_loss"} if design.predict == "images" else set()
    due |= {"kl"} if design.dynamics == "stochastic" else set()
    due |= {"open_loop_reward_loss"} if design.space == "latent" else set()
    assert due <= metrics.keys()


@every_design
def test_a_forecast_reads_no_later_action(design):
    """By gradients, which are exactly zero where nothing is read."""
    model = make_model(design)
    actions = actions_for(B).requires_grad_()
    noise = draw(model.draws("predict", (B,), H))
    forecast = model.predict(observed(model, make_batch()), actions, noise, decode=True)
    for step in range(H):
        outputs = [part[:, step].sum() for part in (forecast.reward, forecast.image) if part is not None]
        for output in outputs:
            (gradient,) = torch.autograd.grad(output, actions, retain_graph=True)
            assert (gradient[:, step] != 0).any(), f"step {step} ignores its own action"
            assert not (gradient[:, step + 1 :] != 0).any(), f"step {step} reads a later action"


@every_design
@pytest.mark.parametrize("t", [3, 4])
def test_the_loss_pairs_a_reward_with_the_action_that_led_to_it(design, t):
    # where rewards alone train nothing before the head, frames are needed for a gradient
    images = 1.0 if design.reward_gradient == "stopped" else 0.0
    model, batch = make_model(design, weights=LossWeights(image_scale=images)), make_batch()
    action = batch.action.clone().requires_grad_()
    mask = (torch.arange(6) <= t).float().expand(B, 6)
    total = loss_of(model, batch._replace(action=action, mask=mask)).total
    (gradient,) = torch.autograd.grad(total, action)
    assert (gradient[:, t] != 0).any()
    assert not (gradient[:, t + 1 :] != 0).any()


@every_design
def test_only_a_window_forgets(design):
    model, batch, other = make_model(design), make_batch(), make_batch(seed=9)
    forecasts = []
    for old in (batch, other):
        past = SequenceBatch(*(torch.cat([a[:, :3], b[:, 3:]], 1) for a, b in zip(old, batch, strict=True)))
        state = observed(model, past, columns=3 + CONTEXT)
        forecasts.append(
            model.predict(state, actions_for(B), draw(model.draws("predict", (B,), H)), decode=False)
        )
    assert torch.equal(forecasts[0].reward, forecasts[1].reward) == design.windowed


def trained_by(design, **weights):
    """The parameters that get a gradient from a loss of these weights."""
    model = make_model(design, weights=LossWeights(free_nats=0.0, **weights))
    loss_of(model, make_batch(clips=8)).total.backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    return {name for name, gradient in gradients.items() if gradient is not None and gradient.any()}


@pytest.mark.parametrize("design", [d for d in DESIGNS if d.predict == "images"], ids=name_of)
def test_gradients_stop_where_they_should(design):
    reward = trained_by(design, image_scale=0.0, kl_scale=0.0)
    image = trained_by(design, reward_scale=0.0)
    if design.reward_gradient == "separate":
        image = {name for name in image if name.startswith("image.")}  # the reward model has a KL of its own
    everything = {name for name, _ in make_model(design).named_parameters()}
    assert reward | image == everything
    if design.reward_gradient != "shared":
        assert not reward & image
    elif design.reward_from == "image":
        assert image < reward  # the net that reads the frames, and all that makes them
    else:
        assert reward & image  # what comes before both
        # the decoder; what SV2P renders is the input of its next step
        assert bool(image - reward) == (design.space == "latent")
