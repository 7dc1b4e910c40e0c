"""What every registered design promises, whatever it computes."""

import pytest
import torch
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from models.trees import leaves, map_tree
from models.types import LossWeights, SequenceBatch
from tests.models.designs import (
    ACTIONS,
    CONTEXT,
    DESIGNS,
    SIDE,
    column,
    draw,
    loss_of,
    make_batch,
    make_model,
    name_of,
    observed,
    same,
)

every_design = pytest.mark.parametrize("design", DESIGNS, ids=name_of)
B, C, H = 3, 4, 5


def actions_for(*lead, horizon=H, seed=1):
    return 2 * torch.rand(*lead, horizon, ACTIONS, generator=torch.Generator().manual_seed(seed)) - 1


def cut(noise, draws):
    """Noise as a call of fewer steps declares it: the same numbers for the steps that are left."""
    return {name: noise[name][tuple(slice(n) for n in draw.shape)] for name, draw in draws.items()}


@every_design
@pytest.mark.parametrize("continues", [False, True])
@pytest.mark.parametrize("lead", [(B,), (B, C)])
def test_shapes_and_dtypes(design, continues, lead):
    model = make_model(design, continues=continues)
    state = observed(model, make_batch())
    assert all(part.shape[0] == B and part.dtype == torch.float32 for part in leaves(state))
    expanded = model.expand(state, C) if len(lead) == 2 else state
    assert all(part.shape[: len(lead)] == lead for part in leaves(expanded))
    noise = draw(model.draws("predict", lead, H))
    forecast = model.predict(expanded, actions_for(*lead), noise, decode=True)
    assert forecast.reward.shape == (*lead, H)
    assert forecast.reward.dtype == torch.float32
    assert (forecast.image is not None) == (design.predict == "images")
    if forecast.image is not None:
        assert forecast.image.shape == (*lead, H, 3, SIDE, SIDE)
        assert forecast.image.dtype == torch.float32
        assert 0 <= forecast.image.min() <= forecast.image.max() <= 1
    assert (forecast.continues is not None) == continues
    if forecast.continues is not None:
        assert forecast.continues.shape == (*lead, H)
        assert 0 <= forecast.continues.min() <= forecast.continues.max() <= 1
    assert model.predict(expanded, actions_for(*lead), noise, decode=False).image is None


@every_design
@pytest.mark.parametrize("continues", [False, True])
def test_loss_is_a_finite_scalar_with_detached_metrics(design, continues):
    model = make_model(design, continues=continues)
    loss = loss_of(model, make_batch())
    assert loss.total.shape == ()
    assert loss.total.isfinite()
    assert "reward_loss" in loss.metrics
    assert ("continue_loss" in loss.metrics) == continues
    for value in loss.metrics.values():
        assert value.shape == ()
        assert value.isfinite()
        assert not value.requires_grad


@every_design
def test_calls_leave_no_trace(design):
    model, batch = make_model(design), make_batch()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = observed(model, batch)
    noise = draw(model.draws("predict", (B,), H))
    forecast = model.predict(state, actions_for(B), noise, decode=True)
    loss = loss_of(model, batch)
    torch.rand(7)  # the global generator's position does not matter
    same(observed(model, batch), state, tolerance=0)
    same(model.predict(state, actions_for(B), noise, decode=True), forecast, tolerance=0)
    torch.testing.assert_close(loss_of(model, batch).total, loss.total, rtol=0, atol=0)
    same(model.state_dict(), before, tolerance=0)


@every_design
def test_calls_draw_nothing_from_the_global_generator(design):
    position = torch.get_rng_state()
    model, batch = make_model(design), make_batch()
    state = observed(model, batch)
    model.predict(state, actions_for(B), draw(model.draws("predict", (B,), H)), decode=True)
    loss_of(model, batch)
    assert torch.equal(torch.get_rng_state(), position)


@every_design
def test_the_seed_decides_the_initial_parameters(design):
    states = [make_model(design, seed=seed).state_dict() for seed in (0, 0, 1)]
    same(states[0], states[1], tolerance=0)
    assert any(not torch.equal(a, b) for a, b in zip(states[0].values(), states[2].values(), strict=True))


@every_design
def test_expanding_a_belief_equals_tiling_what_was_observed(design):
    model, batch = make_model(design), make_batch()
    tiled = SequenceBatch(*(part.repeat_interleave(C, 0) for part in batch))
    state, wide = model.initial(B), model.initial(B * C)
    for t in range(3):
        noise = draw(model.draws("observe", (B,)), seed=t)
        state = model.observe(state, column(batch, t), noise)
        wide_noise = {name: value.repeat_interleave(C, 0) for name, value in noise.items()}
        wide = model.observe(wide, column(tiled, t), wide_noise)
    actions = actions_for(B, C)
    shared = draw(model.draws("predict", (B, 1), H))
    forecast = model.predict(model.expand(state, C), actions, shared, decode=True)
    wide_noise = {name: value.repeat_interleave(C, 0).flatten(0, 1) for name, value in shared.items()}
    expected = model.predict(wide, actions.flatten(0, 1), wide_noise, decode=True)
    same([part if part is None else part.flatten(0, 1) for part in forecast], expected)


@every_design
def test_a_longer_horizon_only_adds_steps(design):
    model = make_model(design, continues=True)
    state, actions = observed(model, make_batch()), actions_for(B, horizon=9)
    noise = draw(model.draws("predict", (B,), 9))
    long = model.predict(state, actions, noise, decode=True)
    for horizon in (1, 4):
        short_noise = cut(noise, model.draws("predict", (B,), horizon))
        short = model.predict(state, actions[:, :horizon], short_noise, decode=True)
        same(short, [part if part is None else part[:, :horizon] for part in long])


@every_design
def test_a_forecast_reads_the_action_of_its_own_step_and_none_after(design):
    model = make_model(design)
    actions = actions_for(B).requires_grad_()
    forecast = model.predict(
        observed(model, make_batch()), actions, draw(model.draws("predict", (B,), H)), decode=True
    )
    for step in range(H):
        outputs = [part[:, step].sum() for part in (forecast.reward, forecast.image) if part is not None]
        for output in outputs:
            (gradient,) = torch.autograd.grad(output, actions, retain_graph=True)
            assert (gradient[:, step] != 0).any(), f"step {step} ignores its own action"
            assert not (gradient[:, step + 1 :] != 0).any(), f"step {step} reads a later action"


@every_design
@pytest.mark.parametrize("t", [3, 4])
def test_the_loss_pairs_a_reward_with_the_action_that_led_to_it(design, t):
    images = (
        1.0 if design.reward_gradient == "stopped" else 0.0
    )  # where rewards alone train nothing before the head
    model, batch = make_model(design, weights=LossWeights(image_scale=images)), make_batch()
    action = batch.action.clone().requires_grad_()
    mask = (torch.arange(6) <= t).float().expand(B, 6)
    total = loss_of(model, batch._replace(action=action, mask=mask)).total
    (gradient,) = torch.autograd.grad(total, action)
    assert (gradient[:, t] != 0).any()
    assert not (gradient[:, t + 1 :] != 0).any()


@every_design
def test_rows_do_not_see_one_another(design):
    model, batch = make_model(design), make_batch()
    other = make_batch(seed=9)
    mixed = SequenceBatch(*(torch.cat([a[:1], b[1:]]) for a, b in zip(batch, other, strict=True)))
    state, mixed_state = observed(model, batch), observed(model, mixed)
    same(map_tree(lambda x: x[:1], mixed_state), map_tree(lambda x: x[:1], state))
    noise, actions = draw(model.draws("predict", (B,), H)), actions_for(B)
    forecast = model.predict(state, actions, noise, decode=True)
    mixed_forecast = model.predict(mixed_state, actions, noise, decode=True)
    same(
        [part if part is None else part[:1] for part in mixed_forecast],
        [part if part is None else part[:1] for part in forecast],
    )
    assert torch.allclose(mixed_forecast.reward[1:], forecast.reward[1:]) == design.blind


@every_design
def test_a_masked_clip_has_no_part_in_the_loss(design):
    model, batch = make_model(design, continues=True), make_batch()
    noise = draw(model.draws("loss", (B,), 6))
    alone = model.loss(
        SequenceBatch(*(part[:1] for part in batch)), {n: v[:1] for n, v in noise.items()}, torch.zeros(())
    )
    mask = batch.mask.clone()
    mask[1:] = 0
    masked = model.loss(batch._replace(mask=mask), noise, torch.zeros(()))
    torch.testing.assert_close(masked.total, alone.total)
    same(masked.metrics, alone.metrics)


@every_design
def test_padding_has_no_part_in_the_loss(design):
    model, batch = make_model(design), make_batch()
    mask = batch.mask.clone()
    mask[1, 4:] = 0
    other = make_batch(seed=5)
    changed = [
        torch.where((mask > 0).view(B, 6, *(1,) * (a.ndim - 2)), a, b)
        for a, b in zip(batch, other, strict=True)
    ]
    loss = loss_of(model, batch._replace(mask=mask))
    padded = loss_of(model, SequenceBatch(*changed)._replace(mask=mask, first=batch.first))
    torch.testing.assert_close(padded.total, loss.total)
    assert not torch.allclose(loss.total, loss_of(model, batch).total)


@every_design
def test_an_empty_mask_gives_a_finite_loss(design):
    batch = make_batch()
    model = make_model(design, continues=True)
    loss = loss_of(model, batch._replace(mask=torch.zeros(B, 6))).total
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@every_design
def test_the_reward_of_a_reset_column_does_not_count(design):
    model, batch = make_model(design, continues=True), make_batch()
    reward, terminal = batch.reward.clone(), batch.terminal.clone()
    reward[:, 0], terminal[:, 0] = 100, True
    changed = loss_of(model, batch._replace(reward=reward, terminal=terminal))
    torch.testing.assert_close(changed.total, loss_of(model, batch).total)


@every_design
def test_first_rows_start_anew(design):
    model, batch = make_model(design), make_batch()
    state = observed(model, batch)
    noise = draw(model.draws("observe", (B,)))
    obs = column(batch, 4)._replace(first=torch.tensor([True, False, True]))
    after = model.observe(state, obs, noise)
    still = torch.zeros_like(obs.action)
    fresh = column(batch, 4)._replace(
        action=still, reward=torch.zeros(B), first=torch.ones(B, dtype=torch.bool)
    )
    anew = model.observe(model.initial(B), fresh, noise)
    rows = torch.tensor([0, 2])
    same(map_tree(lambda x: x[rows], after), map_tree(lambda x: x[rows], anew))
    pairs = zip(leaves(after), leaves(anew), strict=True)
    assert any(not torch.allclose(a[1], b[1]) for a, b in pairs if a.numel()) != design.blind


@every_design
def test_only_stochastic_designs_take_noise(design):
    model = make_model(design)
    stochastic = design.dynamics == "stochastic"
    assert bool(model.draws("predict", (B,), H)) == stochastic
    state, actions = observed(model, make_batch()), actions_for(B)
    left, right = (
        model.predict(state, actions, draw(model.draws("predict", (B,), H), seed), decode=False).reward
        for seed in (1, 2)
    )
    assert torch.equal(left, right) != stochastic


@every_design
def test_noise_of_one_row_is_shared_by_all_candidates(design):
    model = make_model(design)
    state = model.expand(observed(model, make_batch()), C)
    actions = actions_for(B, 1).expand(B, C, H, ACTIONS)
    reward = model.predict(state, actions, draw(model.draws("predict", (B, 1), H)), decode=False).reward
    torch.testing.assert_close(reward, reward[:, :1].expand_as(reward))


@every_design
def test_every_parameter_is_trained(design):
    model = make_model(design, continues=True, weights=LossWeights(free_nats=0.0))
    loss_of(model, make_batch(clips=8)).total.backward()
    untouched = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert untouched == []


@every_design
def test_a_checkpoint_restores_the_model(design, tmp_path):
    model, batch = make_model(design), make_batch()
    torch.save(model.state_dict(), tmp_path / "model.pt")
    other = make_model(design, seed=1)
    assert not torch.equal(loss_of(other, batch).total, loss_of(model, batch).total)
    other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert torch.equal(loss_of(other, batch).total, loss_of(model, batch).total)


@every_design
def test_the_loss_compiles_as_one_graph(design):
    model, batch = make_model(design, continues=True), make_batch(columns=CONTEXT + 2)
    noise = draw(model.draws("loss", (B,), CONTEXT + 2))
    torch.compiler.reset()
    compiled = torch.compile(model.loss, fullgraph=True, backend="eager")(batch, noise, torch.zeros(()))
    torch.testing.assert_close(compiled.total, model.loss(batch, noise, torch.zeros(())).total)


@every_design
@torch.no_grad()
def test_observing_and_predicting_compile_as_one_graph(design):
    model, batch = make_model(design, continues=True), make_batch()
    state, noise = model.initial(B), draw(model.draws("observe", (B,)))
    torch.compiler.reset()
    after = torch.compile(model.observe, fullgraph=True, backend="eager")(state, column(batch, 0), noise)
    same(after, model.observe(state, column(batch, 0), noise))
    noise, actions = draw(model.draws("predict", (B, 1), 2)), actions_for(B, C, horizon=2)
    expanded = model.expand(after, C)
    predict = torch.compile(model.predict, fullgraph=True, backend="eager")
    same(predict(expanded, actions, noise, decode=True), model.predict(expanded, actions, noise, decode=True))


@every_design
@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_two_seeds_stacked_by_vmap_equal_two_runs(design, fraction):
    models = [make_model(design, seed=seed, image_fraction=fraction, continues=True) for seed in (0, 1)]
    batches = [make_batch(columns=4, seed=seed) for seed in (0, 1)]
    noises = [draw(model.draws("loss", (B,), 4), seed) for seed, model in enumerate(models)]

    class Loss(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, *batch_and_noise):
            batch = SequenceBatch(*batch_and_noise[:6])
            noise = dict(zip(noises[0], batch_and_noise[6:], strict=True))
            return self.model.loss(batch, noise, torch.zeros(())).total

    modules = [Loss(model) for model in models]
    params, buffers = stack_module_state(modules)
    inputs = [
        torch.stack(pair)
        for pair in zip(*([*b, *n.values()] for b, n in zip(batches, noises, strict=True)), strict=True)
    ]
    compute = grad_and_value(lambda p, b, *x: functional_call(modules[0], (p, b), x))
    gradients, totals = vmap(compute)(params, buffers, *inputs)
    for index, (model, batch, noise) in enumerate(zip(models, batches, noises, strict=True)):
        total = model.loss(batch, noise, torch.zeros(())).total
        torch.testing.assert_close(totals[index], total, rtol=1e-4, atol=1e-4)
        total.backward()
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(
                gradients[f"model.{name}"][index], parameter.grad, rtol=1e-3, atol=1e-3
            )


@every_design
def test_bfloat16_leaves_states_and_losses_in_float32(design):
    model, batch = make_model(design, continues=True), make_batch()
    with torch.autocast("cpu", torch.bfloat16):
        state = observed(model, batch)
        forecast = model.predict(state, actions_for(B), draw(model.draws("predict", (B,), H)), decode=True)
        loss = loss_of(model, batch)
    loss.total.backward()
    exact = loss_of(model, batch)
    assert {part.dtype for part in forecast if part is not None} == {torch.float32}
    assert loss.total.dtype == torch.float32
    torch.testing.assert_close(loss.total, exact.total, rtol=0.03, atol=0.03)
    if design.space == "latent":
        assert {part.dtype for part in leaves(state)} == {torch.float32}
