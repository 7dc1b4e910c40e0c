"""What the fast paths ask of a model: compiled calls, seeds stacked by vmap, and bfloat16."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from harness.contract.subject import (
    CANDIDATES,
    CLIPS,
    HORIZON,
    Subject,
    backward,
    column,
    expect,
    expect_same,
)
from models.trees import leaves
from models.types import SequenceBatch


def compiles_loss(subject: Subject) -> None:
    """torch.compile(fullgraph=True) takes the loss: no Python branch depends on data."""
    model, columns = subject.model(), subject.spec.context + 2
    batch = subject.batch(columns=columns)
    noise = subject.noise(model, "loss", (CLIPS,), columns)
    progress = torch.zeros((), device=subject.device)
    compiled = _compile(model.loss)(batch, noise, progress)
    expect_same(
        compiled.total, model.loss(batch, noise, progress).total, "the compiled loss is another number", 1e-4
    )


@torch.no_grad()
def compiles_plans(subject: Subject) -> None:
    """torch.compile(fullgraph=True) takes observe and predict."""
    model, batch = subject.model(), subject.batch()
    state, noise = model.initial(CLIPS), subject.noise(model, "observe", (CLIPS,))
    after = _compile(model.observe)(state, column(batch, 0), noise)
    expect_same(
        [after], [model.observe(state, column(batch, 0), noise)], "compiled, observe answers otherwise", 1e-4
    )
    noise = subject.noise(model, "predict", (CLIPS, 1), 2)
    actions = subject.actions(CLIPS, CANDIDATES, horizon=2)
    expanded = model.expand(after, CANDIDATES)
    forecast = _compile(model.predict)(expanded, actions, noise, decode=True)
    expected = model.predict(expanded, actions, noise, decode=True)
    expect_same(forecast, expected, "compiled, predict answers otherwise", 1e-4)


def _compile(call: Any) -> Any:
    torch.compiler.reset()
    return torch.compile(call, fullgraph=True, backend="eager")


class _Total(nn.Module):
    """The loss as a module, as `functional_call` needs it."""

    def __init__(self, model: Any, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *batch_and_noise: Tensor) -> Tensor:
        fields = len(SequenceBatch._fields)
        noise = dict(zip(self.names, batch_and_noise[fields:], strict=True))
        batch = SequenceBatch(*batch_and_noise[:fields])
        total: Tensor = self.model.loss(batch, noise, torch.zeros((), device=batch.mask.device)).total
        return total


def stacks(subject: Subject) -> None:
    """torch.func.vmap takes two seeds at once and gives each the loss and gradients it has alone."""
    columns = subject.spec.context + 2
    models = [subject.model(seed=seed) for seed in (0, 1)]
    batches = [subject.batch(columns=columns, seed=seed) for seed in (0, 1)]
    noises = [subject.noise(model, "loss", (CLIPS,), columns, seed) for seed, model in enumerate(models)]
    modules = [_Total(model, list(noise)) for model, noise in zip(models, noises, strict=True)]
    parameters, buffers = stack_module_state(modules)
    each = ([*batch, *noise.values()] for batch, noise in zip(batches, noises, strict=True))
    inputs = [torch.stack(pair) for pair in zip(*each, strict=True)]
    compute = grad_and_value(lambda p, b, *x: functional_call(modules[0], (p, b), x))
    gradients, totals = vmap(compute)(parameters, buffers, *inputs)
    for index, module in enumerate(modules):
        total = module(*batches[index], *noises[index].values())
        expect_same(totals[index], total, "stacked with another seed, the loss is another number", 1e-4)
        backward(total)
        for name, parameter in module.named_parameters():
            alone = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            scale = alone.abs().max().clamp(min=1)
            message = f"stacked with another seed, the gradient of {name} is another"
            expect_same(gradients[name][index] / scale, alone / scale, message, 1e-3)


def bfloat16(subject: Subject) -> None:
    """Under bfloat16 autocast states, forecasts and losses stay float32, and the loss is about the same."""
    model, batch = subject.model(), subject.batch()
    with torch.autocast(subject.device.type, torch.bfloat16):
        state = subject.observed(model, batch)
        noise = subject.noise(model, "predict", (CLIPS,), HORIZON)
        forecast = model.predict(state, subject.actions(CLIPS), noise, decode=True)
        loss = subject.loss(model, batch)
    for name, part in forecast._asdict().items():
        expect(
            part is None or part.dtype == torch.float32,
            f"predict: {name} is {part.dtype if part is not None else ''}",
        )
    expect(loss.total.dtype == torch.float32, f"loss: total is {loss.total.dtype}")
    for part in leaves(state):
        expect(part.dtype == torch.float32, f"observe: a state is {part.dtype}")
    backward(loss.total)
    exact = subject.loss(model, batch).total
    expect_same(loss.total / exact, exact / exact, "in bfloat16 the loss is another number", 0.05)
