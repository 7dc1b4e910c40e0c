"""What the checks call a model with: small data, noise as declared, and one way to say that a promise is broken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.types import AnyWorldModel, Call, Draw, Loss, ModelDesign, ModelSpec, Observation, SequenceBatch

CLIPS, CANDIDATES, HORIZON, AHEAD = 3, 4, 5, 4
"""B of the checks, C, H, and the columns that their clips have beyond the context."""
LONGEST = 30

_SPEC = {field.name for field in dataclasses.fields(ModelSpec)}


class Broken(AssertionError):
    """A promise is not kept; the message is one sentence that says how."""


@dataclass(frozen=True)
class Subject:
    """A model to be checked.

    Attributes:
        build: the class, or anything else that makes a model of a spec and a design.
        spec: what it is asked to do.
        design: how it is built.
        device: where it is checked.
        longest: steps of the longest forecast that is tried; a model with a limit of its own has that.
    """

    build: Callable[[ModelSpec, ModelDesign], AnyWorldModel]
    spec: ModelSpec
    design: ModelDesign = dataclasses.field(default_factory=ModelDesign)
    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))
    longest: int = LONGEST

    def model(self, **changes: Any) -> Any:
        """A fresh model; `changes` are fields of its spec or its design."""
        spec = {name: value for name, value in changes.items() if name in _SPEC}
        design = {name: value for name, value in changes.items() if name not in _SPEC}
        model: Any = self.build(
            dataclasses.replace(self.spec, **spec), dataclasses.replace(self.design, **design)
        )
        return model.to(self.device)

    @property
    def columns(self) -> int:
        """T of the clips."""
        return self.spec.context + AHEAD

    def batch(self, clips: int = CLIPS, columns: int | None = None, seed: int = 0) -> SequenceBatch:
        """Clips of noise: images, rewards in [0, 1), actions; nothing ends."""
        columns = columns or self.columns
        images = make_batch(self.spec, clips, columns, seed)
        return SequenceBatch(*(part.to(self.device) for part in images))

    def actions(self, *lead: int, horizon: int = HORIZON, seed: int = 1) -> Tensor:
        """Actions f32[.., H, A]: uniform in [-1, 1], one-hot where actions are discrete."""
        return make_actions(self.spec, (*lead, horizon), seed).to(self.device)

    def noise(
        self, model: AnyWorldModel, call: Call, lead: tuple[int, ...], steps: int = 1, seed: int = 0
    ) -> dict[str, Tensor]:
        """The noise that a call declares."""
        return {name: x.to(self.device) for name, x in draw(model.draws(call, lead, steps), seed).items()}

    def loss(self, model: AnyWorldModel, batch: SequenceBatch, seed: int = 0, progress: float = 0.5) -> Loss:
        """The loss of a batch."""
        lead, columns = tuple(batch.mask.shape[:1]), batch.mask.shape[1]
        noise = self.noise(model, "loss", lead, columns, seed)
        return model.loss(batch, noise, torch.tensor(progress, device=self.device))

    def observed(self, model: AnyWorldModel, batch: SequenceBatch, columns: int | None = None) -> Any:
        """The state after the first columns of a batch, by default one more than the context."""
        clips = batch.mask.shape[0]
        state = model.initial(clips)
        for t in range(columns or self.spec.context + 1):
            state = model.observe(state, column(batch, t), self.noise(model, "observe", (clips,), seed=t))
        return state


def draw(draws: dict[str, Draw], seed: int = 0) -> dict[str, Tensor]:
    """Standard random numbers as declared, from one seed."""
    generator = torch.Generator().manual_seed(seed)
    make = {"normal": torch.randn, "uniform": torch.rand}
    return {name: make[kind](shape, generator=generator) for name, (shape, kind) in draws.items()}


def make_actions(spec: ModelSpec, lead: tuple[int, ...], seed: int) -> Tensor:
    """Actions f32[.., A] for leading dimensions."""
    generator = torch.Generator().manual_seed(seed)
    if spec.discrete:
        chosen = torch.randint(spec.action_dim, lead, generator=generator)
        return torch.nn.functional.one_hot(chosen, spec.action_dim).float()
    return 2 * torch.rand(*lead, spec.action_dim, generator=generator) - 1


def make_batch(spec: ModelSpec, clips: int, columns: int, seed: int) -> SequenceBatch:
    """Clips of noise on the CPU that keep the timing convention."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.zeros(clips, columns, dtype=torch.bool)
    first[:, 0] = True
    shape = (clips, columns, *spec.image_shape)
    return SequenceBatch(
        image=torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
        action=make_actions(spec, (clips, columns), seed) * ~first[..., None],
        reward=torch.rand(clips, columns, generator=generator) * ~first,
        first=first,
        terminal=torch.zeros(clips, columns, dtype=torch.bool),
        mask=torch.ones(clips, columns),
    )


def column(batch: SequenceBatch, t: int) -> Observation:
    """What a model observes at column t."""
    return Observation(batch.image[:, t], batch.action[:, t], batch.reward[:, t], batch.first[:, t])


def backward(total: Tensor) -> None:
    """Adds the gradients of a loss to its parameters."""
    total.backward()  # type: ignore[no-untyped-call]


def cut(noise: dict[str, Tensor], draws: dict[str, Draw]) -> dict[str, Tensor]:
    """Noise as a call of fewer steps declares it: the same numbers for the steps that are left."""
    return {name: noise[name][tuple(slice(n) for n in shape)] for name, (shape, _) in draws.items()}


def expect(condition: object, message: str) -> None:
    """Raises `Broken` unless a condition holds."""
    if not condition:
        raise Broken(message)


def expect_same(left: Any, right: Any, message: str, tolerance: float = 1e-5) -> None:
    """Raises `Broken` unless two trees or dictionaries of tensors agree; a forecast may hold None."""
    pairs = list(zip(tensors(left), tensors(right), strict=True))
    for a, b in pairs:
        expect(a.shape == b.shape, f"{message}: shapes {tuple(a.shape)} and {tuple(b.shape)}")
        if not torch.allclose(a, b, rtol=tolerance, atol=tolerance):
            apart = (a.double() - b.double()).abs().max().item()
            raise Broken(f"{message} (by up to {apart:.2g})")


def differ(left: Any, right: Any) -> bool:
    """Whether any number of two trees differs, however little."""
    return any(not torch.equal(a, b) for a, b in zip(tensors(left), tensors(right), strict=True))


def tensors(tree: Any) -> list[Tensor]:
    """The tensors of a tree of tuples, lists and dictionaries, in which there may be None."""
    if tree is None or isinstance(tree, Tensor):
        return [] if tree is None else [tree]
    return [leaf for part in (tree.values() if isinstance(tree, dict) else tree) for leaf in tensors(part)]
