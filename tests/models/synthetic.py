"""Clips of worlds whose dynamics are known: a sprite that actions move, a linear system, a fork in the road.

Every generator is `world(clips, columns, seed)`: the same clips for the same seed, in the timing convention of
`models.types`. Pixels cover what they cover of a shape, so that a position shows to a fraction of a pixel::

    sprite   p' = p + 4 a, reflected at the walls                       reward sin(1.5 x) + sin(1.5 y), -1 to 1 across
    linear   z' = A z + B a, two damped rotations; drawn at C z         reward w C z
    fork     down, and from column 3 on left or right at random         reward -1 or +1 from column 3 on

In the linear system one coordinate of each rotation is the position that is drawn, the other is seen only in how
the position changes. In the fork nothing foretells the side, least of all the actions.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from harness.episodes import Episode
from models.types import SequenceBatch

SIDE = 16
ACTIONS = 2
FORK = 3
"""The first column that shows which way a sprite of `fork` turned."""
SPEED = 4.0
"""Pixels that the sprite moves along an axis for an action of 1."""
BLOCK = 5
_BACKGROUND, _COLOUR = (24, 24, 40), (250, 205, 90)
_ROOM = float(SIDE - BLOCK)

World = Callable[[int, int, int], SequenceBatch]


def sprite(clips: int, columns: int, seed: int) -> SequenceBatch:
    """A block whose velocity is the action, in a room with walls; its reward depends on where it is."""
    generator = torch.Generator().manual_seed(seed)
    action = _actions(clips, columns, generator)
    position = _ROOM * torch.rand(clips, 2, generator=generator)
    path = []
    for t in range(columns):
        moved = position + SPEED * action[:, t]
        position = _ROOM - (_ROOM - moved.abs()).abs()
        path.append(position)
    positions = torch.stack(path, 1)
    reward = torch.sin(1.5 * (2 * positions / _ROOM - 1)).sum(-1)
    return _batch(_blocks(positions), action, reward)


def linear_dynamics() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A f32[4, 4], B f32[4, 2], C f32[2, 4] and w f32[4] of the linear system."""
    blocks = []
    for angle in (1.2, 0.8):
        turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        blocks.append(0.96 * turn)
    dynamics = torch.block_diag(*blocks)
    control = torch.zeros(4, 2)
    control[1, 0] = control[3, 1] = 0.35  # the coordinates that are not drawn
    shown = torch.zeros(2, 4)
    shown[0, 0] = shown[1, 2] = 1.0
    return dynamics, control, shown, torch.tensor([1.0, 0.0, -1.0, 0.0])


def linear(clips: int, columns: int, seed: int) -> SequenceBatch:
    """A linear latent system: two damped rotations that actions push, drawn as a blob at two of four coordinates."""
    generator = torch.Generator().manual_seed(seed)
    action = _actions(clips, columns, generator)
    dynamics, control, shown, weights = linear_dynamics()
    state = torch.randn(clips, 4, generator=generator)
    path = []
    for t in range(columns):
        if t:
            state = state @ dynamics.T + action[:, t] @ control.T
        path.append(state)
    states = torch.stack(path, 1)
    return _batch(_blobs(states @ shown.T), action, states @ weights)


def fork(clips: int, columns: int, seed: int) -> SequenceBatch:
    """A block that comes down and at column `FORK` turns left (reward -1) or right (+1), each for every other clip."""
    generator = torch.Generator().manual_seed(seed)
    action = _actions(clips, columns, generator)
    side = 1 - 2 * (torch.arange(clips) % 2).float()
    steps = torch.arange(columns)
    across = _ROOM / 2 + 2 * side[:, None] * (steps - FORK + 1).clamp(min=0)
    down = (1 + 1.5 * steps).expand(clips, -1)
    positions = torch.stack([across, down], -1).clamp(0, _ROOM)
    return _batch(_blocks(positions), action, side[:, None] * (steps >= FORK))


WORLDS: dict[str, World] = {"sprite": sprite, "linear": linear, "fork": fork}
"""By name."""


def episodes(batch: SequenceBatch) -> list[Episode]:
    """The clips as episodes, for what the harness measures."""
    last = torch.zeros(batch.mask.shape[1], dtype=torch.bool)
    last[-1] = True
    return [
        Episode(image.numpy(), action.numpy(), reward.numpy(), last.numpy(), terminal.numpy())
        for image, action, reward, terminal in zip(
            batch.image, batch.action, batch.reward, batch.terminal, strict=True
        )
    ]


def _actions(clips: int, columns: int, generator: torch.Generator) -> Tensor:
    action = 2 * torch.rand(clips, columns, ACTIONS, generator=generator) - 1
    action[:, 0] = 0
    return action


def _batch(shape: Tensor, action: Tensor, reward: Tensor) -> SequenceBatch:
    """Clips of a shape's cover f32[B, T, h, w] in 0..1, in its colour on the background."""
    background, colour = (torch.tensor(c).float()[:, None, None] for c in (_BACKGROUND, _COLOUR))
    image = background + shape[:, :, None] * (colour - background)
    first = torch.zeros(reward.shape, dtype=torch.bool)
    first[:, 0] = True
    return SequenceBatch(
        image.round().to(torch.uint8),
        action,
        reward * ~first,
        first,
        torch.zeros_like(first),
        torch.ones(reward.shape),
    )


def _blocks(corner: Tensor) -> Tensor:
    """How much of each pixel a block covers whose upper left corner is at (x, y) [.., 2]: [.., h, w]."""
    low = torch.arange(SIDE).float()
    start = corner[..., None]
    cover = (torch.minimum(start + BLOCK, low + 1) - torch.maximum(start, low)).clamp(0, 1)
    return cover[..., 1, :, None] * cover[..., 0, None, :]


def _blobs(position: Tensor) -> Tensor:
    """A Gaussian blob of width 2 pixels whose centre is at (x, y) [.., 2], 0 the middle and 2 near an edge."""
    pixels = torch.arange(SIDE) - (SIDE - 1) / 2
    distance = (pixels - 3.0 * position[..., None]).square()
    return torch.exp(-(distance[..., 1, :, None] + distance[..., 0, None, :]) / (2 * 2.0**2))
