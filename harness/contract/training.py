"""What `loss` promises, and what the parameters do."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import torch

from harness.contract.subject import CLIPS, HORIZON, Subject, backward, differ, expect, expect_same
from models.types import Loss, SequenceBatch


def finite_loss(subject: Subject) -> None:
    """The loss is a finite float32 scalar with finite gradients and detached 0-d metrics."""
    model = subject.model()
    loss = subject.loss(model, subject.batch())
    expect(isinstance(loss, Loss), f"loss returns a {type(loss).__name__}, not a Loss")
    total = loss.total
    expect(
        total.shape == () and total.dtype == torch.float32,
        f"loss: total is {list(total.shape)} {total.dtype}, not a float32 scalar",
    )
    expect(total.isfinite(), "loss: total is not finite before anything was trained")
    expect(total.requires_grad, "loss: total has no gradient")
    for name, value in loss.metrics.items():
        expect(isinstance(value, torch.Tensor), f"loss: metric {name} is no tensor")
        expect(value.shape == (), f"loss: metric {name} is {list(value.shape)}, not a scalar")
        expect(value.isfinite(), f"loss: metric {name} is not finite")
        expect(not value.requires_grad, f"loss: metric {name} is not detached")
    backward(total)
    wrong = [n for n, p in model.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
    expect(not wrong, f"loss: the gradients of {', '.join(wrong)} are not finite")


def masked_clips(subject: Subject) -> None:
    """A clip that is masked has no part in the loss: it is averaged over the columns that exist."""
    model, batch = subject.model(), subject.batch()
    noise = subject.noise(model, "loss", (CLIPS,), subject.columns)
    progress = torch.zeros((), device=subject.device)
    alone = model.loss(
        SequenceBatch(*(part[:1] for part in batch)), {n: v[:1] for n, v in noise.items()}, progress
    )
    mask = batch.mask.clone()
    mask[1:] = 0
    masked = model.loss(batch._replace(mask=mask), noise, progress)
    expect_same(
        masked.total, alone.total, "the loss of one clip changes when masked clips stand beside it", 1e-4
    )


def padding(subject: Subject) -> None:
    """Columns that are masked, which pad a short clip at its end, have no part in the loss."""
    model, batch, other = subject.model(), subject.batch(), subject.batch(seed=5)
    mask = batch.mask.clone()
    mask[1, subject.columns - 2 :] = 0
    clips, columns = mask.shape
    changed = [
        torch.where((mask > 0).view(clips, columns, *(1,) * (a.ndim - 2)), a, b)
        for a, b in zip(batch, other, strict=True)
    ]
    loss = subject.loss(model, batch._replace(mask=mask)).total
    padded = subject.loss(model, SequenceBatch(*changed)._replace(mask=mask, first=batch.first)).total
    expect_same(padded, loss, "the loss changes with what stands in masked columns")
    expect(differ(loss, subject.loss(model, batch).total), "the loss does not read the mask")


def nothing_to_learn(subject: Subject) -> None:
    """Where every column is masked, the loss and its gradients are finite."""
    model, batch = subject.model(), subject.batch()
    loss = subject.loss(model, batch._replace(mask=torch.zeros_like(batch.mask))).total
    expect(loss.isfinite(), "the loss of a batch that is masked whole is not finite")
    backward(loss)
    wrong = [n for n, p in model.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
    expect(not wrong, f"a batch that is masked whole gives {', '.join(wrong)} gradients that are not finite")


def resets(subject: Subject) -> None:
    """The reward and the end that stand in a clip's first column do not count."""
    model, batch = subject.model(), subject.batch()
    reward, terminal = batch.reward.clone(), batch.terminal.clone()
    reward[:, 0], terminal[:, 0] = 100, True
    changed = subject.loss(model, batch._replace(reward=reward, terminal=terminal))
    expect_same(
        changed.total, subject.loss(model, batch).total, "the loss changes with the reward of column 0"
    )


def pairing(subject: Subject) -> None:
    """The loss pairs reward t with action t, which led to it, and with no action after it."""
    model, batch = subject.model(), subject.batch()
    last = subject.columns - 2
    ends = batch._replace(
        mask=(torch.arange(subject.columns) <= last).float().expand(CLIPS, -1).to(batch.mask)
    )
    before = subject.loss(model, ends).total
    for t, matters in ((last, True), (last + 1, False)):
        action = batch.action.clone()
        action[:, t] = action[:, t].roll(1, -1) if subject.spec.discrete else -action[:, t]
        after = subject.loss(model, ends._replace(action=action)).total
        if matters:
            expect(
                differ(before, after), "the loss of a clip does not depend on the action of its last column"
            )
        else:
            expect_same(before, after, "the loss of a column changes with the action of the next one", 1e-6)


def trained(subject: Subject) -> None:
    """Every parameter gets a gradient from the loss."""
    weights = replace(subject.design.weights, free_nats=0.0)  # a KL below them trains nothing
    model = subject.model(weights=weights)
    backward(subject.loss(model, subject.batch(clips=8)).total)
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    expect(not idle, f"the loss trains no {', '.join(idle)}")


def checkpoint(subject: Subject) -> None:
    """state_dict holds all there is: loaded into another model it gives the same loss and the same plans."""
    model, batch = subject.model(), subject.batch()
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other = subject.model(seed=subject.design.seed + 1)
    missing = [name for name, p in model.named_parameters() if name not in model.state_dict()]
    expect(not missing, f"state_dict lacks {', '.join(missing)}")
    other.load_state_dict(torch.load(file, weights_only=True, map_location=subject.device))
    outcomes = []
    for one in (model, other):
        state = subject.observed(one, batch)
        noise = subject.noise(one, "predict", (CLIPS,), HORIZON)
        forecast = one.predict(state, subject.actions(CLIPS), noise, decode=True)
        outcomes.append([subject.loss(one, batch).total, *forecast])
    expect_same(outcomes[0], outcomes[1], "a model that was loaded from state_dict answers otherwise", 1e-6)


def divergence_shows(subject: Subject) -> None:
    """Parameters or rewards that are not finite make the loss so: a run that diverges must be noticed."""
    batch = subject.batch()
    model = subject.model()
    reward = batch.reward.clone()
    reward[0, -1] = torch.nan
    expect(
        not subject.loss(model, batch._replace(reward=reward)).total.isfinite(),
        "the loss is finite though a reward is not a number",
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
    expect(
        not subject.loss(model, batch).total.isfinite(), "the loss is finite though no parameter is a number"
    )


def continuation(subject: Subject) -> None:
    """On a task that can end it forecasts whether the episode goes on, and is trained to."""
    model, batch = subject.model(predict_continues=True), subject.batch()
    state = subject.observed(model, batch)
    noise = subject.noise(model, "predict", (CLIPS,), HORIZON)
    forecast = model.predict(state, subject.actions(CLIPS), noise, decode=False)
    expect(
        forecast.continues is not None, "predict: continues is missing where spec.predict_continues is True"
    )
    what = f"predict: continues is {list(forecast.continues.shape)}, not {[CLIPS, HORIZON]} in [0, 1]"
    inside = bool((forecast.continues.min() >= 0) & (forecast.continues.max() <= 1))
    expect(forecast.continues.shape == (CLIPS, HORIZON) and inside, what)
    terminal = batch.terminal.clone()
    terminal[0, -1] = True
    ended = subject.loss(model, batch._replace(terminal=terminal)).total
    expect(differ(ended, subject.loss(model, batch).total), "the loss does not read where an episode ended")


def learns(subject: Subject) -> None:
    """It learns within 300 updates that the reward, and the brightness of the frame, is what the action says.

    A forecast that pairs actions and rewards wrongly, or a loss that trains another thing than `predict` shows,
    does not.
    """
    model, spec = subject.model(), subject.spec
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    def world(seed: int) -> SequenceBatch:
        batch = subject.batch(clips=32, columns=spec.context + HORIZON, seed=seed)
        said = batch.action[..., 0] * ~batch.first
        brightness = (128 + 100 * said).to(torch.uint8)[..., None, None, None]
        return batch._replace(image=brightness.expand_as(batch.image), reward=said)

    errors = torch.ones(HORIZON)
    for update in range(300):
        optimizer.zero_grad()
        backward(subject.loss(model, world(update), update, progress=update / 300).total)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 100)
        optimizer.step()
        if update % 50 == 49:
            errors = _forecast_errors(subject, model, world(10_000))
            if errors.max() < 0.5:
                return
    words = ", ".join(f"{error:.2f}" for error in errors.tolist())
    expect(False, f"after 300 updates its reward errors are {words} times those of a constant forecast")


def _forecast_errors(subject: Subject, model: Any, batch: SequenceBatch) -> torch.Tensor:
    """Mean squared reward error by step [H], in units of the reward's variance."""
    with torch.no_grad():
        clips, seen = batch.mask.shape[0], subject.spec.context
        state = subject.observed(model, batch, columns=seen)
        noise = subject.noise(model, "predict", (clips,), HORIZON)
        reward = model.predict(state, batch.action[:, seen:], noise, decode=False).reward
        truth = batch.reward[:, seen:]
        errors: torch.Tensor = (reward - truth).square().mean(0) / truth.var(0, correction=0)
        return errors.cpu()
