"""What a design costs: parameters and FLOPs, counted from the calls that use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from models.separate import SeparateReward
from models.types import AnyWorldModel, Call, Noise, Observation


@dataclass(frozen=True)
class ModelCost:
    """Confounds of every comparison of designs.

    Attributes:
        parameters: used to plan: encoder, dynamics and reward head; of a separate reward model, that model alone.
        training_parameters: all of them.
        flops_per_step: multiply-adds count as two; per candidate and predicted step, without decoding.
    """

    parameters: int
    training_parameters: int
    flops_per_step: float


class _Used(TorchFunctionMode):
    """Notes every parameter that is an argument of a torch function."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[int, int] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for argument in [*args, *(kwargs or {}).values()]:
            for item in argument if isinstance(argument, (list, tuple)) else [argument]:
                if isinstance(item, nn.Parameter):
                    self.seen[id(item)] = item.numel()
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def model_cost(model: AnyWorldModel, candidates: int = 8, horizon: int = 4) -> ModelCost:
    """Counts on one observation and one small plan; the model's parameters stay as they are."""
    assert isinstance(model, nn.Module)
    device = next(model.parameters()).device
    spec = model.spec
    observation = Observation(
        image=torch.zeros(1, *spec.image_shape, dtype=torch.uint8, device=device),
        action=torch.zeros(1, spec.action_dim, device=device),
        reward=torch.zeros(1, device=device),
        first=torch.ones(1, dtype=torch.bool, device=device),
    )
    actions = torch.zeros(1, candidates, horizon, spec.action_dim, device=device)
    whole: Any = model
    planning: Any = (
        whole.reward if isinstance(whole, SeparateReward) else whole
    )  # the other half makes frames
    with _Used() as used:
        state = planning.observe(
            planning.initial(1), observation, _zeros(planning, "observe", (1,), 1, device)
        )
        expanded = planning.expand(state, candidates)
        noise = _zeros(planning, "predict", (1, 1), horizon, device)
        with FlopCounterMode(display=False) as counter:
            planning.predict(expanded, actions, noise, decode=False)
    total = sum(parameter.numel() for parameter in model.parameters())
    return ModelCost(sum(used.seen.values()), total, counter.get_total_flops() / (candidates * horizon))


def _zeros(
    model: AnyWorldModel, call: Call, lead: tuple[int, ...], steps: int, device: torch.device
) -> Noise:
    return {
        name: torch.zeros(draw.shape, device=device) for name, draw in model.draws(call, lead, steps).items()
    }
