"""Every registered design, small, and the data and noise to call it with."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import torch
from torch import Tensor

from harness.registry import MODELS, load
from models.types import Draw, LossWeights, ModelSpec, Observation, SequenceBatch

ABSENT = {("rewards", "pixel", "stochastic")}
"""Corners whose class refuses them until it is extended."""

CONTEXT = 2
SIDE = 16
ACTIONS = 3


class Design(NamedTuple):
    """A corner of the first three design axes."""

    predict: str
    space: str
    dynamics: str

    @property
    def name(self) -> str:
        return "-".join(self)


DESIGNS = [
    Design(*corner, dynamics)
    for corner, dynamics in itertools.product(MODELS, ("deterministic", "stochastic"))
    if (*corner, dynamics) not in ABSENT
]
LATENT = [design for design in DESIGNS if design.space == "latent"]


def name_of(design: Design) -> str:
    return design.name


def make_spec(
    design: Design, *, side: int = SIDE, continues: bool = False, actions: int = ACTIONS
) -> ModelSpec:
    return ModelSpec(
        action_dim=actions,
        discrete=False,
        image_shape=(3, side, side),
        predict_images=design.predict == "images",
        predict_continues=continues,
        stochastic=design.dynamics == "stochastic",
        context=CONTEXT if design.space == "pixel" else 1,
    )


def make_model(
    design: Design,
    *,
    size: str = "tiny",
    weights: LossWeights | None = None,
    gradient: str = "shared",
    fraction: float = 1.0,
    seed: int = 0,
    **spec: Any,
) -> Any:
    cls = load(MODELS[design.predict, design.space].path)
    weights = LossWeights() if weights is None else weights
    return cls(make_spec(design, **spec), size, {}, weights, gradient, fraction, seed, {})


def draw(draws: dict[str, Draw], seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    make = {"normal": torch.randn, "uniform": torch.rand}
    return {name: make[d.kind](d.shape, generator=generator) for name, d in draws.items()}


def make_batch(clips: int = 3, columns: int = 6, *, seed: int = 0, side: int = SIDE) -> SequenceBatch:
    generator = torch.Generator().manual_seed(seed)
    first = torch.zeros(clips, columns, dtype=torch.bool)
    first[:, 0] = True
    action = 2 * torch.rand(clips, columns, ACTIONS, generator=generator) - 1
    return SequenceBatch(
        image=torch.randint(0, 256, (clips, columns, 3, side, side), dtype=torch.uint8, generator=generator),
        action=action * ~first[..., None],
        reward=torch.rand(clips, columns, generator=generator) * ~first,
        first=first,
        terminal=torch.zeros(clips, columns, dtype=torch.bool),
        mask=torch.ones(clips, columns),
    )


def column(batch: SequenceBatch, t: int) -> Observation:
    return Observation(batch.image[:, t], batch.action[:, t], batch.reward[:, t], batch.first[:, t])


def loss_of(model: Any, batch: SequenceBatch, noise_seed: int = 0) -> Any:
    noise = draw(model.draws("loss", tuple(batch.mask.shape[:1]), batch.mask.shape[1]), noise_seed)
    return model.loss(batch, noise, torch.tensor(0.5))


def observed(model: Any, batch: SequenceBatch, columns: int = 3) -> Any:
    """The state after the first columns of the batch."""
    clips = batch.mask.shape[0]
    state = model.initial(clips)
    for t in range(columns):
        state = model.observe(state, column(batch, t), draw(model.draws("observe", (clips,)), seed=t))
    return state


def same(left: Any, right: Any, tolerance: float = 1e-5) -> None:
    """Asserts that two NamedTuples (or dicts) of tensors agree."""
    pairs = (
        zip(left.values(), right.values(), strict=True)
        if isinstance(left, dict)
        else zip(left, right, strict=True)
    )
    for a, b in pairs:
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
