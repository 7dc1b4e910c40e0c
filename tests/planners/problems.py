"""Scores whose best plan is known, the noise of a call, and one of each planner."""

import torch

from planners.cem import CEM
from planners.discrete import DiscreteCEM
from planners.icem import ICEM
from planners.mppi import MPPI
from planners.shooting import RandomShooting
from planners.types import ActionSpace

CONTINUOUS = {
    "cem": (CEM, {}),
    "cem-full": (CEM, {"covariance": "full", "warm_start": True}),
    "cem-weighted": (CEM, {"refit": "weighted", "action": "best", "std_floor": 0.05}),
    "icem": (ICEM, {}),
    "icem-best": (ICEM, {"action": "best", "kept_elites": 1.0, "shrink": 2.0}),
    "mppi": (MPPI, {"reward_weight": 10.0}),
    "mppi-warm": (MPPI, {"warm_start": True, "initial_std": 0.5, "reward_weight": 10.0}),
    "shooting": (RandomShooting, {}),
}
DISCRETE = {
    "cem": (DiscreteCEM, {}),
    "cem-weighted": (DiscreteCEM, {"refit": "weighted", "action": "best", "warm_start": True}),
    "shooting": (RandomShooting, {}),
}
ALL = [(name, False) for name in CONTINUOUS] + [(name, True) for name in DISCRETE]
"""(name, discrete) of one of each."""


def build(name, budget, dim, *, discrete=False, **changes):
    kind, options = (DISCRETE if discrete else CONTINUOUS)[name]
    return kind(ActionSpace(dim, discrete), budget, **{**options, **changes})


def noise_of(planner, batch, seed=0):
    """What the harness would draw for one call."""
    generator = torch.Generator().manual_seed(seed)
    draw = {"normal": torch.randn, "uniform": torch.rand}
    return {
        name: draw[kind](shape, generator=generator) for name, (shape, kind) in planner.draws(batch).items()
    }


def solve(planner, score, batch=1, seed=0, context=None):
    """The plan of a first call."""
    return planner.plan(score, context, planner.initial(batch), noise_of(planner, batch, seed))[0]


def distance(target):
    """-|actions - target|^2; best 0 at the target [H, A], or at one per environment [B, 1, H, A]."""
    return lambda _context, actions: -((actions - target) ** 2).sum((-1, -2))


def ridge(target, steepness):
    """A quadratic whose level sets are ellipses along the diagonal, `steepness` times longer than wide."""

    def score(_context, actions):
        away = actions - target
        along = away.mean(-1, keepdim=True)
        across = away - along
        return -(across.square().sum(-1) * steepness**2 + along[..., 0].square()).sum(-1)

    return score


def two_hills(_context, actions):
    """At every step a wide hill of height 1 at -0.6 and a narrower one of height 2 at 0.5; best 2 x A at 0.5."""
    wide = torch.exp(-(((actions + 0.6) / 0.3) ** 2))
    high = 2 * torch.exp(-(((actions - 0.5) / 0.15) ** 2))
    return (wide + high).sum(-1).mean(-1)


def matches(target):
    """How many choices are those of the target sequence [H], minus 20: negative throughout."""
    return lambda _context, actions: (actions.argmax(-1) == target).float().sum(-1) - 20


def in_steps(score):
    """A score rounded to 1/64: adding a whole number to it is exact, and ties are common."""
    return lambda context, actions: (score(context, actions) * 64).round() / 64
