"""Every design that exists, small, and the data and noise to call it with."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, NamedTuple

import torch

from harness.build import built_in
from harness.contract import Subject
from harness.contract.subject import LONGEST, draw
from harness.errors import UserError
from models.trees import leaves
from models.types import ModelDesign, ModelSpec, Observation, SequenceBatch

CONTEXT = 2
SIDE = 16
ACTIONS = 3
FORECAST = 12


class Design(NamedTuple):
    """A design by those of its axes that change what is built."""

    predict: str
    space: str
    dynamics: str
    reward_from: str = "state"
    reward_gradient: str = "shared"
    variant: str = "standard"

    @property
    def name(self) -> str:
        ordinary = Design._field_defaults
        return "-".join(
            value for axis, value in zip(self._fields, self, strict=True) if value != ordinary.get(axis)
        )

    @property
    def windowed(self) -> bool:
        """Whether a forecast depends on the last columns alone."""
        return self.space == "pixel" or self.variant == "window"

    @property
    def blind(self) -> bool:
        """Whether a forecast depends on the actions to come alone: the design sees no frames and has no belief."""
        return self.variant == "actions"


def make_spec(
    design: Design,
    *,
    side: int = SIDE,
    continues: bool = False,
    actions: int = ACTIONS,
    context: int = CONTEXT,
) -> ModelSpec:
    """`context` is what a design with a window sees; the others filter all."""
    return ModelSpec(
        action_dim=actions,
        discrete=False,
        image_shape=(3, side, side),
        predict_images=design.predict == "images",
        predict_continues=continues,
        stochastic=design.dynamics == "stochastic",
        context=context if design.windowed else 1,
        decodes_to_plan=design.reward_from == "image",
    )


def make_model(design: Design, **fields: Any) -> Any:
    """A tiny model of a design; `fields` are those of `make_spec` or of `ModelDesign`."""
    return subject(design, **fields).model()


def subject(design: Design, **fields: Any) -> Subject:
    """A tiny model of a design, to be checked; `fields` as of `make_model`."""
    known = {field.name for field in dataclasses.fields(ModelDesign)}
    how = {name: getattr(design, name) for name in ("variant", "reward_from", "reward_gradient")}
    how |= {name: fields.pop(name) for name in list(fields) if name in known}
    return Subject(
        lambda spec, how: built_in(spec, how, design.predict, design.space),
        make_spec(design, **fields),
        ModelDesign(**{"size": "tiny", "forecast": FORECAST, **how}),
        longest=FORECAST if design.variant == "feedforward" else LONGEST,
    )


def _exists(design: Design) -> bool:
    try:
        make_model(design)
    except (ValueError, UserError):
        return False
    return True


def _all() -> list[Design]:
    axes = (("images", "rewards"), ("latent", "pixel"), ("deterministic", "stochastic"))
    forms = (
        {},
        {"reward_gradient": "stopped"},
        {"reward_gradient": "separate"},
        {"reward_from": "image"},
        {"reward_from": "image", "reward_gradient": "stopped"},
        {"variant": "window"},
        {"variant": "feedforward"},
        {"variant": "actions"},
    )
    designs = [Design(*corner, **form) for form in forms for corner in itertools.product(*axes)]
    return [design for design in designs if _exists(design)]


DESIGNS = _all()
"""Each corner in each form that makes sense; a form differs from the ordinary one in one axis or two."""
CORNERS = [design for design in DESIGNS if design == Design(*design[:3])]
"""The corners of the first three axes in their ordinary form."""
LATENT = [design for design in CORNERS if design.space == "latent"]


def name_of(design: Design) -> str:
    return design.name


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
    """Asserts that two dictionaries or trees of tensors agree; a forecast may hold None."""
    if isinstance(left, dict):
        left, right = tuple(left.values()), tuple(right.values())
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            for x, y in zip(leaves(a), leaves(b), strict=True):
                torch.testing.assert_close(x, y, rtol=tolerance, atol=tolerance)
